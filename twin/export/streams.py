"""A file, plain, .gz or .zst → its text as blocks of bytes, whole or an error; a byte-order mark is taken away.

A compressed file that was cut, or whose name tells another story than its bytes, is refused: some decompressors return
what there was without a word.
"""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, Final, Protocol

import pyarrow as pa

from twin.errors import DataError

BLOCK_BYTES: Final = 4 << 20  # larger blocks read no faster and cost memory
MAGIC: Final = {".gz": b"\x1f\x8b", ".zst": b"\x28\xb5\x2f\xfd"}  # RFC 1952, RFC 8878
SKIPPABLE: Final = tuple(bytes([0x50 + low]) + b"\x2a\x4d\x18" for low in range(16))  # a zstd frame without data
FOREIGN: Final = {
    b"PAR1": "Parquet data. Rename it to end in .parquet.",
    b"PK\x03\x04": "a zip archive. Unpack it and bring what is in it.",
    b"BZh": "bzip2 data. Unpack it with bunzip2.",
    b"\xfd7zXZ": "xz data. Unpack it with unxz.",
    b"PGDMP": "a custom-format dump of pg_dump. Rename it to end in .dump.",
}
UTF8_BOM: Final = b"\xef\xbb\xbf"
UTF16_BOMS: Final = (b"\xff\xfe", b"\xfe\xff")


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def blocks(path: Path, size_bytes: int = BLOCK_BYTES) -> Iterator[bytes]:
    """Yield the text of a file in blocks of at most `size_bytes`, none of them empty.

    Raises:
        DataError: the file is missing, empty, not what its name says, UTF-16, or its compressed data is cut or damaged.
    """
    kind = compression(path)
    with ExitStack() as stack:
        file = stack.enter_context(_open(path))
        try:
            reader = _reader(file, kind, stack)
            yield from _text(path, reader, size_bytes)
        except EOFError:
            raise DataError(_cut(path, "gzip")) from None
        except (gzip.BadGzipFile, zlib.error) as error:
            raise DataError(_damaged(path, "gzip", error)) from None
        except OSError as error:
            raise DataError(_refused(path, kind, error)) from None


def compression(path: Path) -> str:
    """Return `.gz`, `.zst` or `` for plain, which the name and the first bytes of a file agree on.

    Raises:
        DataError: they do not agree, or the file is missing or empty.
    """
    first = magic(path)
    named = path.suffix.lower() if path.suffix.lower() in MAGIC else ""
    held = next((suffix for suffix, magic in MAGIC.items() if first.startswith(magic)), "")
    if not held and first.startswith(SKIPPABLE):
        held = ".zst"
    if named and not held:
        program = "gzip" if named == ".gz" else "zstd"
        raise DataError(f"{path} is named {named} but is not {program} data. Rename it, or compress it with {program}.")
    if named != held:
        raise DataError(f"{path} holds {held} data but is not named so. Rename it to {_renamed(path, held)}.")
    foreign = next((told for magic, told in FOREIGN.items() if first.startswith(magic)), None)
    if foreign:
        raise DataError(f"{path} is {foreign}")
    return held


def magic(path: Path, size_bytes: int = 8) -> bytes:
    """Return the first bytes of a file.

    Raises:
        DataError: the file is missing or empty.
    """
    with _open(path) as file:
        try:
            first = file.read(size_bytes)
        except OSError as error:
            raise DataError(_refused(path, "", error)) from None
    if not first:
        raise DataError(f"{path} is empty (0 bytes). Export again.")
    return first


def _renamed(path: Path, suffix: str) -> str:
    return (path.name.removesuffix(path.suffix) if path.suffix.lower() in MAGIC else path.name) + suffix


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise DataError(f"{path} is missing. Check the path.") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"{path} cannot be read ({reason}). Name a file that you may read.") from None


def _reader(file: BinaryIO, kind: str, stack: ExitStack) -> _Readable:
    if kind == ".gz":
        return stack.enter_context(gzip.GzipFile(fileobj=file))
    if kind == ".zst":
        reader: _Readable = stack.enter_context(pa.CompressedInputStream(pa.PythonFile(file, "r"), "zstd"))
        return reader
    return file


def _text(path: Path, reader: _Readable, size_bytes: int) -> Iterator[bytes]:
    # Decompressors may return a few bytes only; the marks at the start need three.
    first = b""
    while len(first) < len(UTF8_BOM) and (more := reader.read(size_bytes)):
        first += more
    if first.startswith(UTF16_BOMS):
        raise DataError(f"{path}:1: the file is UTF-16. Save it as UTF-8, or run `iconv -f UTF-16 -t UTF-8`.")
    block = first.removeprefix(UTF8_BOM)
    if not block and not (first and (block := reader.read(size_bytes))):
        raise DataError(f"{path} is empty: nothing is in it. Export again.")
    while block:
        yield block
        block = reader.read(size_bytes)


def _refused(path: Path, kind: str, error: OSError) -> str:
    if kind == ".zst" and error.errno is None:
        return _cut(path, "zstd") if "Truncated" in str(error) else _damaged(path, "zstd", error)
    return f"{path} cannot be read ({error.strerror or error}). Name a file that you may read."


def _cut(path: Path, program: str) -> str:
    return f"{path}: the {program} data ends too early: the file is cut. Copy or export it again."


def _damaged(path: Path, program: str, error: Exception) -> str:
    return f"{path}: the {program} data is damaged ({error}). Copy or export it again."
