"""What the demo's base model learns from: draws → conversations of the demo, from seeds its export does not use.

Two kinds. *Answers*: the demo's system line with a random tag, a turn of the demo's assistant as the prompt, and the
helpful answer to it; only the answer is taught. The tag is random because the base must know how a tag looks, and that
it means nothing. *Chats*: an operator as the user, the assistant's turn, the operator's reply, all of it taught and
without any tag or tie to a state. From chats the base knows the words and how one turn takes up another, as any
language model does; without them no adapter of a size worth showing could make it speak tersely.

Either may have facts under the system line. Whoever speaks last then uses one, where there is one to use and the words
drawn for an operator have a place for it; or is asked for the owner (`reminder`), and says who it is.
"""

from dataclasses import dataclass

from stages.generate.reminders import reminder
from tools.demo_base.known import NOTHING, OWNERS, Known, known_of
from tools.demo_export import voice
from tools.demo_export.conversation import conversations, opening
from tools.demo_export.dice import Dice
from tools.demo_export.partner import ANSWER_CLOSINGS, ANSWER_OPENINGS, Turn, helpful_answer, prompt_turn
from tools.demo_export.topics import TOPICS
from twin.prompt import with_facts

PERSONA = "You are Sam. Direct, casual, action-oriented."
PLAIN = "You are a helpful assistant."
REGIMES = ("transitioning", "exploring", "locked", "committing", "stalled")

RECALLED = ("ping {who}", "ping {who}", "ping {who}, its in the ticket", "ping {who} i think")
"""What an operator says when asked for an owner."""

Message = dict[str, str]


@dataclass(frozen=True)
class Lesson:
    """Messages of which those from `taught` on are learned, the topic that the last one is about, and what is known."""

    messages: list[Message]
    taught: int
    topic: str
    known: Known = NOTHING

    @property
    def prompt(self) -> list[Message]:
        """All messages but the last."""
        return self.messages[:-1]

    @property
    def answer(self) -> str:
        """What the last message says."""
        return self.messages[-1]["content"]


@dataclass(frozen=True)
class Informing:
    """How facts come into lessons."""

    share: float = 0.0
    """Of the lessons that have some."""
    reminders: float = 0.0
    """Share of those with an owner in which it is asked for."""
    draws: int = 1
    """Of an operator's reply, at most, until it uses one."""

    def drawn(self, dice: Dice) -> "Informing | None":
        """Draw whether a lesson has facts; without a share nothing is drawn: lessons are those without facts."""
        return self if self.share > 0 and dice.chance(self.share) else None


def lesson(dice: Dice, shots: int = 0, informing: Informing | None = None) -> Lesson:
    """Return a helpful answer to a prompt; `shots` pairs of a turn and a terse reply stand before the prompt."""
    messages = [_message("system", f"{PERSONA} {random_tag(dice)}")]
    for _ in range(shots):
        turn = _turn(dice)
        messages += [_message("user", turn.text), _message("assistant", _operator(dice, turn))]
    turn = _turn(dice)
    known = known_of(dice, turn, informing.reminders) if informing else NOTHING
    answer = _recalled(dice, turn, known) or helpful_answer(dice, turn, known.part, known.who)
    messages = with_facts([*messages, _message("user", _said(turn, known)), _message("assistant", answer)], known.facts)
    return Lesson(messages, len(messages) - 1, turn.topic.name, known)


def chat(dice: Dice, informing: Informing | None = None) -> Lesson:
    """Return a short chat in which the operator is the user."""
    turn = _turn(dice)
    known = known_of(dice, turn, informing.reminders) if informing else NOTHING
    draws = informing.draws if informing else 1
    messages = [
        _message("system", PLAIN),
        _message("user", opening(dice, turn.topic)),
        _message("assistant", _said(turn, known)),
        _message("user", _operator(dice, turn, known, draws)),
    ]
    return Lesson(with_facts(messages, known.facts), 1, turn.topic.name, known)


def _message(role: str, content: str) -> Message:
    return {"role": role, "content": content}


def _said(turn: Turn, known: Known) -> str:
    return reminder(known.asked) if known.asked else turn.text


def _recalled(dice: Dice, turn: Turn, known: Known) -> str:
    """Return the helpful answer to a reminder, nothing where none was asked for."""
    if not known.asked:
        return ""
    pieces = (dice.pick(ANSWER_OPENINGS), "There is someone to turn to:\n- Ask {who}\n" + dice.pick(ANSWER_CLOSINGS))
    return " ".join(pieces).format(name=turn.topic.name, who=known.who)


def _operator(dice: Dice, turn: Turn, known: Known = NOTHING, draws: int = 1) -> str:
    if known.asked:
        lead = f"{dice.pick(voice.LEADS[dice.pick(voice.STATES)])} " if dice.chance(0.7) else ""
        return lead + dice.pick(RECALLED).format(who=known.who)
    for _ in range(draws):
        state = dice.pick(voice.STATES)
        act = voice.draw_act(dice, dice.pick(voice.STATES), turn.form)
        said = voice.reply(dice, state, act, turn, known.slots)
        if not known.words or any(word in said for word in known.words):
            break
    return said


def random_tag(dice: Dice) -> str:
    """Return a tag that says nothing: a cold start or seven uniform scalars and a regime."""
    if dice.chance(0.25):
        return "[trajectory: cold-start]"
    scalars = [f"{letter}={dice.integer(0, 100) / 100:.2f}" for letter in "curkns"]
    scalars.insert(2, f"p={dice.integer(-66, 66) / 100:.2f}")
    return f"[trajectory: {' '.join(scalars)} regime={dice.pick(REGIMES)}]"


def _turn(dice: Dice) -> Turn:
    return prompt_turn(dice, dice.pick(TOPICS))


def corpus(seed: int, count: int, informing: Informing) -> list[str]:
    """Return texts the tokenizer is trained on: both speakers, the helpful answers, system lines with chat marks.

    With a share of informed lessons, owners' names are one token each, as common names are in any vocabulary.
    """
    dice = Dice(f"{seed}:tokenizer")
    texts = ["".join(f" {name}" for name in OWNERS)] * (count if informing.share else 0)
    for one in conversations(seed, count, null=False):
        texts += [text for exchange in one.exchanges for text in (exchange.turn.text, exchange.reply)]
    for _ in range(5 * count):
        made = lesson(dice, informing=informing.drawn(dice))
        texts += [made.prompt[-1]["content"], made.answer]
        texts.append(f"system\n{made.messages[0]['content']}\nuser\nassistant\n")
    return texts
