"""A plain SQL dump → its statements and the data lines of its COPY blocks: bytes, chunk by chunk."""

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from twin.errors import DataError

CHUNK_BYTES: Final = 4 << 20  # some 8,000 turns; of more a batch gains no speed, only memory
HEAD_BYTES: Final = 1 << 16  # of a statement: names and columns stand here, the rows of an INSERT need not be kept
UTF8_BOM: Final = b"\xef\xbb\xbf"
UTF16_BOMS: Final = (b"\xff\xfe", b"\xfe\xff")

# What opens something in which a semicolon ends nothing; `a$b$c` is one name.
_OPENS: Final = re.compile(
    rb"--|/\*|(?<![\w\x80-\xff$])[eE]'|'|\"|(?<![\w\x80-\xff$])\$(?:[A-Za-z_\x80-\xff][\w\x80-\xff]*)?\$|;"
)
_ESCAPED: Final = re.compile(rb"[^'\\]*+(?:(?:\\.|'')[^'\\]*+)*'(?!')", re.DOTALL)


class Readable(Protocol):
    """What a dump is read from: a file, a pipe, a decompressor."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes, none at the end."""


@dataclass(frozen=True)
class Statement:
    """One SQL statement."""

    line: int
    """Where it begins, from 1."""
    head: bytes
    """Its first HEAD_BYTES and the rest of that line."""


class Script:
    """A dump that is read once, from its beginning to its end."""

    def __init__(self, stream: Readable, name: str) -> None:
        """`name` is how messages call the file."""
        self.name = name
        self.line = 0
        """Lines read so far."""
        self._stream = stream
        self._buffer = b""
        self._at = 0
        self._ended = False

    def statements(self) -> Iterator[Statement]:
        """Yield the statements; after that of a COPY from stdin, read its `data` before the next one.

        Raises:
            DataError: the file cannot be read, is UTF-16, or ends within a statement.
        """
        self._skip_mark()
        while (statement := self._statement()) is not None:
            yield statement

    def data(self) -> Iterator[tuple[int, bytes]]:
        r"""Yield (number of the first line, whole lines) of a COPY block up to its `\.`.

        Raises:
            DataError: the file is cut before the `\.`, or its line ends are not LF.
        """
        while True:
            end = self._buffer.rfind(b"\n", self._at) + 1
            if not end and not self._fill():
                self._end_of_data(self._buffer[self._at :])
                return
            if not end:
                continue
            lines, self._at = self._buffer[self._at : end], end
            stop = 0 if lines.startswith(b"\\.") else lines.find(b"\n\\.") + 1 or -1
            whole = lines if stop < 0 else lines[:stop]
            if b"\r" in whole:
                self._refuse_crlf(self.line + whole.count(b"\n", 0, whole.index(b"\r")) + 1)
            if whole:
                yield self.line + 1, whole
            self.line += whole.count(b"\n")
            if stop >= 0:
                marker_end = lines.index(b"\n", stop) + 1
                self._at -= len(lines) - marker_end
                self.line += 1
                self._check_marker(lines[stop : marker_end - 1])
                return

    def _end_of_data(self, rest: bytes) -> None:
        self._at = len(self._buffer)
        self.line += 1
        if rest != b"\\.":
            raise DataError(
                f"{self.name}:{self.line}: the file ends within the rows of a COPY block, before its `\\.`: it is cut. "
                "Dump or copy it again."
            )

    def _check_marker(self, marker: bytes) -> None:
        if marker == b"\\.\r":
            self._refuse_crlf(self.line)
        if marker != b"\\.":
            raise DataError(
                f"{self.name}:{self.line}: a line begins with `\\.` and goes on: neither the end of a COPY block nor "
                "a row. The file was changed; dump again."
            )

    def _refuse_crlf(self, line: int) -> None:
        raise DataError(
            f"{self.name}:{line}: a carriage return stands in a COPY block: the file's line ends were turned into "
            "CRLF. pg_dump writes one in a value as \\r, so none is lost by `tr -d '\\r' < dump.sql > lf.sql`."
        )

    def _statement(self) -> Statement | None:
        """Return the next statement, None at the end; blank lines, comments and psql's `\\…` lines lie between."""
        head: list[bytes] = []
        size = start = 0
        closer: re.Pattern[bytes] | None = None
        while line := self._next_line():
            if not head and (not line.strip() or line.startswith((b"--", b"\\"))):
                continue
            start = start or self.line
            closer, end = _scan(line, closer)
            if size < HEAD_BYTES:
                head.append(line if end is None else line[:end])
                size += len(line)
            if end is not None:
                self._unread(line, end)
                return Statement(start, b"".join(head))
        if head and (closer or not _blank(b"".join(head))):
            raise DataError(
                f"{self.name}:{start}: the file ends within the statement that begins here: it is cut. "
                "Dump or copy it again."
            )
        return None

    def _unread(self, line: bytes, end: int) -> None:
        if line[end:].strip() and not line[end:].lstrip().startswith(b"--"):
            self._at -= len(line) - end
            self.line -= 1

    def _next_line(self) -> bytes:
        while not (end := self._buffer.find(b"\n", self._at) + 1) and self._fill():
            pass
        end = end or len(self._buffer)
        line, self._at = self._buffer[self._at : end], end
        self.line += bool(line)
        return line

    def _fill(self) -> bool:
        """Read on; say whether there was more."""
        if self._ended:
            return False
        try:
            chunk = self._stream.read(CHUNK_BYTES)
        except EOFError:
            raise DataError(
                f"{self.name}: the compressed data ends too early: the file is cut. Copy or dump it again."
            ) from None
        except (OSError, zlib.error) as error:
            raise DataError(f"{self.name} cannot be read on ({error}). Copy or dump it again.") from None
        self._ended = not chunk
        self._buffer = self._buffer[self._at :] + chunk
        self._at = 0
        return bool(chunk)

    def _skip_mark(self) -> None:
        while len(self._buffer) < len(UTF8_BOM) and self._fill():
            pass
        if self._buffer.startswith(UTF16_BOMS):
            raise DataError(
                f"{self.name}:1: the file is UTF-16, as `>` in PowerShell writes it. Dump with `--file dump.sql`, or "
                "run `iconv -f UTF-16 -t UTF-8`."
            )
        if self._buffer.startswith(UTF8_BOM):
            self._at = len(UTF8_BOM)


def _scan(line: bytes, closer: re.Pattern[bytes] | None) -> tuple[re.Pattern[bytes] | None, int | None]:
    """Return what must still be closed after `line`, and where the statement's semicolon ends, if it does in it."""
    at = 0
    while True:
        if closer:
            closed = closer.match(line, at) if closer is _ESCAPED else closer.search(line, at)
            if not closed:
                return closer, None
            at, closer = closed.end(), None
        opened = _OPENS.search(line, at)
        if not opened or opened.group() == b"--":
            return None, None
        if opened.group() == b";":
            return None, opened.end()
        at, closer = opened.end(), _closer(opened.group())


def _closer(opener: bytes) -> re.Pattern[bytes]:
    if opener == b"/*":
        return re.compile(rb"\*/")
    return _ESCAPED if opener in (b"e'", b"E'") else re.compile(re.escape(opener))


def _blank(head: bytes) -> bool:
    return not re.sub(rb"--[^\n]*|/\*.*?\*/", b"", head, flags=re.DOTALL).strip()
