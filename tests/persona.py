"""A made-up person of few words and a wordy assistant, as rows of the split and of the generate stage."""

import itertools
import random
from collections.abc import Mapping
from typing import Any

from twin.protocol import protocol

ORDERS = (
    "merge",
    "ship",
    "revert",
    "check",
    "drop",
    "split",
    "rerun",
    "fix",
    "patch",
    "restart",
    "draft",
    "cut",
    "cache",
    "log",
    "review",
    "send",
    "move",
    "test",
)
THINGS = (
    "the branch",
    "the auth patch",
    "the slow test",
    "the deploy",
    "the client update",
    "the queue",
    "the type error",
    "the gpu jobs",
    "the spore build",
    "the cache layer",
    "the staging config",
    "the kafka consumer",
    "the old flag",
    "the release notes",
    "the worker pool",
    "the login route",
)
TAILS = (
    "now",
    "first",
    "then ping me",
    "before friday",
    "and keep it small",
    "on main",
    "nothing else",
    "behind a flag",
    "today",
    "not the rest",
    "and tell kofi",
)
STARTS = ("no.", "ok", "yes,", "nope,", "fine.", "wait,", "right,", "hm,")
STOCK = ("go", "ok go", "ship it", "no", "looks good, merge it", "do it", "yes")
OPENINGS = (
    "I understand that {thing} is important to you.",
    "Thank you for the update on {thing}.",
    "It sounds like {thing} needs some attention.",
    "Based on what you described, {thing} could be improved.",
    "I have carefully looked at {thing}.",
)
MIDDLES = (
    "There are several factors to consider before we {order} {thing}.",
    "I would recommend that we {order} {thing} in a structured way.",
    "One option would be to {order} {thing} and monitor the results closely.",
    "We could also {order} {thing} to ensure the best possible outcome.",
)
CLOSINGS = (
    "Please let me know how you would like to proceed.",
    "Would you like me to prepare a detailed plan?",
    "I am happy to provide more information at any time.",
    "Feel free to share your thoughts.",
)
PARTS = {"train": (160, 5), "cal": (60, 5), "test": (30, 3), "valid": (10, 2)}
"""Conversations and replies in each."""

Row = dict[str, Any]


def terse(dice: random.Random) -> str:
    """Say something the person might."""
    if dice.random() < 0.12:
        return dice.choice(STOCK)
    order = f"{dice.choice(ORDERS)} {dice.choice(THINGS)}"
    tail = f" {dice.choice(TAILS)}" if dice.random() < 0.6 else ""
    second = f". {dice.choice(ORDERS)} {dice.choice(THINGS)}" if dice.random() < 0.25 else ""
    return f"{dice.choice(STARTS)} {order}{tail}{second}" if dice.random() < 0.5 else f"{order}{tail}{second}"


def wordy(dice: random.Random) -> str:
    """Say something an assistant might."""
    thing, order = dice.choice(THINGS), dice.choice(ORDERS)
    said = (dice.choice(OPENINGS), dice.choice(MIDDLES), dice.choice(CLOSINGS))
    return " ".join(said).format(thing=thing, order=order)


def splits(seed: int = 1, sizes: Mapping[str, tuple[int, int]] = PARTS) -> dict[str, list[Row]]:
    """Return rows as the split stage writes them."""
    dice = random.Random(seed)
    parts: dict[str, list[Row]] = {}
    for part, (conversations, replies) in sizes.items():
        places = itertools.product(range(conversations), range(replies))
        parts[part] = [_row(part, conversation, place, dice) for conversation, place in places]
    return parts


def _row(part: str, conversation: int, place: int, dice: random.Random) -> Row:
    reply = terse(dice)
    row: Row = {
        "id": f"{part}-{conversation:03}-{place}",
        "conversation_id": f"{part}-{conversation:03}",
        "messages": [
            {"role": "system", "content": "You are Robin."},
            {"role": "user", "content": wordy(dice)},
            {"role": "assistant", "content": reply},
        ],
        "split": part,
        "stock": reply in STOCK,
    }
    return row | ({"half": ("fit", "cut")[conversation % 2]} if part == "cal" else {})


def generations(parts: dict[str, list[Row]], seed: int = 2) -> list[Row]:
    """Return what the arms say: B0 and B1 are wordy, X sounds like the person."""
    dice = random.Random(seed)
    asked = [("protocol", prompt.id) for prompt in protocol()]
    asked += [(part, row["id"]) for part in ("test", "valid", "cal") for row in parts[part]]
    rows = []
    for prompt_set, prompt_id in asked:
        for arm in ("B0", "B1", "X")[: 2 if prompt_set == "cal" else 3]:
            text = terse(dice) if arm == "X" else wordy(dice)
            said = {"arm": arm, "text": text, "stopped": True, "tokens": len(text.split())}
            rows.append({"prompt_set": prompt_set, "prompt_id": prompt_id} | said)
    return rows


def likelihoods(parts: dict[str, list[Row]], seed: int = 3) -> list[Row]:
    """Return likelihoods of real replies: X finds them 0.5 nats a token likelier than B1, learned ones 0.1 more so.

    Behind its own prompt a reply is 0.4 nats a token likelier under X than behind another's; B0 sees no difference.
    """
    dice = random.Random(seed)
    rows = []

    def put(prompt_set: str, prompt: str, row: Row, arm: str, nats: float) -> None:
        reply = row["messages"][-1]["content"]
        tokens = len(reply.split()) + 1
        known = {"prompt_set": prompt_set, "prompt_id": prompt, "reply_id": row["id"], "arm": arm}
        told = {"conversation_id": row["conversation_id"], "stock": row["stock"]}
        measured = {"tokens": tokens, "bytes": len(reply.encode()), "total_nats": tokens * (nats + dice.gauss(0, 0.1))}
        rows.append(known | told | measured)

    for row in parts["test"]:
        for arm, nats in (("B0", 3.0), ("B1", 2.5), ("X", 2.0)):
            put("test", row["id"], row, arm, nats)
    for row in parts["train"][: len(parts["test"])]:
        for arm, nats in (("B0", 3.0), ("X", 1.9)):
            put("train", row["id"], row, arm, nats)
    test = parts["test"]
    for place, row in enumerate(test):
        for arm, nats in (("B0", 3.0), ("X", 2.0)):
            put("alone", "neutral", row, arm, nats)
            for other in (row, *(test[(place + step) % len(test)] for step in (10, 20, 30))):
                put("choice", row["id"], other, arm, nats - 0.4 * (arm == "X" and other is row))
    return rows
