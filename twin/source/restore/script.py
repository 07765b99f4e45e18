"""SQL text → its statements, chunk by chunk: a buffer that is read on as far as a statement or a row needs.

Nothing is ever run. What is skipped is skipped by the rules of SQL's strings, quoted names, dollar quotes and comments,
so that text which looks like a statement inside of another is not taken for one.
"""

import re
import zlib
from typing import Final, Protocol

from twin.errors import DataError

CHUNK_BYTES: Final = 1 << 20
TAG_BYTES_MAX: Final = 70  # a dollar quote's tag is a name: 63 bytes
UTF8_BOM: Final = b"\xef\xbb\xbf"
UTF16_BOMS: Final = (b"\xff\xfe", b"\xfe\xff")

_OPENS: Final = re.compile(
    rb"--|/\*|(?<![\w\x80-\xff$])[eE]'|'|\"|(?<![\w\x80-\xff$])\$(?:[A-Za-z_\x80-\xff][\w\x80-\xff]*)?\$|;"
)
_BETWEEN: Final = re.compile(rb"\s*+(?:--[^\n]*+\n\s*+|(?<![^\n])\\[^\n]*+\n\s*+)*")
_ESCAPES: Final = re.compile(rb"[^'\\]*+(?:\\.[^'\\]*+)*'", re.DOTALL)
_LINE_END: Final = re.compile(rb"\n")
_COMMENT_ENDS: Final = re.compile(rb"/\*|\*/")


class Readable(Protocol):
    """What a dump is read from: a file, a pipe, a decompressor."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes, none at the end."""


class Script:
    """A dump that is read once, from its beginning to its end; `at` is where the next thing begins."""

    def __init__(self, stream: Readable, name: str) -> None:
        """`name` is how messages call the file."""
        self.name = name
        self.buffer = b""
        self.at = 0
        self._stream = stream
        self._ended = False
        self._line, self._counted = 1, 0
        self._start()

    def line(self, place: int) -> int:
        """Return the number of the line of a place in the buffer; places come in order."""
        if place > self._counted:
            self._line += self.buffer.count(b"\n", self._counted, place)
            self._counted = place
        return self._line

    def more(self) -> bool:
        """Read on, as much again as there is, and forget what lies before `at`; say whether there was more."""
        if self._ended:
            return False
        keep = max(self.at - 1, 0)  # one byte before: whether a quote opens depends on it
        self.line(keep)
        kept = self.buffer[keep:]
        try:
            chunk = self._stream.read(max(CHUNK_BYTES, len(kept)))
        except EOFError:
            raise DataError(
                f"{self.name}: the compressed data ends too early: the file is cut. Copy it again."
            ) from None
        except (OSError, zlib.error) as error:
            raise DataError(f"{self.name} cannot be read on ({error}). Copy or dump it again.") from None
        self._ended = not chunk
        self.buffer, self.at, self._counted = kept + chunk, self.at - keep, max(self._counted - keep, 0)
        return bool(chunk)

    def next(self, size: int) -> bytes:
        """Go to the next statement and return its first `size` bytes; nothing at the end of the file."""
        while True:
            found = _BETWEEN.match(self.buffer, self.at)
            assert found is not None
            self.at = found.end()
            if self.buffer.startswith(b"/*", self.at):
                self.at += 2
                self._close_comment(self.at)
            elif self.buffer.startswith(b";", self.at):
                self.at += 1
            elif len(self.buffer) - self.at >= size or not self.more():
                head = self.buffer[self.at : self.at + size]
                # Without a line end, a last comment or line for psql is no statement.
                return b"" if head.startswith((b"--", b"\\")) else head

    def skip(self, limit: int = 0) -> bytes:
        """Go behind the semicolon of the statement that begins here and return its first `limit` bytes.

        Raises:
            DataError: the file ends before.
        """
        start, head = self.line(self.at), b""
        begin = self.at
        while True:
            opened = _OPENS.search(self.buffer, self.at)
            end = opened.end() if opened else max(self.at, len(self.buffer) - TAG_BYTES_MAX)
            if opened and opened.group() == b";":
                self.at = end
                return (head + self.buffer[begin:end])[:limit]
            self.at = end
            if opened:
                head, begin = self._close(opened.group(), start, head, begin, limit)
            else:
                head, begin = self._on(start, head, begin, limit)

    def skip_data(self) -> None:
        r"""Go behind the `\.` of the COPY block that begins here.

        Raises:
            DataError: the file ends before.
        """
        start = self.line(self.at)
        while (end := self.buffer.find(b"\n\\.", self.at)) < 0:
            self.at = max(self.at, len(self.buffer) - 2)
            if not self.more():
                raise self.cut(start, "COPY block")
        self.at = end + 3

    def cut(self, line: int, what: str) -> DataError:
        """Return the error of a file that ends too early."""
        return DataError(
            f"{self.name}:{line}: the file ends within the {what} that begins here: it is cut. Dump or copy it again."
        )

    def _on(self, start: int, head: bytes, begin: int, limit: int) -> tuple[bytes, int]:
        """Read on within a statement; return what is kept of it and where the rest of it begins."""
        kept = head + self.buffer[begin : self.at] if len(head) < limit else head
        if not self.more():
            raise self.cut(start, "statement")
        return kept, self.at

    def _close(self, opener: bytes, start: int, head: bytes, begin: int, limit: int) -> tuple[bytes, int]:
        """Go behind what closes `opener`."""
        closer = _closer(opener)
        depth = 1
        while depth:
            found = closer.match(self.buffer, self.at) if closer is _ESCAPES else closer.search(self.buffer, self.at)
            if found:
                self.at = found.end()
                depth += 1 if opener == b"/*" == found.group() else -1  # comments nest
                continue
            if closer is not _ESCAPES:
                self.at = max(self.at, len(self.buffer) - len(opener) + 1)
            head, begin = self._on(start, head, begin, limit)
        return head, begin

    def _close_comment(self, begin: int) -> None:
        self._close(b"/*", self.line(begin), b"", begin, 0)

    def _start(self) -> None:
        while len(self.buffer) < len(UTF8_BOM) and self.more():
            pass
        if self.buffer.startswith(UTF16_BOMS):
            raise DataError(
                f"{self.name}:1: the file is UTF-16, as `>` in PowerShell writes it. Dump with `--file dump.sql`, or "
                "run `iconv -f UTF-16 -t UTF-8`."
            )
        if self.buffer.startswith(UTF8_BOM):
            self.at = len(UTF8_BOM)


def _closer(opener: bytes) -> re.Pattern[bytes]:
    if opener in (b"e'", b"E'"):
        return _ESCAPES
    return {b"/*": _COMMENT_ENDS, b"--": _LINE_END}.get(opener) or re.compile(re.escape(opener))
