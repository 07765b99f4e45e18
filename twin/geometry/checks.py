"""What a path and its settings must be, and what is said when they are not."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from twin.errors import ConfigError, DataError

FloatArray = NDArray[np.float64]

EPSILON = 1e-10
"""Below this a step, a displacement or a radius counts as nothing."""

LARGEST = 1e150
"""Beyond this a squared distance leaves float64."""


@dataclass(frozen=True)
class Settings:
    """The parameters of the scalars; the window is the caller's."""

    k: int
    bins: int
    smoothing: int

    def __post_init__(self) -> None:
        for name, value in {"neighbours": self.k, "bins": self.bins}.items():
            if value < 2:
                raise ConfigError(f"augment.{name} is {value}; it must be at least 2.")
        if self.smoothing < 1 or self.smoothing % 2 == 0:
            raise ConfigError(f"augment.smoothing is {self.smoothing}; it must be odd, so that the average is centred.")


def checked_window(window: int) -> int:
    """Return the window, which must hold a path.

    Raises:
        ConfigError: it is below two.
    """
    if window < 2:
        raise ConfigError(f"augment.window is {window}; a path needs at least 2 turns.")
    return window


def checked(states_T_D: FloatArray) -> FloatArray:
    """Return the states as a matrix of usable numbers.

    Raises:
        DataError: not a matrix, without dimensions, or with a value that is not finite.
    """
    states = np.ascontiguousarray(states_T_D, dtype=np.float64)  # sums along rows that lie otherwise round otherwise
    if states.ndim != 2 or states.shape[1] == 0:
        raise DataError(f"states have the shape {states.shape}; one row a turn, one column a dimension are needed.")
    usable_T = usable(states)
    if not usable_T.all():
        raise DataError(unusable(f"state {int(np.argmin(usable_T))} of {len(states)}"))
    return states


def usable(states_T_D: FloatArray) -> NDArray[np.bool_]:
    """Tell, of each state, whether all its values are numbers whose squares are numbers."""
    return np.asarray((np.abs(states_T_D) <= LARGEST).all(axis=-1))


def unusable(which: str) -> str:
    """Return what is said of a state that is not usable."""
    return f"{which} holds NaN, infinity or a value beyond {LARGEST:g}. Check the embedder."
