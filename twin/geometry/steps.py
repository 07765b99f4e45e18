"""What is known of a step once it is taken: the states up to it → lengths, distances and uncertainties.

None of it depends on where a later window begins, except how many earlier states the uncertainty sees: it is computed
for each number of them.
"""

import math
from dataclasses import dataclass
from functools import cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from twin.geometry.checks import EPSILON, FloatArray, Settings

DECIMALS = 12
"""Cosines, distances and entropies are compared at this precision: ties and bins do not hang on the last bit."""

BLOCK_VALUES = 1 << 17
"""Values worked on at a time: 1 MB, which a core's cache holds."""

Counts = NDArray[np.intp]


@dataclass(frozen=True)
class Steps:
    """Facts of consecutive steps; those of a step that the path is too short for are zero."""

    lengths_T: FloatArray
    """Of the step from the state before."""
    jerks_T: FloatArray
    """Of the third difference that ends here."""
    stiffness_T: FloatArray
    """(cosine between this step and the one before + 1) / 2."""
    squares_T_W: FloatArray
    """Squared distances to the state 0, 1, … turns earlier; infinite before the first."""
    uncertainty_T_W: FloatArray
    """[t, e]: uncertainty if the path began e turns earlier, or with the first state."""


def steps(states_T_D: FloatArray, first: int, width: int, settings: Settings) -> Steps:
    """Return the facts of the steps `first`, `first` + 1, …, for windows of up to `width` states."""
    turns = len(states_T_D)
    squares_T_W = squared_distances(states_T_D, first, width)
    lags_C = np.arange(width - 1, 0, -1)  # the earliest state first: among equally near ones it wins
    squares_T_C = squares_T_W[:, :0:-1]
    rows = max(1, BLOCK_VALUES // (width * states_T_D.shape[1]))
    blocks = [np.zeros((0, width))]
    for start in range(first, turns, rows):
        block = np.arange(start, min(start + rows, turns))
        squares_B_C = squares_T_C[block - first]
        blocks.append(uncertainties(states_T_D, block, lags_C, squares_B_C, np.arange(width), settings=settings))
    return Steps(*motions(states_T_D, first), squares_T_W, np.concatenate(blocks))


def motions(states_T_D: FloatArray, first: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return length, jerk and stiffness of the steps from `first` on."""
    start = max(0, first - 3)
    moves = np.diff(states_T_D[start:], axis=0)
    lengths = norm(moves)
    floored = np.maximum(lengths, EPSILON)
    cosines = (moves[1:] * moves[:-1]).sum(axis=-1) / (floored[1:] * floored[:-1])
    jerks = norm(moves[2:] - 2.0 * moves[1:-1] + moves[:-2])
    facts = (lengths, jerks, ((cosines + 1.0) / 2.0).clip(0.0, 1.0))
    total = len(states_T_D) - first
    return tuple(_behind_zeros(fact, total) for fact in facts)  # type: ignore[return-value]


def _behind_zeros(values: FloatArray, total: int) -> FloatArray:
    known = values[max(0, len(values) - total) :]
    return np.concatenate([np.zeros(total - len(known)), known])


def norm(vectors: FloatArray) -> FloatArray:
    """Return the Euclidean norms along the last axis."""
    return np.asarray(np.sqrt((vectors * vectors).sum(axis=-1)))


def squared_distances(states_T_D: FloatArray, first: int, width: int) -> FloatArray:
    """Return the squared distances of each state from `first` on to the one 0, 1, …, width − 1 turns earlier."""
    turns, dimensions = states_T_D.shape
    squares = np.full((turns - first, width), np.inf)
    squares[:, 0] = 0.0
    rows = max(1, BLOCK_VALUES // dimensions)
    for start in range(first, turns, rows):
        stop = min(start + rows, turns)
        for lag in range(1, min(width, stop)):
            low = max(start, lag)
            moved = states_T_D[low:stop] - states_T_D[low - lag : stop - lag]
            moved *= moved
            squares[low - first : stop - first, lag] = moved.sum(axis=-1)
    return squares


def uncertainties(
    states_T_D: FloatArray,
    steps_T: Counts,
    lags_C: Counts,
    squares_T_C: FloatArray,
    seen_M: Counts,
    *,
    settings: Settings,
) -> FloatArray:
    """Return, for each step and each number of earlier states it sees, the entropy of the angles, in [0, 1].

    Args:
        states_T_D: all states.
        steps_T: the steps asked for.
        lags_C: how much earlier each state compared is, largest first.
        squares_T_C: the squared distances to them, infinite where there is none.
        seen_M: numbers of earlier states.
        settings: k nearest, bins of their angles.
    """
    distances_T_C = np.sqrt(squares_T_C)
    cosines_T_C_C = _cosines(states_T_D, steps_T, lags_C, distances_T_C)
    ranks_T_M_C = np.where(lags_C <= seen_M[:, None], distances_T_C.round(DECIMALS)[:, None], np.inf)
    k = min(settings.k, len(lags_C))
    nearest_T_M_K = np.argsort(ranks_T_M_C, axis=-1, kind="stable")[..., :k]
    first, second = _pairs(k)
    rows = np.arange(len(steps_T))[:, None, None]
    cosines_T_M_P = cosines_T_C_C[rows, nearest_T_M_K[..., first], nearest_T_M_K[..., second]]
    neighbours_T_M = np.minimum(np.minimum(seen_M, steps_T[:, None]), k)
    return entropy(cosines_T_M_P, neighbours_T_M, settings.bins)


def _cosines(states_T_D: FloatArray, steps_T: Counts, lags_C: Counts, distances_T_C: FloatArray) -> FloatArray:
    """Return the cosines between the displacements to the earlier states, rounded; zero where there is none."""
    earlier_T_C = np.maximum(steps_T[:, None] - lags_C, 0)
    units_C_T_D = states_T_D[earlier_T_C.T] - states_T_D[steps_T]
    units_C_T_D /= np.maximum(distances_T_C.T, EPSILON)[..., None]  # to nothing where a distance is infinite
    cosines = np.zeros((len(steps_T), len(lags_C), len(lags_C)))
    product = np.empty(units_C_T_D.shape[1:])
    for one, other in combinations(range(len(lags_C)), 2):
        np.multiply(units_C_T_D[one], units_C_T_D[other], out=product)
        cosines[:, one, other] = cosines[:, other, one] = product.sum(axis=-1)
    return np.asarray(cosines.round(DECIMALS))


@cache
def _pairs(k: int) -> tuple[Counts, Counts]:
    first, second = np.triu_indices(k, 1)
    return first, second


def entropy(cosines_M_P: FloatArray, neighbours_M: Counts, bins: int) -> FloatArray:
    """Return the entropy of the angles over `bins` equal bins of [0, π], as a share of its greatest value.

    An angle reaches an edge when its cosine is at or below the edge's: no arccos, whose last bit is not the same
    everywhere. Equal entropies tie exactly: counts are sorted, and unlike ones such as 6 2 1 1 and 4 3 3 rounded.

    Args:
        cosines_M_P: of all pairs of neighbours, in the order of `np.triu_indices`.
        neighbours_M: how many of the neighbours there are; with fewer than two the entropy is 0.5.
        bins: at least 2.
    """
    pairs = cosines_M_P.shape[-1]
    if not pairs:
        return np.full(neighbours_M.shape, 0.5)
    _, second = _pairs((1 + math.isqrt(1 + 8 * pairs)) // 2)
    known_M_P = second < neighbours_M[..., None]
    index_M_P = bins - 1 - np.searchsorted(_edges(bins), cosines_M_P, side="left")
    cells_M_P = index_M_P + bins * np.arange(neighbours_M.size).reshape(*neighbours_M.shape, 1)
    counts = np.bincount(cells_M_P[known_M_P], minlength=neighbours_M.size * bins)
    counts = np.sort(counts.reshape(*neighbours_M.shape, bins), axis=-1)
    totals = neighbours_M * (neighbours_M - 1) // 2
    shares = _terms(pairs)[totals[..., None], counts].sum(axis=-1) / math.log2(bins)
    return np.where(neighbours_M < 2, 0.5, shares.round(DECIMALS))


@cache
def _edges(bins: int) -> FloatArray:
    # Ascending. The grid of rounded cosines is 1e-12 wide, so the slack forgives the last bit of cos and nothing else.
    return np.cos(np.pi * np.arange(bins - 1, 0, -1) / bins) + 1e-15


@cache
def _terms(pairs: int) -> FloatArray:
    """Return [n, c] = −c/n log2(c/n), the share of the entropy that c of n angles in one bin make."""
    terms = np.zeros((pairs + 1, pairs + 1))
    for total in range(2, pairs + 1):
        terms[total, 1:total] = [-count / total * math.log2(count / total) for count in range(1, total)]
    return terms
