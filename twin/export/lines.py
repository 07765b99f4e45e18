"""Bytes → numbered lines of text: opens plain and gzip files, strips a byte-order mark, refuses what is not UTF-8."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from twin.errors import DataError

GZIP_MAGIC = b"\x1f\x8b"
UTF8_BOM = b"\xef\xbb\xbf"
UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line number from 1, line with its line end) of a UTF-8 file.

    Raises:
        DataError: the file is missing, is cut or damaged gzip, is not UTF-8, or holds a NUL.
    """
    for number, raw in enumerate(_raw_lines(path), 1):
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


def _raw_lines(path: Path) -> Iterator[bytes]:
    with _open(path) as file:
        lines = iter(file)
        try:
            yield _without_bom(path, next(lines, b""))
            yield from lines
        except EOFError:
            raise DataError(
                f"{path}: the gzip data ends too early: the file is cut. Copy or export it again."
            ) from None
        except (gzip.BadGzipFile, zlib.error) as error:
            raise DataError(f"{path}: the gzip data is damaged ({error}). Copy or export it again.") from None


def _open(path: Path) -> BinaryIO | gzip.GzipFile:
    try:
        with path.open("rb") as file:
            magic = file.read(2)
    except FileNotFoundError:
        raise DataError(f"{path} is missing. Check the path.") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}). Name a file that you may read.") from None
    if not magic:
        raise DataError(f"{path} is empty (0 bytes). Export again.")
    if magic == GZIP_MAGIC:
        return gzip.open(path, "rb")
    if path.suffix.lower() == ".gz":
        raise DataError(f"{path} is named .gz but is not gzip data. Rename it, or compress it with gzip.")
    return path.open("rb")


def _without_bom(path: Path, first: bytes) -> bytes:
    if first.startswith(UTF16_BOMS):
        raise DataError(f"{path}:1: the file is UTF-16. Save it as UTF-8, or run `iconv -f UTF-16 -t UTF-8`.")
    return first.removeprefix(UTF8_BOM)
