"""Patterns of assistant voice, profanity, markup and debris: slop.yaml, train replies → those not the person's own."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from stages.evaluate.replies import Reply
from twin.errors import DataError
from twin.files import read_text

SLOP = Path(__file__).with_name("slop.yaml")
KINDS = ("hard", "soft", "profanity", "test_talk", "debris", "markup")
RATE_MAX = 0.005
SOFT_RATE_MAX = 0.02


@dataclass(frozen=True)
class Patterns:
    """Patterns in use by kind, and those that were dropped because the person writes so."""

    kept: dict[str, tuple[re.Pattern[str], ...]]
    dropped: tuple[str, ...]

    def hits(self, kind: str, reply: Reply) -> int:
        """Return how many patterns of the kind fire."""
        return sum(bool(pattern.search(reply.lower)) for pattern in self.kept[kind])


def read_patterns(path: Path = SLOP) -> dict[str, tuple[re.Pattern[str], ...]]:
    """Read and compile the patterns of every kind.

    Raises:
        DataError: a kind is missing or unknown, or a pattern is not a regular expression.
    """
    lists = yaml.safe_load(read_text(path))
    if not isinstance(lists, dict) or set(lists) != set(KINDS):
        raise DataError(f"{path} has the kinds {sorted(lists)}; it must have {sorted(KINDS)}.")
    return {kind: tuple(_compile(pattern, path) for pattern in lists[kind]) for kind in KINDS}


def _compile(pattern: str, path: Path) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise DataError(f"{path}: {pattern!r} is not a regular expression: {error}. Correct or remove it.") from error


def calibrate(patterns: dict[str, tuple[re.Pattern[str], ...]], train: Sequence[Reply]) -> Patterns:
    """Keep the patterns that fire on at most 0.5 % (soft: 2 %) of the person's replies."""
    kept: dict[str, tuple[re.Pattern[str], ...]] = {}
    dropped: list[str] = []
    for kind, all_of_kind in patterns.items():
        most = (SOFT_RATE_MAX if kind == "soft" else RATE_MAX) * len(train)
        usual = [one for one in all_of_kind if sum(bool(one.search(reply.lower)) for reply in train) > most]
        kept[kind] = tuple(one for one in all_of_kind if one not in usual)
        dropped += [f"{kind}: {one.pattern}" for one in usual]
    return Patterns(kept, tuple(dropped))
