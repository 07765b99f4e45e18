"""Replies that may teach: a line of data/prefer/replies.jsonl → None, or why it makes no pair."""

from collections.abc import Mapping
from typing import Any

from twin.text import neutralise

PERSON = "R"
"""The arm of the person's own reply, as in blind ratings."""


def unusable(reply: Mapping[str, Any]) -> str | None:
    """Return why a reply makes no pair, None if it may.

    One that ran into the limit would teach that its end is wrong, and a broken one teaches nothing.
    """
    if not reply["stopped"]:
        return "unfinished"
    if not reply["text"].strip():
        return "empty"
    return "control_string" if neutralise(reply["text"]) != reply["text"] else None
