"""Whether length alone tells chosen from rejected: pairs → the lengths of both, in words and tokens.

What is shorter throughout can be learned as "be short": preference training is known for it, mostly the other way
round. Source: length bias, arXiv 2403.19159.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from stages.prefer.pairs import Pair

TELLING = 0.9
FEWEST = 10  # pairs: of fewer a coin may tell as many
SHARES = {"p10": 0.1, "p50": 0.5, "p90": 0.9}


def lengths(pairs: Sequence[Pair]) -> dict[str, Any]:
    """Return quantiles and means of both lengths, how often the chosen reply is the shorter one, and how many pairs a
    rule that knows only the lengths tells apart.
    """
    counted = {
        "words": [(len(pair.chosen.split()), len(pair.rejected.split())) for pair in pairs],
        "tokens": [(pair.chosen_tokens, pair.rejected_tokens) for pair in pairs],
    }
    return {unit: _told(numbers) for unit, numbers in counted.items()} if pairs else {}


def by_source(pairs: Sequence[Pair]) -> dict[str, dict[str, float]]:
    """Return, for the pairs of each source, how many there are and the share that their tokens tell apart.

    Together they hide each other: a base's replies are long and the trained adapter's are not.
    """
    sources = sorted({pair.source for pair in pairs})
    own = {source: [pair for pair in pairs if pair.source == source] for source in sources}
    return {
        source: {"pairs": len(some), "told_by_length": lengths(some)["tokens"]["told_by_length"]}
        for source, some in own.items()
    }


def warning(told: Mapping[str, Mapping[str, float]]) -> str | None:
    """Return what to say where length alone tells nearly all pairs of a source apart, for what `by_source` returned."""
    said = [
        f"{one['told_by_length']:.0%} of the {one['pairs']} pairs of {source}"
        for source, one in told.items()
        if one["pairs"] >= FEWEST and one["told_by_length"] >= TELLING
    ]
    if not said:
        return None
    return (
        f"length alone tells {' and '.join(said)} apart: preference training may learn it instead of the voice. "
        "-S prefer.rejected=twin has replies of like length, -S prefer.length_ratio=2 keeps only such."
    )


def _told(numbers: Sequence[tuple[int, int]]) -> dict[str, Any]:
    chosen, rejected = zip(*numbers, strict=True)
    shorter = fmean((one < other) + 0.5 * (one == other) for one, other in numbers)
    return {
        "chosen": _distribution(chosen),
        "rejected": _distribution(rejected),
        "chosen_shorter": round(fmean(one < other for one, other in numbers), 6),
        "equal": round(fmean(one == other for one, other in numbers), 6),
        "told_by_length": round(max(shorter, 1 - shorter), 6),
    }


def _distribution(values: Sequence[int]) -> dict[str, float]:
    ordered = sorted(values)
    quantiles = {name: ordered[round(share * (len(ordered) - 1))] for name, share in SHARES.items()}
    return {**quantiles, "mean": round(fmean(values), 6)}
