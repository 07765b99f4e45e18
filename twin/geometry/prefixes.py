"""Every prefix of a conversation in one pass: states → a reading at each step, of the path that ends there."""

import numpy as np

from twin.errors import DataError
from twin.geometry.checks import FloatArray, Settings, checked, checked_window
from twin.geometry.last import Paths, last, radius
from twin.geometry.reading import Reading
from twin.geometry.steps import (
    BLOCK_VALUES,
    DECIMALS,
    Steps,
    motions,
    squared_distances,
    steps,
    uncertainties,
)

SHORT = 12
"""States up to which a path is read in whole arrays: faster until the pairs of them outweigh the calls."""


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
    settings, states = Settings(k, bins, smoothing), checked(states_T_D)
    if len(states) < 2:
        raise DataError(f"a path of {len(states)} states has no reading; two are needed. Use the cold-start tag.")
    newest = len(states) - 1
    if len(states) <= SHORT:
        taken = steps(states, 0, len(states), settings)
        (reading,) = last(window_paths(taken, newest, newest + 1), settings.smoothing)
        return reading
    (reading,) = _readings(states, settings, newest)
    return reading


def prefixes(
    states_T_D: FloatArray, window: int | None = None, k: int = 5, bins: int = 8, smoothing: int = 3
) -> list[Reading | None]:
    """Read every prefix at its last step, over the last `window` states; None is everything so far.

    Item t equals `measure(states_T_D[max(0, t − window + 1) : t + 1])` to the last bit; the first, a single state, is
    None.

    Raises:
        DataError: not a matrix, or a value that is not finite.
        ConfigError: a setting out of range.
    """
    settings, states = Settings(k, bins, smoothing), checked(states_T_D)
    if window is None:
        return [None][: len(states)] + _readings(states, settings, 1)
    return _windows(states, min(checked_window(window), max(2, len(states))), settings)


def _windows(states_T_D: FloatArray, width: int, settings: Settings) -> list[Reading | None]:
    taken = steps(states_T_D, 0, width, settings)
    readings: list[Reading | None] = [None] if len(states_T_D) else []
    rows = max(1, BLOCK_VALUES // (width * width))
    for start in range(1, len(states_T_D), rows):
        readings += last(window_paths(taken, start, min(start + rows, len(states_T_D))), settings.smoothing)
    return readings


def window_paths(taken: Steps, start: int, stop: int) -> Paths:
    """Return the paths that end at the steps from `start` up to `stop`, each as wide as the steps know."""
    width = taken.squares_T_W.shape[1]
    ends_N = np.arange(start, stop)
    at_N_W = np.maximum(ends_N[:, None] - np.arange(width - 1, -1, -1), 0)
    sizes_N = np.minimum(ends_N + 1, width)
    column_W = np.arange(width)
    older_W_W = np.maximum(column_W[:, None], column_W)
    squares_N_W_W = taken.squares_T_W[at_N_W[:, older_W_W], np.abs(column_W[:, None] - column_W)]
    empty_N_W = column_W < (width - sizes_N)[:, None]
    squares_N_W_W[empty_N_W[:, :, None] | empty_N_W[:, None, :]] = 0.0
    rows_N_W = squares_N_W_W.cumsum(axis=2)[:, :, -1]
    return Paths(
        sizes_N,
        taken.lengths_T[at_N_W],
        taken.jerks_T[at_N_W],
        taken.stiffness_T[ends_N],
        taken.uncertainty_T_W[at_N_W, np.minimum(column_W, at_N_W)],
        squares_N_W_W[:, -1],
        radius(rows_N_W, rows_N_W.cumsum(axis=1)[:, -1], sizes_N),
    )


def _readings(states_T_D: FloatArray, settings: Settings, first: int) -> list[Reading]:
    """Read, from step `first` ≥ 1 on, the paths that begin with the first state.

    A step's uncertainty is the same in each of them.
    """
    turns = len(states_T_D)
    lengths, jerks, stiffness = motions(states_T_D, 0)
    uncertainty, rows = np.full(turns, 0.5), np.zeros(turns)
    readings: list[Reading] = []
    for end in range(1, turns):
        squares = squared_distances(states_T_D[: end + 1], end, end + 1)[0, ::-1]
        uncertainty[end] = _uncertainty(states_T_D, end, squares, settings)
        rows[:end] += squares[:end]
        rows[end] = squares.cumsum()[-1]
        if end < first:
            continue
        sizes = np.array([end + 1])
        until = np.s_[None, : end + 1]
        spread = radius(rows[until], rows[until].cumsum(axis=1)[:, -1], sizes)
        path = Paths(sizes, lengths[until], jerks[until], stiffness[end : end + 1], uncertainty[until], squares[None], spread)  # fmt: skip  # noqa: E501
        readings += last(path, settings.smoothing)
    return readings


def _uncertainty(states_T_D: FloatArray, end: int, squares: FloatArray, settings: Settings) -> float:
    nearest = np.sort(np.argsort(np.sqrt(squares[:end]).round(DECIMALS), kind="stable")[: settings.k])
    step, seen = np.array([end]), np.array([end])
    return float(uncertainties(states_T_D, step, end - nearest, squares[None, nearest], seen, settings=settings)[0, 0])
