"""Independent random streams from the one seed of a run."""

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What a stream is for."""

    initial_weights = 0
    order = 1
    dropout = 2
    validation_subset = 3


def derived_seed(seed: int, purpose: Purpose, *numbers: int) -> int:
    """Return a 64-bit seed for one purpose (and update, …), independent of every other."""
    return int(np.random.SeedSequence([seed, purpose, *numbers]).generate_state(1, np.uint64)[0])
