"""Files that appear whole or not at all: values → one rename.

A file is written under a temporary name in its own folder, flushed to the disk and renamed, so that a
crash, a kill or a full disk leaves the old file or the new one, never half of one.
"""

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from twin.errors import DataError, StorageError


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """Turn the operating system's refusal to write `path` into a StorageError with the next move."""
    try:
        yield
    except OSError as error:
        if isinstance(error, StorageError):
            raise
        moves = {
            errno.ENOSPC: "Free some space",
            errno.EROFS: "Choose another disk",
            errno.EACCES: "Allow writing there",
        }
        raise StorageError(
            error.errno,
            f"{path} could not be written ({error.strerror or error}); what was there before is untouched. "
            f"{moves.get(error.errno or 0, 'Check the disk')} and run the same command again.",
        ) from error


def write_with(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file beside `path`, then rename it to `path`.

    Raises:
        StorageError: the disk refused; an older file at `path` is untouched.
    """
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        os.close(handle)
        part = Path(name)
        try:
            write(part)
            part.chmod(0o644)
            _flush(part)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path`, whole or not at all."""
    write_with(path, lambda part: _dump(part, data))


def _dump(part: Path, data: bytes) -> None:
    with part.open("wb") as file:
        file.write(data)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 with newlines as they are."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: object) -> None:
    """Write `value` as readable JSON with sorted keys.

    Raises:
        ValueError: a number is NaN or infinite; such a result must be left out and counted as unknown.
    """
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def write_jsonl(path: Path, rows: Iterable[object]) -> None:
    """Write one JSON value a line, keys sorted."""
    lines = (json.dumps(row, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
    write_text(path, "".join(lines))


def write_lines(path: Path, pieces: Iterable[bytes]) -> None:
    """Write pieces of text, each one or more whole lines, one after the other; memory holds one at a time.

    Raises:
        StorageError: the disk refused; an older file at `path` is untouched.
    """
    write_with(path, lambda part: _pour(part, pieces))


def _pour(part: Path, pieces: Iterable[bytes]) -> None:
    with part.open("wb") as file:
        for piece in pieces:
            file.write(piece)


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        DataError: the file is missing or is not JSON.
    """
    text = read_text(path)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno}: not JSON ({error.msg}). {restore(path)}") from error


def read_jsonl(path: Path) -> list[Any]:
    """Read a file of one JSON value a line.

    Raises:
        DataError: the file is missing or a line is not JSON.
    """
    rows = []
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if not line:
            continue
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise DataError(f"{path}:{number}: not JSON ({error.msg}). {restore(path)}") from error
    return rows


def read_text(path: Path) -> str:
    """Read a UTF-8 file.

    Raises:
        DataError: the file is missing or is not UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing. {restore(path)}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: byte {error.start} is not UTF-8. {restore(path)}") from error


def restore(path: Path) -> str:
    """Say which command brings a lost pipeline output back."""
    return f"Bring it back with `dvc checkout {path}`, or make it again with `dvc repro`."


def canonical_json(value: object) -> str:
    """Return the one JSON text of `value`: sorted keys, no spaces, ASCII. Hashes are taken of this."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def sha256_text(text: str) -> str:
    """Return the sha256 of `text` in UTF-8, as 64 hex digits."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def sha256_file(path: Path) -> str:
    """Return the sha256 of a file's bytes, as 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_folder(path: Path) -> str:
    """Return a sha256 of the names and bytes of all files below a folder, as 64 hex digits."""
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return sha256_text("".join(f"{sha256_file(file)} {file.relative_to(path).as_posix()}\n" for file in files))


@contextmanager
def staged_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder that takes the place of `path` when the block ends without an error.

    Raises:
        StorageError: the disk refused; an older folder at `path` is untouched.
    """
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part"))
        try:
            yield part
            part.chmod(0o755)
            for file in sorted(part.rglob("*")):
                if file.is_file():
                    _flush(file)
            _swap(part, path)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def _swap(part: Path, path: Path) -> None:
    if not path.exists():
        part.replace(path)
        return
    old = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".old"))
    path.replace(old / "old")
    part.replace(path)
    shutil.rmtree(old)
