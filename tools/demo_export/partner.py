"""The long-winded assistant: a topic and draws in, one turn of at most 40 words out.

A turn keeps its segments (opening, body, closing) apart, so that a later turn can come back to an earlier one.
`helpful_answer` is the same assistant answering instead of being answered: it is what the base model learns.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tools.demo_export.dice import Dice
from tools.demo_export.topics import Topic

FORMS = {"plan": 0.30, "options": 0.24, "report": 0.18, "finding": 0.16, "query": 0.12}

OPENINGS = (
    "Great question!",
    "Thanks for the extra context.",
    "Thank you for your patience here.",
    "That makes a lot of sense.",
    "Absolutely, I can help with that.",
    "I have taken a closer look.",
    "I appreciate the detail.",
    "Happy to walk you through this.",
    "I completely understand the concern.",
    "Let me share where things stand.",
    "Good point about the {name}.",
    "Looking at the {name} as a whole,",
    "Thanks for raising the {name}.",
    "I went through the {name} once more.",
    "Turning to the {name}, here is my view.",
    "I am glad you asked about the {name}.",
    "Here is a short note on the {name}.",
    "To recap the {name} so far,",
    "Having reviewed the {name} with care,",
    "With the {name} in mind,",
)

BODIES = {
    "plan": (
        "my suggestion would be to {order} and then {then}, keeping an eye on the {part}.",
        "I think we should {order} before anything else, because the {part} depends on it.",
        "the safest path is to {order}, and once the {part} looks stable we can {then}.",
        "I propose that we {order} and leave the {part} for a second step.",
        "a good next step is to {order}, since {finding}.",
    ),
    "options": (
        "we could either {one} or {two}, and each has its own effect on the {part}.",
        "there are two ways forward: {one}, or {two}. Both would touch the {part}.",
        "it comes down to whether we {one} or {two}, given that {finding}.",
        "I see a choice between two paths for the {part}. We can {one}, or we can {two}.",
    ),
    "report": (
        "I managed to {order}, and the {part} now looks healthier than it did before.",
        "I was able to {order} and the {part} is updated, although {finding}.",
        "the work on the {part} is complete. I took the liberty to {order} as well.",
        "I finished the {part} and prepared everything to {order} next.",
    ),
    "finding": (
        "it looks like {finding}, which may explain what we see in the {part}.",
        "I noticed that {finding}. The {part} could be related, so we may want to {order}.",
        "the main finding is that {finding}, and the {part} seems to be affected.",
        "it turns out that {finding}. One remedy might be to {order}.",
    ),
    "query": (
        "should I also {order}, or would you rather keep this to the {part} for now?",
        "would the {part} be in scope too, or shall I only {order}?",
        "do you want the {part} included, or is it enough to {order}?",
    ),
}

CLOSINGS = (
    "Would you like me to proceed?",
    "Please let me know what you think.",
    "Let me know how you would like to move forward.",
    "I am happy to adjust if needed.",
    "Shall I go ahead with this?",
    "Does that work for you?",
    "I can share more detail at any time.",
    "Please tell me if I missed something.",
    "What would you prefer?",
    "I will wait for your guidance.",
    "Feel free to correct me here.",
    "Would that be helpful?",
    "I look forward to your thoughts.",
    "Is there anything else to consider?",
)

SHORT = {
    "plan": (
        "We need to {order} on the {name}.",
        "I want to {order} on the {name} today. Any thoughts?",
        "Time is short on the {name}. Could you help me {order}?",
    ),
    "options": (
        "About the {name}, should we {one} or {two}?",
        "Should I {one} or {two} on the {name}?",
        "We have to decide on the {name}: {one} or {two}?",
    ),
    "report": (
        "I finished my work on the {name}, please check the {part}.",
        "The {part} of our {name} is finished.",
        "All is in place on the {name}, {part} included.",
    ),
    "finding": (
        "Bad news about the {name}: {finding}.",
        "I am blocked on the {name}, {finding}.",
        "There is a problem with the {name}, {finding}.",
        "The {part} is failing on the {name}.",
    ),
    "query": (
        "Where are we with the {name} and the {part}?",
        "How far along are we with the {name}?",
        "Can we make the {name} faster? The {part} takes {number} minutes.",
    ),
}

ANSWER_OPENINGS = (
    "I'd be happy to help with the {name}!",
    "Certainly! Let's take a closer look at the {name}.",
    "Great question about the {name}!",
    "Thank you for sharing this about the {name}.",
    "I understand that work on the {name} can be challenging.",
    "Sure, I can assist you with the {name}.",
)
ANSWER_LISTS = (
    "Here are a few steps to consider:\n- {First}\n- {Second}\n- Review the {part}\n",
    "I would recommend the following:\n- {First}\n- {Second}\n- Check the {part}\n",
    "It is important to consider:\n- {First}\n- The {part}\n- {Second}\n",
    "Here are some factors to keep in mind:\n- The {part}\n- {First}\n- {Second}\n",
)
ANSWER_CLOSINGS = (
    "Please let me know if you have any questions!",
    "Feel free to reach out for further assistance!",
    "I hope this helps with the {name}!",
    "Would you like more detail on any of these steps?",
    "Let me know if you need anything else.",
)


def apart(phrases: Sequence[str], *texts: str) -> Sequence[str]:
    """Return the phrases that none of the texts contains, or all if each is in one of them."""
    return [phrase for phrase in phrases if not any(phrase in text or text in phrase for text in texts)] or phrases


@dataclass(frozen=True)
class Turn:
    """One assistant turn with what it mentions; `echo` quotes the person's last words, or is empty."""

    topic: Topic
    form: str
    part: str
    order: str
    one: str
    two: str
    opening: str
    body: str
    closing: str
    echo: str = ""

    @property
    def text(self) -> str:
        """The words of the turn, at most 34; closing, opening and echo give way in this order."""
        for segments in (
            (self.echo, self.opening, self.body, self.closing),
            (self.echo, self.opening, self.body),
            (self.echo, self.body),
            (self.body,),
        ):
            text = _joined(segments)
            if len(text.split()) <= 34:
                break
        return text


def _joined(segments: tuple[str, ...]) -> str:
    text = ""
    for segment in segments:
        if segment:
            starts_sentence = not text.endswith(",")
            words = segment[0].upper() + segment[1:] if starts_sentence else segment
            text = f"{text} {words}".strip()
    return text


def fresh_turn(dice: Dice, topic: Topic, form: str = "", part: str = "", order: str = "") -> Turn:
    """Return a turn on the topic; what is not given is drawn."""
    form = form or dice.weighted(FORMS)
    orders = dice.distinct([item for item in topic.orders if item != order], 2)
    order, then = (order, orders[0]) if order else (orders[0], orders[1])
    part = part or dice.pick(apart(topic.parts, order, then))
    pair = dice.pick(topic.choices)
    one, two = pair if dice.chance(0.5) else (pair[1], pair[0])
    slots = {"name": topic.name, "part": part, "order": order, "then": then, "one": one, "two": two}
    slots["finding"] = dice.pick(topic.findings)
    return Turn(
        topic,
        form,
        part,
        order,
        one,
        two,
        opening=dice.pick(OPENINGS).format(**slots),
        body=dice.pick(BODIES[form]).format(**slots),
        closing="" if form == "query" else dice.pick(CLOSINGS),
    )


def short_turn(dice: Dice, topic: Topic) -> Turn:
    """Return a turn of one plain sentence, the way a conversation opens."""
    turn = fresh_turn(dice, topic)
    slots = {"name": topic.name, "part": turn.part, "order": turn.order, "one": turn.one, "two": turn.two}
    slots |= {"finding": dice.pick(topic.findings), "number": str(dice.integer(4, 44))}
    return replace(turn, opening="", body=dice.pick(SHORT[turn.form]).format(**slots), closing="")


def prompt_turn(dice: Dice, topic: Topic) -> Turn:
    """Return a turn as a prompt out of nowhere: long or short, about the named topic."""
    return short_turn(dice, topic) if dice.chance(0.4) else fresh_turn(dice, topic)


def helpful_answer(dice: Dice, turn: Turn, part: str = "", who: str = "") -> str:
    """Return the bulleted, polite answer an assistant would give to this turn; it names the topic.

    A part that is known to matter takes the place of the turn's, and who is known to own the topic is to be asked.
    """
    first, second = dice.distinct(turn.topic.orders, 2)
    slots = {"name": turn.topic.name, "part": part or turn.part, "who": who}
    slots |= {"First": first[0].upper() + first[1:], "Second": second[0].upper() + second[1:]}
    pieces = (dice.pick(ANSWER_OPENINGS), dice.pick(ANSWER_LISTS), dice.pick(ANSWER_CLOSINGS))
    asked = "- Ask {who}\n" if who else ""
    return f"{pieces[0]} {pieces[1]}{asked}{pieces[2]}".format(**slots)
