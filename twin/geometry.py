"""Anticipation geometry: the states of a conversation so far → seven scalars and a regime.

`measure` sees a path that ends before the reply and nothing after it, so a reading cannot know the reply.

T turns, D dimensions, K nearest earlier states, P pairs of them. float64, logarithms of base 2, Euclidean norms.
Sums are numpy's own and never BLAS, whose last bits differ between machines.
"""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from twin.errors import ConfigError, DataError

FloatArray = NDArray[np.float64]

EPSILON = 1e-10
"""Below this a step, a displacement or a radius counts as nothing."""

DECIMALS = 12
"""Cosines and distances are compared at this precision, so that ties and bins do not hang on the last bit."""

LARGEST = 1e150
"""Beyond this a squared distance leaves float64."""

BLOCK_VALUES = 1 << 15
"""Differences held at a time: 256 KB, which a cache holds too."""

REGIMES = ("transitioning", "exploring", "locked", "committing", "stalled")


@dataclass(frozen=True)
class Reading:
    """Where a conversation stands; transition pressure is signed, the other scalars lie in [0, 1]."""

    commitment: float
    uncertainty: float
    transition_pressure: float
    recovery_margin: float
    phase_stiffness: float
    novelty: float
    stability: float

    @property
    def regime(self) -> str:
        """Name the situation, one of `REGIMES`: the first rule that holds."""
        if self.transition_pressure > 0.5:
            return "transitioning"
        if self.uncertainty > 0.6 and self.recovery_margin > 0.5:
            return "exploring"
        if self.commitment > 0.7 and self.uncertainty < 0.3 and self.recovery_margin < 0.4:
            return "locked"
        if self.commitment > 0.5 and self.uncertainty < 0.5:
            return "committing"
        return "stalled"


def measure(states_T_D: FloatArray, k: int = 5, bins: int = 8, smoothing: int = 3) -> Reading:
    """Read a path at its last step.

    Args:
        states_T_D: one state a turn, oldest first, T ≥ 2.
        k: nearest earlier states whose directions make the uncertainty.
        bins: equal angle bins over [0, π].
        smoothing: width of the centred moving average in transition pressure; odd.

    Raises:
        DataError: fewer than two states, not a matrix, or a value that is not finite.
        ConfigError: k, bins or smoothing out of range.
    """
    return trace(states_T_D, k, bins, smoothing)[-1]


def trace(states_T_D: FloatArray, k: int = 5, bins: int = 8, smoothing: int = 3) -> list[Reading]:
    """Read every step of one whole path; every step but the last knows what came after it.

    Not for training examples: maxima, mean and median are taken over the whole path.

    Raises:
        DataError, ConfigError: as `measure`.
    """
    states = _checked(states_T_D, k, bins, smoothing)
    distances = _distances(states)
    steps = states[1:] - states[:-1]
    lengths = _norm(steps)
    commitment = _commitment(lengths)
    uncertainty = _uncertainty(states, distances, k, bins)
    radius = 2.0 * float(_norm(states - states.mean(axis=0)).max())
    scalars = np.stack(
        [
            commitment,
            uncertainty,
            _transition_pressure(commitment, uncertainty, smoothing),
            _recovery_margin(distances, uncertainty, radius),
            _phase_stiffness(steps, lengths),
            _novelty(distances, radius),
            _stability(steps),
        ],
        axis=1,
    )
    return [Reading(*row) for row in scalars.tolist()]


def _checked(states_T_D: FloatArray, k: int, bins: int, smoothing: int) -> FloatArray:
    for name, value in {"neighbours": k, "bins": bins}.items():
        if value < 2:
            raise ConfigError(f"augment.{name} is {value}; it must be at least 2.")
    if smoothing < 1 or smoothing % 2 == 0:
        raise ConfigError(f"augment.smoothing is {smoothing}; it must be odd, so that the average is centred.")
    states = np.asarray(states_T_D, dtype=np.float64)
    if states.ndim != 2 or states.shape[1] == 0:
        raise DataError(f"states have the shape {states.shape}; one row a turn, one column a dimension are needed.")
    if len(states) < 2:
        raise DataError(f"a path of {len(states)} states has no reading; two are needed. Use the cold-start tag.")
    usable = (np.abs(states) <= LARGEST).all(axis=1)
    if not usable.all():
        turn = int(np.argmin(usable))
        raise DataError(
            f"state {turn} of {len(states)} holds NaN, infinity or a value beyond {LARGEST:g}. Check the embedder."
        )
    return states


def _norm(vectors: FloatArray) -> FloatArray:
    return np.asarray(np.sqrt((vectors * vectors).sum(axis=-1)))


def _distances(states_T_D: FloatArray) -> FloatArray:
    # In blocks of rows: the differences of a long path, all at once, would take T times its memory.
    rows = max(1, BLOCK_VALUES // states_T_D.size)
    starts = range(0, len(states_T_D), rows)
    return np.concatenate([_norm(states_T_D[start : start + rows, None] - states_T_D) for start in starts])


def _relative(lengths: FloatArray) -> FloatArray:
    """Return 1 − length / longest; all ones where nothing moves."""
    longest = lengths.max()
    return np.ones_like(lengths) if longest < EPSILON else 1.0 - lengths / longest


def _commitment(lengths: FloatArray) -> FloatArray:
    first = 1.0 if lengths.max() < EPSILON else 0.5
    return np.concatenate([[first], _relative(lengths)])


def _uncertainty(states_T_D: FloatArray, distances_T_T: FloatArray, k: int, bins: int) -> FloatArray:
    """Return the entropy of the angles under which each step sees its nearest earlier states, in [0, 1]."""
    turns = len(states_T_D)
    uncertainty = np.full(turns, 0.5)
    if turns < 3:
        return uncertainty
    k = min(k, turns - 1)
    step = np.arange(2, turns)
    ranks = np.where(np.arange(turns) < step[:, None], distances_T_T[2:].round(DECIMALS), np.inf)
    nearest = np.argsort(ranks, axis=1, kind="stable")[:, :k]
    lengths = np.take_along_axis(distances_T_T[2:], nearest, axis=1)
    displacements_T_K_D = states_T_D[nearest] - states_T_D[2:, None]
    units_T_K_D = displacements_T_K_D / np.maximum(lengths, EPSILON)[..., None]
    first, second = _pairs(k)
    cosines_T_P = (units_T_K_D[:, first] * units_T_K_D[:, second]).sum(axis=-1).round(DECIMALS)
    uncertainty[2:] = _entropy(cosines_T_P, second < step[:, None], bins)
    return uncertainty


@cache
def _pairs(k: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    first, second = np.triu_indices(k, 1)
    return first, second


def _entropy(cosines_T_P: FloatArray, known_T_P: NDArray[np.bool_], bins: int) -> FloatArray:
    """Return the entropy of each row's angles over `bins`, as a share of its greatest value.

    An angle reaches an edge when its cosine is at or below the edge's: no arccos, whose last bit is not
    the same everywhere. Counts are sorted so that equal histograms in another order tie exactly.
    """
    index = (cosines_T_P[..., None] <= _edges(bins)).sum(axis=-1)
    counts = ((index[..., None] == np.arange(bins)) & known_T_P[..., None]).sum(axis=1)
    counts.sort(axis=-1)
    shares = counts / counts.sum(axis=-1, keepdims=True)
    terms = shares * np.log2(np.where(counts > 0, shares, 1.0))
    return np.asarray(np.abs(terms.sum(axis=-1)) / math.log2(bins))


@cache
def _edges(bins: int) -> FloatArray:
    # The grid of rounded cosines is 1e-12 wide, so the slack forgives the last bit of cos and nothing else.
    return np.cos(np.pi * np.arange(1, bins) / bins) + 1e-15


def _transition_pressure(commitment: FloatArray, uncertainty: FloatArray, smoothing: int) -> FloatArray:
    if len(commitment) < 3:
        return np.zeros_like(commitment)
    tension = commitment - uncertainty
    padded = np.zeros(len(tension) + smoothing - 1)
    padded[smoothing // 2 + 1 : smoothing // 2 + len(tension)] = tension[1:] - tension[:-1]
    return np.asarray(sum(padded[shift : shift + len(tension)] for shift in range(smoothing)) / smoothing)


def _recovery_margin(distances_T_T: FloatArray, uncertainty: FloatArray, radius: float) -> FloatArray:
    turns = len(uncertainty)
    if turns < 3 or radius < EPSILON:
        return np.ones(turns)
    ranked = np.sort(uncertainty)
    median = (ranked[(turns - 1) // 2] + ranked[turns // 2]) / 2.0
    open_T_T = (uncertainty >= median) & np.tri(turns, dtype=bool)
    nearest = np.where(open_T_T, distances_T_T, np.inf).min(axis=1)
    return np.where(np.isinf(nearest), 1.0, (1.0 - nearest / radius).clip(0.0, 1.0))


def _phase_stiffness(steps: FloatArray, lengths: FloatArray) -> FloatArray:
    stiffness = np.full(len(steps) + 1, 0.5)
    floored = np.maximum(lengths, EPSILON)
    cosines = (steps[1:] * steps[:-1]).sum(axis=-1) / (floored[1:] * floored[:-1])
    stiffness[2:] = ((cosines + 1.0) / 2.0).clip(0.0, 1.0)
    return stiffness


def _novelty(distances_T_T: FloatArray, radius: float) -> FloatArray:
    turns = len(distances_T_T)
    if radius < EPSILON:
        return np.full(turns, 0.5)
    earlier = np.tri(turns, k=-1, dtype=bool)
    nearest = np.where(earlier, distances_T_T, np.inf).min(axis=1)
    return np.asarray((nearest / radius).clip(0.0, 1.0))


def _stability(steps: FloatArray) -> FloatArray:
    stability = np.full(len(steps) + 1, 0.5)
    if len(steps) < 3:
        return stability
    jerks = _norm(steps[2:] - 2.0 * steps[1:-1] + steps[:-2])
    if jerks.max() < EPSILON:
        return np.ones_like(stability)
    stability[3:] = _relative(jerks)
    return stability
