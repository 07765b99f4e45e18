"""A conversation that goes on: one more state → one more reading, at the same cost however long it has lasted."""

import numpy as np

from twin.errors import DataError
from twin.geometry.checks import FloatArray, Settings, checked_window, unusable, usable
from twin.geometry.last import last
from twin.geometry.prefixes import window_paths
from twin.geometry.reading import Reading
from twin.geometry.steps import Steps, steps


class Trajectory:
    """The last `window` states of a live conversation; what is known of their steps is kept, not computed again."""

    def __init__(self, window: int, k: int = 5, bins: int = 8, smoothing: int = 3) -> None:
        self._window = checked_window(window)
        self._settings = Settings(k, bins, smoothing)
        self._states: FloatArray | None = None
        self._steps: Steps | None = None
        self._turns = 0

    def push(self, state_D: FloatArray) -> Reading | None:
        """Add a turn's state and read the path up to it; None for the first.

        Raises:
            DataError: the state is no vector of usable numbers, or of another width; the trajectory is as it was.
        """
        self._states, self._steps = self._grown(state_D)
        self._turns += 1
        return self._reading(self._steps)

    def peek(self, state_D: FloatArray) -> Reading | None:
        """Return what `push` would return, and keep nothing."""
        return self._reading(self._grown(state_D)[1])

    def _grown(self, state_D: FloatArray) -> tuple[FloatArray, Steps]:
        state = np.array(state_D, dtype=np.float64)  # a copy: the caller may go on with theirs
        wanted = (state.size,) if self._states is None else self._states.shape[1:]
        if not state.size or state.shape != wanted:
            raise DataError(
                f"state {self._turns} has the shape {state.shape}; a vector as wide as the others is needed."
            )
        if not usable(state):
            raise DataError(unusable(f"state {self._turns}"))
        states = state[None] if self._states is None else _joined(self._states, state[None])
        new = steps(states, len(states) - 1, self._window, self._settings)
        joined = new if self._steps is None else Steps(*map(_joined, vars(self._steps).values(), vars(new).values()))
        return states[-self._window :], Steps(*(fact[-self._window :] for fact in vars(joined).values()))

    def _reading(self, taken: Steps) -> Reading | None:
        turns = len(taken.lengths_T)
        return last(window_paths(taken, turns - 1, turns), self._settings.smoothing)[0] if turns > 1 else None


def _joined(old: FloatArray, new: FloatArray) -> FloatArray:
    return np.concatenate([old, new])
