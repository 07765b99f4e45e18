"""Quantiles of what was only counted in bins: a histogram → values, as exact as a bin is narrow."""

from collections.abc import Sequence
from typing import Final

SHARES: Final = (0.05, 0.25, 0.5, 0.75, 0.95)


def quantiles(counts: Sequence[int], low: float, high: float) -> list[float] | None:
    """Return the values below which `SHARES` of the counts lie, even within a bin; None where nothing is counted."""
    if not sum(counts):
        return None
    width = (high - low) / len(counts)
    return [low + width * _place(counts, share * sum(counts)) for share in SHARES]


def _place(counts: Sequence[int], wanted: float) -> float:
    below = 0
    for index, count in enumerate(counts):
        if count and below + count >= wanted:
            return index + (wanted - below) / count
        below += count
    raise AssertionError(f"{wanted} of {below} counts are wanted")
