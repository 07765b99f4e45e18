"""Sam, the operator: a turn of the assistant and a state of the conversation in, Sam's act and words out.

The state decides how likely each act is, which word leads in and how long the reply runs; the assistant's turn
decides which acts make sense and what the words are about.
"""

from collections.abc import Mapping
from types import MappingProxyType

from tools.demo_export.dice import Dice
from tools.demo_export.partner import Turn, apart

STATES = ("exploring", "converging", "wrong", "done")
ACTS = ("continue", "correct", "direct", "expand", "choose", "scope", "commit", "ask")

# Rows sum to about one; chosen so that, with the chain in conversation.py, corrections come to 30 % of all
# replies and bare go-aheads to 12 %.
ACT_WEIGHTS = {
    "exploring": (0.03, 0.04, 0.18, 0.22, 0.20, 0.15, 0.01, 0.17),
    "converging": (0.31, 0.06, 0.36, 0.05, 0.10, 0.08, 0.03, 0.01),
    "wrong": (0.01, 0.88, 0.04, 0.01, 0.02, 0.03, 0.00, 0.01),
    "done": (0.27, 0.05, 0.07, 0.01, 0.03, 0.02, 0.54, 0.01),
}
FITS = {
    "options": {"choose": 3.2, "commit": 0.4, "continue": 0.3, "scope": 0.6},
    "plan": {"choose": 0.0, "direct": 1.2},
    "report": {"choose": 0.0, "commit": 1.4, "expand": 0.8},
    "finding": {"choose": 0.0, "ask": 1.4, "expand": 1.4},
    "query": {"choose": 0.0, "scope": 2.2, "commit": 0.6},
}

GO_AHEADS = (
    "continue",
    "go",
    "go ahead",
    "yep",
    "do it",
    "keep going",
    "next",
    "ok go",
    "yes",
    "yep do it",
    "ok",
    "proceed",
)

CORES = {
    "correct": (
        "not the {part}. {x}",
        "i said {x}, not {order}",
        "the {part} is fine, look at the {other}",
        "{x} and leave the {part} alone",
        "you keep going back to the {part}. {x}",
        "dont {order}. {x}",
        "undo that, the {name} needs the {other}",
        "the {part} was never the problem, its the {other}",
        "read it again: {x}, then {y}",
        "we tried to {order} already. {x}",
        "too much, just {x}",
        "drop the {part} idea and {x}",
        "who told you to {order}? {x}",
        "thats the old plan. {x}",
        "this is about the {other} now, not the {part}",
        "you missed the {other}. {x}",
    ),
    "direct": (
        "{x}",
        "{x}, then {y}",
        "{order} first, then {x}",
        "just {order}",
        "start with the {other}, then {x}",
        "{order} and ping {who}",
        "on the {name}: {x}",
        "get the {part} sorted, then {x}",
        "{order} but skip the {other}",
        "have {who} {x}",
        "{order} and show me the {part}",
        "check the {other} and {x}",
        "{x} while that runs",
    ),
    "expand": (
        "more on the {part}",
        "say more about the {other} before we {order}",
        "walk me through the {part}, short version",
        "break the {name} down: {part}, {other}, then the rest",
        "show me the {part} next to the {other}",
        "list what touches the {part}",
        "give me the {name} in three lines",
        "spell out the {other}, {who} will ask",
        "explain the {part} with numbers",
        "put the {part} and the {other} side by side",
    ),
    "choose": (
        "{one}",
        "{one}, not {two}",
        "{one}. {why}",
        "{one} on the {name}",
        "{one} now, {two} later",
        "first {one}, the {part} can wait",
        "id {one}",
        "{one}, {who} agrees",
        "{one} and forget the rest",
    ),
    "scope": (
        "only the {part}",
        "keep it to the {part}, no {other}",
        "{name} only, the {other} is next week",
        "leave the {other} out of this",
        "thats two changes, {part} first",
        "no {other} work in this one",
        "the {part} and nothing else",
        "park the {other}, {who} has it",
        "skip the {other} for now, just {order}",
        "{other} is out of scope, {part} stays",
    ),
    "commit": (
        "commit the {part} change and push",
        "commit it",
        "merge it, then {x}",
        "ship the {name}",
        "push it to main",
        "one commit, call it {part} fix",
        "tag it and deploy",
        "merge and watch the {other}",
        "deploy the {name} at {number}",
        "squash and merge, {who} signed off",
        "commit, push, close the {part} ticket",
        "deploy now, {x} after",
        "ship it with the {part} as it is",
        "push the {part} and tell {who}",
    ),
    "ask": (
        "what does the {part} say right now?",
        "how long to {x}?",
        "who owns the {other}?",
        "did the {part} change since {day}?",
        "is the {other} part of this?",
        "what breaks if we {order}?",
        "can we {x} without touching the {part}?",
        "whats the {name} costing us?",
        "why the {part} and not the {other}?",
    ),
}

LEADS = {
    "exploring": ("hm,", "first:", "ok so", "lets see,", "wait,", "not sure yet,"),
    "converging": ("right,", "yep,", "same plan,", "fine,", "ok,", "makes sense,"),
    "wrong": ("no.", "stop.", "still wrong.", "nope.", "again:", "no no.", "wrong."),
    "done": ("good.", "nice.", "looks done.", "thats it.", "solid.", "great."),
}
LEAD_SHARE = {"exploring": 0.35, "converging": 0.35, "wrong": 0.65, "done": 0.5}

REASONS = (
    "its blocking the release",
    "we lost a day on that",
    "too risky before {day}",
    "{who} already checked",
    "its cheaper",
    "i dont want two systems",
    "the rest can wait",
    "we can undo it later",
    "users notice this one",
    "its {number} lines at most",
    "that took {number} minutes last time",
    "{who} needs it by {day}",
    "nobody uses the other one",
    "i want numbers, not guesses",
    "we agreed on that {day}",
    "its in the ticket",
    "keep it boring",
    "saves us {number} bucks a week",
)
LIMITS = (
    "under {number} lines",
    "nothing else",
    "by {day}",
    "one pr",
    "no new deps",
    "behind a flag",
    "tests green first",
    "then stop",
    "no essay",
    "ping {who} after",
    "{number} minutes max",
    "report back in two lines",
    "log what you did",
    "dont touch main",
    "and write it down",
    "before {number} today",
)
TAIL_SHARE = {"exploring": 0.75, "converging": 0.40, "wrong": 0.45, "done": 0.15}
SECOND_TAIL_SHARE = {"exploring": 0.25, "converging": 0.05, "wrong": 0.05, "done": 0.0}
TAILS = {
    "correct": REASONS + LIMITS,
    "direct": REASONS + LIMITS,
    "expand": LIMITS,
    "choose": REASONS,
    "scope": REASONS + LIMITS,
    "commit": LIMITS,
    "ask": REASONS,
}

PEOPLE = ("priya", "tom", "lena", "marcus", "ana", "dev", "kofi", "mia")
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "tonight", "noon", "the demo")


def draw_act(dice: Dice, state: str, form: str) -> str:
    """Return the act Sam answers with: by the state, among those that fit the form of the turn."""
    weights = dict(zip(ACTS, ACT_WEIGHTS[state], strict=True))
    weights = {act: weight * FITS[form].get(act, 1.0) for act, weight in weights.items()}
    return dice.weighted(weights)


def reply(dice: Dice, state: str, act: str, turn: Turn, known: Mapping[str, str] = MappingProxyType({})) -> str:
    """Return Sam's words for this act in this state, about what the turn says.

    Args:
        dice: draws the words.
        state: of the conversation.
        act: what the reply does.
        turn: what it answers.
        known: words for slots, in place of those that are drawn.
    """
    if act == "continue":
        return dice.pick(GO_AHEADS)
    slots = _slots(dice, turn) | dict(known)
    words = dice.pick(CORES[act]).format(**slots)
    if dice.chance(TAIL_SHARE[state]):
        words += f". {dice.pick(TAILS[act])}" if not words.endswith("?") else f" {dice.pick(TAILS[act])}"
        if dice.chance(SECOND_TAIL_SHARE[state]):
            words += f". {dice.pick(TAILS[act])}"
    if dice.chance(LEAD_SHARE[state]):
        words = f"{dice.pick(LEADS[state])} {words}"
    words = words.format(**slots).lower()
    if dice.chance(0.10):
        words = words[0].upper() + words[1:] + ("" if words.endswith("?") else ".")
    return words


def _slots(dice: Dice, turn: Turn) -> dict[str, str]:
    orders = [order for order in turn.topic.orders if order != turn.order and turn.part not in order]
    x, y = dice.distinct(orders, 2)
    others = apart([part for part in turn.topic.parts if part != turn.part], turn.order, x)
    one, two = (turn.one, turn.two) if dice.chance(0.5) else (turn.two, turn.one)
    return {
        "name": turn.topic.name,
        "part": turn.part,
        "order": turn.order,
        "other": dice.pick(others),
        "x": x,
        "y": y,
        "one": one,
        "two": two,
        "who": dice.pick(PEOPLE),
        "day": dice.pick(DAYS),
        "number": str(dice.integer(2, 60)),
        "why": dice.pick(REASONS[:4]),
    }
