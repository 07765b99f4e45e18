"""What holds of the four parts, computed from the rows as they stand in the files: data/split → metrics."""

import sys
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from stages.split.examples import LENGTHS, Row, length, reply, rows, started
from stages.split.near_duplicates import copies
from stages.split.parts import PARTS
from twin.config.split import SplitConfig
from twin.text import normalise

STRONG_REPLIES = {"train": 200, "valid": 20, "cal": 198, "test": 60}
STRONG_CONVERSATIONS = {"test": 20}
"""With fewer the run goes on and the gates that rest on the part are UNKNOWN."""

UNKNOWN = "unknown"
"""The dialogue act of a row that tells none."""


@dataclass
class Part:
    """What one file says."""

    conversations: set[str] = field(default_factory=set)
    starts: set[tuple[datetime, str]] = field(default_factory=set)
    said: Counter[tuple[str, bool]] = field(default_factory=Counter)
    """Normalised replies and whether they are tagged as stock."""
    places: set[tuple[str, str]] = field(default_factory=set)
    """Normalised replies and the conversations they are in."""
    acts: Counter[str] = field(default_factory=Counter)
    lengths: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(LENGTHS, 0)))
    halves: Counter[str] = field(default_factory=lambda: Counter(fit=0, cut=0))

    def add(self, row: Row) -> None:
        """Count one row."""
        plain, conversation = sys.intern(normalise(reply(row))), sys.intern(row["conversation_id"])
        self.conversations.add(conversation)
        self.starts.add(started(row))
        self.said[plain, row["stock"]] += 1
        self.places.add((plain, conversation))
        self.acts[row.get("act") or UNKNOWN] += 1
        self.lengths[length(reply(row))] += 1
        self.halves.update([row["half"]] if "half" in row else [])

    @property
    def replies(self) -> int:
        """Return the number of rows."""
        return self.said.total()

    def metrics(self) -> Row:
        """Return the sizes and the mix."""
        return {
            "replies": self.replies,
            "conversations": len(self.conversations),
            "stock": sum(found for (_, stock), found in self.said.items() if stock),
            "acts": dict(self.acts),
            "lengths": dict(self.lengths),
        }


def prove(folder: Path, config: SplitConfig) -> Row:
    """Count what the four files in `folder` hold and check what they promise; how they came about plays no part."""
    parts = {name: read(folder / f"{name}.jsonl") for name in PARTS}
    return {
        "parts": {name: part.metrics() for name, part in parts.items()},
        "halves": dict(parts["cal"].halves),
        "proofs": {
            "conversations_in_two_parts": _shared([part.conversations for part in parts.values()]),
            "time_order": all(max(older.starts) < min(newer.starts) for older, newer in pairwise(parts.values())),
            "near_duplicates_left": _left(parts, config),
            "stock_tags_wrong": _wrong(parts, config.stock_conversations),
        },
        "strength": {
            name: part.replies >= STRONG_REPLIES[name] and len(part.conversations) >= STRONG_CONVERSATIONS.get(name, 1)
            for name, part in parts.items()
        },
    }


def read(path: Path) -> Part:
    """Return what a file of rows says.

    Raises:
        DataError: the file is missing or a line is not JSON.
    """
    part = Part()
    for _, row in rows(path):
        part.add(row)
    return part


def _shared(ids: Collection[set[str]]) -> int:
    return sum(map(len, ids)) - len(set[str]().union(*ids))


def _left(parts: dict[str, Part], config: SplitConfig) -> int:
    """Return the replies of train, stock phrases aside, that equal or resemble a judging part's."""
    judging = {plain for name in PARTS[1:] for plain, _ in parts[name].said}
    train = {plain for plain, stock in parts["train"].said if not stock}
    close = set[str]().union(*copies(train, judging, config))
    return sum(found for (plain, stock), found in parts["train"].said.items() if plain in close and not stock)


def _wrong(parts: dict[str, Part], conversations: int) -> int:
    """Return the rows whose `stock` is not what counting the conversations of train says; none was purged for it."""
    found = Counter(plain for plain, _ in parts["train"].places)
    return sum(
        replies
        for part in parts.values()
        for (plain, stock), replies in part.said.items()
        if stock != (found[plain] >= conversations)
    )
