"""Blocks of bytes → numbered lines of text; refuses what is not UTF-8 and what holds a NUL."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from twin.errors import DataError
from twin.export import streams


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line number from 1, line with its line end) of a UTF-8 file.

    Raises:
        DataError: the file is missing, cut or damaged, is not UTF-8, or holds a NUL.
    """
    return numbered(path, streams.blocks(path), 1)


def numbered(path: Path, blocks: Iterable[bytes], first: int) -> Iterator[tuple[int, str]]:
    """Yield (line number, line) of the part of a file that `blocks` are, whose first line has the number `first`.

    Raises:
        DataError: as `numbered_lines`.
    """
    for number, raw in enumerate(raw_lines(blocks), first):
        if b"\0" in raw:
            byte = raw.index(b"\0") + 1
            raise DataError(
                f"{path}:{number}: byte {byte} of the line is NUL, which no text has. Export again as UTF-8."
            )
        try:
            yield number, raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise DataError(
                f"{path}:{number}: byte {error.start + 1} of the line is 0x{raw[error.start]:02x}, which is not UTF-8. "
                "Export again as UTF-8, or convert the file with iconv."
            ) from None


def raw_lines(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield lines with their line ends, of which only LF is one."""
    rest: list[bytes] = []
    for block in blocks:
        lines = block.split(b"\n")
        rest.append(lines[0])
        for line in lines[1:]:
            yield b"".join(rest) + b"\n"
            rest = [line]
    last = b"".join(rest)
    if last:
        yield last
