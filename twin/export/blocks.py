"""Blocks of bytes → parts of a CSV that end where a row ends, each with its first line and a verdict on its quotes.

The verdict is exact: in a sound part every quote opens a cell, closes one, or is doubled inside one, every carriage
return outside of quotes is part of CRLF, and all of it is UTF-8 without NUL. Every reader of CSV agrees on such a part.
"""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

QUOTE, COMMA, LF, CR = (ord(mark) for mark in '",\n\r')
_BEFORE: Final = np.zeros(256, bool)
_BEFORE[[COMMA, LF]] = True
_AFTER: Final = np.zeros(256, bool)
_AFTER[[COMMA, LF, CR]] = True


class Part(NamedTuple):
    """Whole rows of a CSV, next to each other."""

    data: bytes
    line: int
    """The number of its first line."""
    sound: bool


def parts(found: Iterable[bytes]) -> Iterator[Part]:
    """Yield the parts of a CSV; after an unsound part, whose end may not be the end of a row, comes what is left."""
    line, held, sound = 1, bytearray(), True
    wanted = 0
    for block in found:
        held += block
        # A cell larger than a block would be searched anew with every block: it waits until twice as much is there.
        if sound and len(held) < wanted:
            continue
        end = _last_row_end(held) if sound else len(held)
        if end:
            part = _part(bytes(held[:end]), line, sound)
            del held[:end]
            line, sound = line + part.data.count(b"\n"), part.sound
            yield part
        wanted = 2 * len(held)
    if held:
        yield _part(bytes(held), line, sound)


def _part(data: bytes, line: int, sound: bool) -> Part:
    return Part(data, line, sound and is_sound(data))


def _last_row_end(data: bytearray) -> int:
    """Return the place after the last LF that stands outside of quotes; 0 when there is none."""
    letters = np.frombuffer(bytes(data), np.uint8)
    quotes, ends = np.flatnonzero(letters == QUOTE), np.flatnonzero(letters == LF)
    outside = ends[np.searchsorted(quotes, ends) % 2 == 0]
    return int(outside[-1]) + 1 if len(outside) else 0


def is_sound(data: bytes) -> bool:
    """Say whether the quotes, line ends and letters of whole rows are beyond doubt."""
    if b"\0" in data or not _is_utf8(data):
        return False
    letters = np.frombuffer(data, np.uint8)
    quotes = np.flatnonzero(letters == QUOTE)
    return len(quotes) % 2 == 0 and _paired(letters, quotes) and (b"\r" not in data or _crlf(letters, quotes))


def _paired(letters: NDArray[np.uint8], quotes: NDArray[np.intp]) -> bool:
    opening, closing = quotes[::2], quotes[1::2]
    doubled = opening[1:] == closing[:-1] + 1
    begins = _BEFORE[letters[opening - 1]] | (opening == 0)
    begins[1:] |= doubled
    ends = _AFTER[letters[np.minimum(closing + 1, len(letters) - 1)]] | (closing + 1 == len(letters))
    ends[:-1] |= doubled
    return bool(begins.all() and ends.all())


def _crlf(letters: NDArray[np.uint8], quotes: NDArray[np.intp]) -> bool:
    returns = np.flatnonzero(letters == CR)
    outside = returns[np.searchsorted(quotes, returns) % 2 == 0]
    return bool(len(outside) == 0 or (outside[-1] + 1 < len(letters) and (letters[outside + 1] == LF).all()))


def _is_utf8(data: bytes) -> bool:
    offsets = pa.py_buffer(np.array([0, len(data)], np.int64))
    try:
        pa.LargeStringArray.from_buffers(1, offsets, pa.py_buffer(data)).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True
