"""What a paired difference is worth: values per prompt, run and conversation → bounds, p-values, verdicts.

A difference is positive where the compared side does better. Bounds are one-sided, at 95 %; a verdict is two
one-sided tests (TOST) against the margin; where these do not settle it, bounds and sign flips that agree on a sign.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb, isfinite

import numpy as np
from numpy.typing import NDArray

from twin.errors import ConfigError
from twin.intervals import TAIL, Interval, interval, ratio, totals, weights

Array = NDArray[np.float64]

DRAWS = 10_000
SEED = 17
EXACT_SIGNS = 14
"""Up to 2^14 sign patterns are enumerated; beyond that 10,000 are drawn."""
LEVEL = 2 * TAIL
"""Of a two-sided p that agrees with one-sided bounds."""
CONVERSATIONS_MIN = 5
"""Least number at which sign flips can reach the level: 2 / 2^5 is 6 %."""


@dataclass(frozen=True)
class Paired:
    """One metric of two sides on the same prompts. N prompts; S and T runs; higher is better."""

    conversations: tuple[str, ...]
    units_N: Array
    reference_S_N: Array
    compared_T_N: Array

    @property
    def levels(self) -> tuple[float, float]:
        """Value per unit of either side, mean over its runs."""
        units = float(self.units_N.sum())
        sides = (self.reference_S_N, self.compared_T_N)
        return (float(sides[0].mean(0).sum()) / units, float(sides[1].mean(0).sum()) / units)

    @property
    def ahead(self) -> Array:
        """(N,) how far the compared side is ahead on each prompt, mean over the runs."""
        ahead: Array = self.compared_T_N.mean(0) - self.reference_S_N.mean(0)
        return ahead


def difference(paired: Paired) -> Interval:
    """Return Σ ahead / Σ units with its bounds over conversations, and over seeds where a side has several."""
    units_C = totals(paired.conversations, paired.units_N.tolist())
    if len(paired.reference_S_N) == len(paired.compared_T_N) == 1:
        ahead_C = totals(paired.conversations, paired.ahead.tolist())
        return interval(ratio(ahead_C, units_C), len(units_C), DRAWS, SEED)
    drawn_K_C = weights(len(units_C), DRAWS, SEED)
    wide = stretch(len(paired.reference_S_N) + len(paired.compared_T_N) - 2)
    ours, theirs = (
        _side(side, paired.conversations, drawn_K_C, seed_weights(len(side), SEED + offset, wide))
        for offset, side in ((1, paired.reference_S_N), (2, paired.compared_T_N))
    )
    lower, upper = np.quantile((theirs - ours) / (drawn_K_C @ units_C), [TAIL, 1 - TAIL])
    return Interval(float(paired.ahead.sum() / units_C.sum()), float(lower), float(upper), len(units_C))


def _side(runs_S_N: Array, conversations: Sequence[str], drawn_K_C: Array, seeds_K_S: Array) -> Array:
    sums_S_C = np.stack([totals(conversations, run_N.tolist()) for run_N in runs_S_N])
    result: Array = ((drawn_K_C @ sums_S_C.T) * seeds_K_S).mean(1)
    return result


def stretch(freedom: int) -> float:
    """Return by how much Student's 95 % quantile exceeds the normal one: few seeds tell little of their spread."""
    from scipy.special import ndtri, stdtrit

    return float(stdtrit(freedom, 1 - TAIL) / ndtri(1 - TAIL))


def seed_weights(runs: int, seed: int, wide: float = 1.0) -> Array:
    """Return (draws, runs) bootstrap weights whose spread, times `wide`, is that of a mean of few runs, unbiased.

    Source: Rao and Wu, JASA 83, 1988, the rescaled bootstrap with n draws.
    """
    if runs == 1:
        return np.ones((DRAWS, 1))
    drawn = np.random.default_rng(seed).multinomial(runs, np.full(runs, 1 / runs), size=DRAWS)
    result: Array = 1 + wide * np.sqrt(runs / (runs - 1)) * (drawn - 1)
    return result


def sign_flips(paired: Paired) -> float:
    """Return the two-sided p that a difference as large comes of chance, by flipping the sign of whole conversations.

    It speaks of the runs at hand: seeds are averaged, not resampled.
    """
    ahead_C = totals(paired.conversations, paired.ahead.tolist())
    moved = ahead_C[ahead_C != 0]
    if not moved.size:
        return 1.0
    least = abs(moved.sum()) - 1e-12 * np.abs(moved).sum()
    if moved.size <= EXACT_SIGNS:
        patterns = np.arange(2**moved.size)[:, None] >> np.arange(moved.size) & 1
        return float(np.mean(np.abs((1 - 2 * patterns) @ moved) >= least))
    signs = np.random.default_rng(SEED).choice([-1.0, 1.0], size=(DRAWS, moved.size))
    return float((1 + np.sum(np.abs(signs @ moved) >= least)) / (1 + DRAWS))


@dataclass(frozen=True)
class SideBySide:
    """Prompts on which the compared side scores higher, lower, the same; p of the decided ones (binomial)."""

    wins: int
    losses: int
    ties: int
    p: float


def side_by_side(paired: Paired) -> SideBySide:
    """Count wins; the two-sided exact p takes prompts as independent."""
    ahead_N = np.round(paired.ahead, 9)  # means over seeds that are equal differ in their last bit
    wins, losses = int((ahead_N > 0).sum()), int((ahead_N < 0).sum())
    decided = wins + losses
    tail = sum(comb(decided, k) for k in range(max(wins, losses), decided + 1))
    return SideBySide(wins, losses, len(ahead_N) - decided, min(1.0, 2 * tail / 2**decided))


def verdict(found: Interval, margin: float, p: float) -> str:
    """Return equivalent, better, worse or inconclusive.

    Equivalent where both bounds lie within ±margin, ends included; else better where the lower bound is above 0,
    worse where the upper is below 0, if the sign flips agree; else, and below five conversations, inconclusive.
    """
    if found.clusters < CONVERSATIONS_MIN:
        return "inconclusive"
    if -margin <= found.lower and found.upper <= margin:
        return "equivalent"
    # Bounds of a skewed mean cover less than they say; a single far reply moves them, and not the sign flips.
    if p > LEVEL or found.lower <= 0 <= found.upper:
        return "inconclusive"
    return "better" if found.lower > 0 else "worse"


@dataclass(frozen=True)
class Margins:
    """Differences up to these are taken for none."""

    bits_per_token: float = 0.05
    bits_per_byte: float = 0.02
    rubric: float = 0.15

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not (isfinite(value) and value >= 0):
                raise ConfigError(f"--margin-{name.replace('_', '-')} is {value}; give 0 or more.")
