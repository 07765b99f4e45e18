"""How far something has come, for a person who waits: one line rewritten on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable
from typing import TextIO

CLEAR_LINE = "\r\x1b[K"  # ECMA-48: to the first column, erase to the end of the line


class Progress:
    """A line of progress."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._terminal = self._stream.isatty()
        self._shown = False

    def show(self, text: str) -> None:
        """Show what is true now; a terminal forgets it with the next line, elsewhere it is not shown."""
        if self._terminal:
            self._stream.write(CLEAR_LINE + text)
            self._stream.flush()
            self._shown = True

    def keep(self, text: str) -> None:
        """Show a line that stays."""
        self._stream.write((CLEAR_LINE if self._shown else "") + text + "\n")
        self._stream.flush()
        self._shown = False


class Eta:
    """Time that is left, from the pace so far."""

    def __init__(self, total: int, done: int = 0) -> None:
        """Start the clock; `done` of the total were done before, at a pace that is not known."""
        self._total = total
        self._before = done
        self._started_s = time.perf_counter()

    def left(self, done: int) -> str:
        """Return the time left after `done` of the total, such as `1:05`."""
        elapsed_s = time.perf_counter() - self._started_s
        left_s = round(elapsed_s * (self._total - done) / (done - self._before))
        hours, minutes, seconds = left_s // 3600, left_s // 60 % 60, left_s % 60
        return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def teller(total: int) -> Callable[[], None]:
    """Return what tells of each of `total` replies as it is there."""
    progress, eta, done = Progress(), Eta(total), 0

    def tell() -> None:
        nonlocal done
        done += 1
        line = f"reply {done}/{total}  {eta.left(done)} left"
        # A log gets a line at every tenth of the way.
        (progress.keep if done * 10 // total > (done - 1) * 10 // total else progress.show)(line)

    return tell


def size_text(size_bytes: int) -> str:
    """Return a size such as `1.25 GiB`, `38 MiB` or `0.4 MiB`."""
    mebibytes = size_bytes / 2**20
    if mebibytes >= 1024:
        return f"{mebibytes / 1024:.2f} GiB"
    return f"{mebibytes:.0f} MiB" if mebibytes >= 10 else f"{mebibytes:.1f} MiB"
