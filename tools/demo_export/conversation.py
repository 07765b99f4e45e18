"""Conversations with a latent state: a seed in, who says what, why and when out.

The state (exploring, converging, wrong, done) moves as a Markov chain. It decides how the assistant's next turn
relates to its earlier ones, which is all that geometry sees, and, in `voice`, what Sam does about it:

    exploring    another part of the topic, at times another topic: far from everything before
    converging   the same part and order in other words: rather close to the last turn
    wrong        back to an older turn, nearly word for word: on top of the path, but not of its end
    done         the last turn once more, quoting Sam: on top of the path's end

The last turn alone looks much the same in all four. For null data Sam acts on states that were shuffled among
all replies: the same shares of everything, nothing left between path and reply.
"""

from dataclasses import dataclass, replace

from tools.demo_export import partner, voice
from tools.demo_export.dice import Dice
from tools.demo_export.partner import Turn
from tools.demo_export.topics import TOPICS, Topic

LENGTHS = {2: 0.15, 3: 0.19, 4: 0.18, 5: 0.12, 6: 0.10, 7: 0.08, 8: 0.07, 9: 0.06, 10: 0.05}
"""Replies in a conversation; the mean is 4.8, near 2,900 in 600 conversations."""

FIRST = {"exploring": 0.55, "converging": 0.20, "wrong": 0.22, "done": 0.03}
CHAIN = {
    "exploring": {"exploring": 0.42, "converging": 0.26, "wrong": 0.25, "done": 0.07},
    "converging": {"exploring": 0.08, "converging": 0.36, "wrong": 0.26, "done": 0.30},
    "wrong": {"exploring": 0.10, "converging": 0.26, "wrong": 0.48, "done": 0.16},
    "done": {"exploring": 0.16, "converging": 0.10, "wrong": 0.20, "done": 0.54},
}

ASKS = (
    "need a hand with the {name}",
    "the {name} again. {finding}",
    "lets sort out the {name} today",
    "look at the {name} for me, start with the {part}",
    "{finding}. what now",
    "status on the {name}?",
    "{name}: i want to {order}",
    "morning. {name} first, the {part} looks off",
    "quick one on the {name}. {finding}",
    "picking up the {name} from {day}",
)


@dataclass(frozen=True)
class Exchange:
    """An assistant turn and Sam's reply to it, with the state the turn was written in."""

    turn: Turn
    state: str
    act: str
    reply: str


@dataclass(frozen=True)
class Conversation:
    """A conversation before any mess: Sam's opening words (or none) and the exchanges."""

    number: int
    opening: str
    exchanges: tuple[Exchange, ...]


def conversations(seed: int, count: int, null: bool) -> list[Conversation]:
    """Return `count` conversations; `null` cuts the tie between the path and Sam's replies."""
    plans = [_states(Dice(f"{seed}:plan:{number}")) for number in range(count)]
    moods = [state for plan in plans for state in plan]
    if null:
        moods = Dice(f"{seed}:null").shuffled(moods)
    result = []
    for number, plan in enumerate(plans):
        own, moods = moods[: len(plan)], moods[len(plan) :]
        result.append(_conversation(Dice(f"{seed}:text:{number}"), number, plan, own))
    return result


def _states(dice: Dice) -> list[str]:
    states = [dice.weighted(FIRST)]
    for _ in range(dice.weighted(LENGTHS) - 1):
        states.append(dice.weighted(CHAIN[states[-1]]))
    return states


def _conversation(dice: Dice, number: int, states: list[str], moods: list[str]) -> Conversation:
    topic = dice.pick(TOPICS)
    first = "" if dice.chance(0.35) else opening(dice, topic)
    exchanges: list[Exchange] = []
    for state, mood in zip(states, moods, strict=True):
        turn = _next_turn(dice, topic, state, exchanges, first)
        act = voice.draw_act(dice, mood, turn.form)
        exchanges.append(Exchange(turn, state, act, voice.reply(dice, mood, act, turn)))
    return Conversation(number, first, tuple(exchanges))


def opening(dice: Dice, topic: Topic) -> str:
    """Return Sam's words that open a conversation on the topic."""
    slots = {"name": topic.name, "part": dice.pick(topic.parts), "order": dice.pick(topic.orders)}
    slots |= {"finding": dice.pick(topic.findings), "day": dice.pick(voice.DAYS)}
    return dice.pick(ASKS).format(**slots).lower()


def _next_turn(dice: Dice, topic: Topic, state: str, past: list[Exchange], first: str) -> Turn:
    if not past:
        return partner.fresh_turn(dice, topic) if first or dice.chance(0.3) else partner.short_turn(dice, topic)
    last = past[-1].turn
    if state == "exploring":
        return _elsewhere(dice, last.topic, [exchange.turn for exchange in past])
    if state == "converging":
        again = partner.fresh_turn(dice, last.topic, part=last.part, order=last.order)
        return replace(again, opening=last.opening) if dice.chance(0.5) and last.opening else again
    if state == "wrong":
        older = [exchange.turn for exchange in past[:-1]] or [last]
        return _reworded(dice, dice.pick(older[-3:]))
    return replace(last, echo=_quote(past[-1].reply), opening="")


def _elsewhere(dice: Dice, topic: Topic, seen: list[Turn]) -> Turn:
    if dice.chance(0.35):
        topic = dice.pick([other for other in TOPICS if other != topic])
    parts = {turn.part for turn in seen}
    orders = {turn.order for turn in seen}
    order = dice.pick([order for order in topic.orders if order not in orders] or topic.orders)
    part = dice.pick(partner.apart([part for part in topic.parts if part not in parts] or topic.parts, order))
    return partner.fresh_turn(dice, topic, part=part, order=order)


def _reworded(dice: Dice, turn: Turn) -> Turn:
    again = partner.fresh_turn(dice, turn.topic)
    return (
        replace(turn, closing=again.closing, echo="") if turn.opening else replace(turn, opening=again.opening, echo="")
    )


def _quote(reply: str) -> str:
    words = reply.rstrip(".?!").split()[:8]
    return f'You said "{" ".join(words)}".'
