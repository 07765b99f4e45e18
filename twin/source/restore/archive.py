"""An archive of pg_dump (custom, directory, tar) → SQL text of one table, by pg_restore, without a server."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import tzinfo
from pathlib import Path
from typing import IO, Final

import pyarrow as pa

from twin.errors import ConfigError, DataError
from twin.scrub import shown
from twin.source import dump
from twin.source.restore import inserts

FOLDERS: Final = (
    "/usr/lib/postgresql/*/bin",  # Debian, Ubuntu
    "/usr/pgsql-*/bin",  # Red Hat
    "/opt/homebrew/opt/postgresql@*/bin",
    "/opt/homebrew/opt/libpq/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/usr/local/opt/libpq/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
)
HEAD_BYTES: Final = 1 << 16  # pg_restore's first words, some 2 KiB; behind them COPY or INSERT
PLAIN: Final = "dump plain text instead: `supabase db dump --data-only --use-copy`, or pg_dump without -F"
_FORM: Final = re.compile(rb"^(COPY|INSERT INTO) ", re.MULTILINE)
_DATA: Final = re.compile(r"^\d+; \d+ \d+ TABLE DATA (\S+) (\S+) ", re.MULTILINE)


class _Text:
    """The text that pg_restore writes, of which the head was read already."""

    def __init__(self, head: bytes, rest: IO[bytes]) -> None:
        self._head, self._rest = head, rest

    def read(self, size: int, /) -> bytes:
        if self._head:
            taken, self._head = self._head[:size], self._head[size:]
            return taken
        return self._rest.read(size)


def batches(path: Path, table: str, zone: tzinfo | None = None) -> Iterator[pa.RecordBatch]:
    """Yield the rows of `table` in an archive, in the form of ROWS; `zone` is that of times that name none.

    Raises:
        ConfigError: there is no pg_restore, or all are older than the archive.
        DataError: the archive is damaged, the table is not in it, or a cell is not usable.
    """
    schema, name = inserts.name_of(table)
    # Its CREATE TABLE too: INSERTs without column names need it.
    only = ["-t", name, *(("-n", schema) if schema else ()), "-f", "-"]
    with _restoring(newest(), only, path) as text:
        head = text.read(HEAD_BYTES)
        found = _FORM.search(head)
        if found:
            read = inserts.batches if found[1] == b"INSERT INTO" else dump.batches
            yield from read(_Text(head, text), str(path), table, zone)
            return
    raise DataError(f"{path}: the archive has no rows of {shown(table)}.{_near(path)} `twin bring … --table NAME`.")


def newest() -> Path:
    """Return the pg_restore of the highest version on PATH and where Postgres is usually installed.

    Raises:
        ConfigError: there is none.
    """
    found = {Path(folder) / "pg_restore" for folder in os.get_exec_path()}
    for pattern in FOLDERS:
        found |= {folder / "pg_restore" for folder in Path("/").glob(pattern[1:])}
    versions = [(version, program) for program in found if (version := _version(program))]
    if not versions:
        raise ConfigError(
            "an archive of pg_dump is read by pg_restore, and none is installed. Install PostgreSQL's client programs "
            f"(Debian: postgresql-client, macOS: brew install libpq), or {PLAIN}."
        )
    return max(versions)[1]


def _version(program: Path) -> tuple[int, ...]:
    if not os.access(program, os.X_OK):
        return ()
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    except OSError:
        return ()
    found = re.search(r"\) (\d+)(?:\.(\d+))?", said)
    return (int(found[1]), int(found[2] or 0)) if found else ()


@contextmanager
def _restoring(program: Path, arguments: list[str], path: Path) -> Iterator[IO[bytes]]:
    """Yield what pg_restore writes; its own fault goes before one that follows from it."""
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [program, *arguments, path], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors,
            env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"},
        )  # fmt: skip
        assert process.stdout is not None
        finished = False
        try:
            yield process.stdout
            finished = True
        except DataError:
            # Cut text most often means that pg_restore gave up; without the rest of its text it cannot end.
            _drain(process.stdout)
            _check(process.wait(), errors, program, path)
            raise
        finally:
            process.stdout.close()
            if not finished:
                process.kill()
            code = process.wait()
        _check(code, errors, program, path)


def _drain(stream: IO[bytes]) -> None:
    while stream.read(HEAD_BYTES):
        pass


def _check(code: int, errors: IO[bytes], program: Path, path: Path) -> None:
    if code == 0:
        return
    errors.seek(0)
    said = errors.read(HEAD_BYTES).decode("utf-8", "replace").strip()
    if "unsupported version" in said:
        version = ".".join(str(part) for part in _version(program))
        raise ConfigError(
            f"{path}: the archive is of a newer PostgreSQL than the newest pg_restore here ({version}). Install a "
            f"newer one, or {PLAIN}."
        )
    line = said.splitlines()[-1].removeprefix("pg_restore: ").removeprefix("error: ") if said else f"status {code}"
    raise DataError(f"{path}: pg_restore could not read the archive ({shown(line)}). Copy or dump it again.")


def _near(path: Path) -> str:
    program = shutil.which(newest()) or "pg_restore"
    listed = subprocess.run([program, "-l", path], capture_output=True, text=True, check=False, env={"LC_ALL": "C"})
    tables = [f"{schema}.{table}" for schema, table in _DATA.findall(listed.stdout)]
    return f" It has: {', '.join(shown(table) for table in tables[:8])}." if tables else ""
