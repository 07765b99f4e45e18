"""A run that is told to stop does so after its update: Ctrl-C or SIGTERM → a state worth keeping."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Whether a run was told to stop."""

    def __init__(self) -> None:
        self.asked = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Take a signal in."""
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        # A print here could meet one that the signal interrupted.
        os.write(2, b"\nstopping after this update, which is kept; once more stops at once\n")


@contextmanager
def postponed() -> Iterator[Stop]:
    """Put a first Ctrl-C or SIGTERM off until the block ends.

    Raises:
        KeyboardInterrupt: a signal came; at once at the second one.
    """
    stop = Stop()
    before = {number: signal.signal(number, stop) for number in SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if stop.asked:
        raise KeyboardInterrupt
