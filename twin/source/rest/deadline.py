"""A stream of bytes → the same bytes, or a timeout: httpx limits the wait for one byte, never for a whole answer."""

import time
from collections.abc import Iterator

import httpx


class Deadline(httpx.SyncByteStream):
    """The body of an answer, which must have come by a moment of time.monotonic()."""

    def __init__(self, stream: httpx.SyncByteStream, end_s: float) -> None:
        self._stream = stream
        self._end_s = end_s

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._stream:
            if time.monotonic() > self._end_s:
                raise httpx.ReadTimeout("the whole answer took too long")
            yield chunk

    def close(self) -> None:
        """Close the stream below."""
        self._stream.close()
