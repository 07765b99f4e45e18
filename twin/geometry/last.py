"""The last step of paths: facts of their steps → one reading a path.

A row is one path of at most W states, its last state in the last column; a shorter path leaves columns empty at the
left. Sums run from the oldest state to the newest one, so that an empty column in front changes no bit.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from twin.geometry.checks import EPSILON, FloatArray
from twin.geometry.reading import Reading


@dataclass(frozen=True)
class Paths:
    """N paths side by side."""

    sizes_N: NDArray[np.intp]
    """States of each path, 2 to W."""
    lengths_N_W: FloatArray
    jerks_N_W: FloatArray
    stiffness_N: FloatArray
    """Of the last step."""
    uncertainty_N_W: FloatArray
    squares_N_W: FloatArray
    """Squared distances from the last state."""
    radius_N: FloatArray
    """2 · the greatest distance of a state from the mean."""


def last(paths: Paths, smoothing: int) -> list[Reading]:
    """Read each path at its last step."""
    width = paths.lengths_N_W.shape[1]
    position_N_W = np.arange(width) - (width - paths.sizes_N)[:, None]
    distances_N_W = np.sqrt(paths.squares_N_W)
    scalars = np.stack(
        [
            _commitment(paths.lengths_N_W, position_N_W)[:, -1],
            paths.uncertainty_N_W[:, -1],
            _transition_pressure(paths, position_N_W, smoothing),
            _recovery_margin(paths, position_N_W, distances_N_W),
            np.where(paths.sizes_N < 3, 0.5, paths.stiffness_N),
            _novelty(paths, position_N_W, distances_N_W),
            _stability(paths, position_N_W),
        ],
        axis=1,
    )
    return [Reading(*row) for row in scalars.tolist()]


def radius(rows_N_W: FloatArray, total_N: FloatArray, sizes_N: NDArray[np.intp]) -> FloatArray:
    """Return 2 · max ‖s − mean‖ from sums of squared distances.

    The squared distance of a state from the mean is the mean of its squared distances less half the mean of all: what
    is subtracted is at most half of the greatest, so that next to nothing cancels.

    Args:
        rows_N_W: for each state, the sum of its squared distances to the states of its path.
        total_N: the sum of them.
        sizes_N: states of each path.
    """
    sizes = sizes_N.astype(np.float64)
    squared = rows_N_W.max(axis=1) / sizes - total_N / (2.0 * sizes * sizes)
    return np.asarray(2.0 * np.sqrt(np.maximum(squared, 0.0)))


def _relative(lengths_N: FloatArray, longest_N: FloatArray) -> FloatArray:
    """Return 1 − length / longest; one where nothing moves."""
    moves = longest_N >= EPSILON
    return np.where(moves, 1.0 - lengths_N / np.where(moves, longest_N, 1.0), 1.0)


def _commitment(lengths_N_W: FloatArray, position_N_W: NDArray[np.intp]) -> FloatArray:
    longest_N_1 = np.where(position_N_W > 0, lengths_N_W, 0.0).max(axis=1, keepdims=True)
    first = np.where(longest_N_1 < EPSILON, 1.0, 0.5)
    return np.where(position_N_W > 0, _relative(lengths_N_W, longest_N_1), first)


def _transition_pressure(paths: Paths, position_N_W: NDArray[np.intp], smoothing: int) -> FloatArray:
    # At the last step the average of the differences telescopes: those before the path and after it are zero.
    width = position_N_W.shape[1]
    tension_N_W = _commitment(paths.lengths_N_W, position_N_W) - paths.uncertainty_N_W
    before_N = width - 1 - np.minimum(smoothing // 2 + 1, paths.sizes_N - 1)
    rise = tension_N_W[:, -1] - tension_N_W[np.arange(len(before_N)), before_N]
    return np.where(paths.sizes_N < 3, 0.0, rise / smoothing)


def _recovery_margin(paths: Paths, position_N_W: NDArray[np.intp], distances_N_W: FloatArray) -> FloatArray:
    inside_N_W = position_N_W >= 0
    ranked_N_W = np.sort(np.where(inside_N_W, paths.uncertainty_N_W, np.inf), axis=1)
    rows = np.arange(len(ranked_N_W))
    median_N = (ranked_N_W[rows, (paths.sizes_N - 1) // 2] + ranked_N_W[rows, paths.sizes_N // 2]) / 2.0
    open_N_W = inside_N_W & (paths.uncertainty_N_W >= median_N[:, None])
    nearest_N = np.where(open_N_W, distances_N_W, np.inf).min(axis=1)
    still_N = (paths.sizes_N < 3) | (paths.radius_N < EPSILON)
    margin_N = 1.0 - nearest_N / np.where(still_N, 1.0, paths.radius_N)
    return np.where(still_N, 1.0, margin_N.clip(0.0, 1.0))


def _novelty(paths: Paths, position_N_W: NDArray[np.intp], distances_N_W: FloatArray) -> FloatArray:
    nearest_N = np.where(position_N_W[:, :-1] >= 0, distances_N_W[:, :-1], np.inf).min(axis=1)
    still_N = paths.radius_N < EPSILON
    return np.where(still_N, 0.5, (nearest_N / np.where(still_N, 1.0, paths.radius_N)).clip(0.0, 1.0))


def _stability(paths: Paths, position_N_W: NDArray[np.intp]) -> FloatArray:
    longest_N = np.where(position_N_W >= 3, paths.jerks_N_W, 0.0).max(axis=1)
    return np.where(paths.sizes_N < 4, 0.5, _relative(paths.jerks_N_W[:, -1], longest_N))
