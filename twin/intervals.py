"""Intervals by resampling whole conversations: a statistic of cluster weights → value, lower and upper bound.

Every bound is one-sided: the 5 % and the 95 % quantile. BCa from 20 conversations on (Efron, JASA 82, 1987), plain
percentiles below, where its correction is itself too uncertain. Both reach further out, by Student's t and the spread
that few conversations lose (Hesterberg, The American Statistician 69, 2015): without that the lower bound of twenty
lies below the truth in 92 of 100 simulations, with it in 94 to 96.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Statistic = Callable[[Array], Array]
"""(K, C) weights of the conversations → (K,) values; must equal the plain value where all weights are 1."""

TAIL = 0.05
CORRECTED_FROM = 20


@dataclass(frozen=True)
class Interval:
    """A value with its one-sided 95 % bounds."""

    value: float
    lower: float
    upper: float
    clusters: int


def interval(statistic: Statistic, clusters: int, draws: int, seed: int) -> Interval:
    """Return the statistic and its bounds over `clusters` conversations."""
    value = float(statistic(np.ones((1, clusters)))[0])
    drawn = statistic(weights(clusters, draws, seed))
    shares = expanded(clusters)
    if clusters >= CORRECTED_FROM:
        shares = _corrected(shares, _bend(value, drawn, statistic(1 - np.eye(clusters))))
    lower, upper = np.quantile(drawn, shares)
    return Interval(value, float(lower), float(upper), clusters)


def expanded(clusters: int) -> Array:
    """Return the two shares of the draws at which the bounds lie; of very many conversations, 5 % and 95 %."""
    from scipy.special import ndtr, stdtrit

    if clusters < 2:
        return np.array([TAIL, 1 - TAIL])
    reach = np.sqrt(clusters / (clusters - 1)) * stdtrit(clusters - 1, [TAIL, 1 - TAIL])
    shares: Array = ndtr(reach)
    return shares


@lru_cache(maxsize=4)
def weights(clusters: int, draws: int, seed: int) -> Array:
    """Return (draws, clusters) counts of how often each conversation is drawn."""
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(clusters, np.full(clusters, 1 / clusters), size=draws)
    return drawn.astype(np.float64)


def p_worse(statistic: Statistic, clusters: int, draws: int, seed: int) -> float:
    """Return the least level at which the upper bound of a difference is below 0: below 5 % just where `upper` is."""
    from scipy.special import ndtri, stdtr

    drawn = statistic(weights(clusters, draws, seed))
    reach = ndtri(min(max(float(np.mean(drawn < 0)), 1 / (1 + draws)), draws / (1 + draws)))
    if clusters < 2:
        return float(np.mean(drawn >= 0))
    if clusters >= CORRECTED_FROM:
        value = float(statistic(np.ones((1, clusters)))[0])
        reach = _straightened(reach, _bend(value, drawn, statistic(1 - np.eye(clusters))))
    return float(stdtr(clusters - 1, -reach / np.sqrt(clusters / (clusters - 1))))


def _bend(value: float, drawn: Array, left_out: Array) -> tuple[float, float] | None:
    """Return BCa's bias and acceleration; None where all draws lie on one side of the value."""
    from scipy.special import ndtri

    below = float(np.mean(drawn < value) + np.mean(drawn == value) / 2)
    if not 0 < below < 1:
        return None
    pull = left_out.mean() - left_out
    spread = float((pull**2).sum()) ** 1.5
    return float(ndtri(below)), float((pull**3).sum()) / (6 * spread) if spread else 0.0


def _corrected(shares: Array, bend: tuple[float, float] | None) -> Array:
    from scipy.special import ndtr, ndtri

    if bend is None:
        return shares
    bias, acceleration = bend
    shift = bias + ndtri(shares)
    corrected: Array = ndtr(bias + shift / (1 - acceleration * shift))
    return corrected


def _straightened(reach: float, bend: tuple[float, float] | None) -> float:
    """Undo the correction of a normal quantile."""
    if bend is None:
        return reach
    bias, acceleration = bend
    shift = reach - bias
    stretched = 1 + acceleration * shift
    return shift / stretched - bias if stretched > 0 else float(np.copysign(np.inf, shift))


def holm(values: Sequence[float]) -> list[float]:
    """Return Holm's adjusted p-values, in the order given (Scandinavian Journal of Statistics 6, 1979)."""
    adjusted, highest = [0.0] * len(values), 0.0
    for rank, place in enumerate(sorted(range(len(values)), key=lambda one: values[one])):
        highest = max(highest, min(1.0, (len(values) - rank) * values[place]))
        adjusted[place] = highest
    return adjusted


def ratio(numerators: Sequence[float] | Array, denominators: Sequence[float] | Array) -> Statistic:
    """Return the statistic Σ numerator / Σ denominator over the conversations."""
    above, below = np.asarray(numerators, dtype=np.float64), np.asarray(denominators, dtype=np.float64)

    def statistic(weights_K_C: Array) -> Array:
        result: Array = (weights_K_C @ above) / (weights_K_C @ below)
        return result

    return statistic


def totals(conversations: Sequence[str], values: Sequence[float]) -> Array:
    """Return the sum of `values` per conversation, in the order of the conversations' ids."""
    _, places = np.unique(np.asarray(conversations), return_inverse=True)
    return np.bincount(places, weights=np.asarray(values, dtype=np.float64)).astype(np.float64)


def rate_bounds(hits: int, n: int) -> tuple[float, float]:
    """Return the Clopper–Pearson bounds of a rate, each at 95 % one-sided."""
    from scipy.special import betaincinv

    lower = float(betaincinv(hits, n - hits + 1, TAIL)) if hits else 0.0
    upper = float(betaincinv(hits + 1, n - hits, 1 - TAIL)) if hits < n else 1.0
    return lower, upper
