"""Two libraries, one reading: ADBC, which makes Arrow itself, or psycopg when ADBC is not there → batches.

Each `session` is one transaction that reads one snapshot. Settings are local to it: a transaction pooler hands the
server's connection, and whatever was SET on it, to somebody else afterwards.
"""

import importlib
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Protocol

import pyarrow as pa
import pyarrow.csv

from twin.errors import ConfigError
from twin.source.postgres.address import Address

BATCH_BYTES: Final = 4 << 20  # measured: 16 MiB is no faster and holds 60 MiB more
SNAPSHOT: Final = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
INSTALL: Final = "Reading Postgres needs a driver. Install it: pip install 'cognitive-twin[postgres]'."


class Session(Protocol):
    """One transaction."""

    def rows(self, sql: str) -> Sequence[Sequence[str | None]]:
        """Return the few rows of a statement whose columns are all text."""

    def batches(self, sql: str) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a statement as they come."""


@contextmanager
def session(address: Address, guard: bool) -> Iterator[Session]:
    """Open a transaction; with `guard` the server refuses whatever row-level security would thin out.

    Raises:
        ConfigError: neither library is installed.
    """
    settings = {"TimeZone": "UTC", "DateStyle": "ISO, YMD", "client_min_messages": "error"}
    settings |= {"row_security": "off"} if guard else {}
    local = ", ".join(f"set_config('{name}', '{value}', true)" for name, value in settings.items())
    with _connected(address) as opened:
        opened.rows(f"SELECT {local}")
        yield opened


@contextmanager
def _connected(address: Address) -> Iterator[Session]:
    if _adbc_loads():
        with _adbc(address) as opened:
            yield opened
    else:
        with _psycopg(address) as opened:
            yield opened


def _adbc_loads() -> bool:
    """Say whether ADBC and its library are there; the library is loaded on first use, so load it."""
    try:
        import adbc_driver_manager

        # An address that libpq refuses before it looks for a server: its refusal shows that the library is there.
        library = importlib.import_module("adbc_driver_postgresql")._driver_path()
        with adbc_driver_manager.AdbcDatabase(driver=library, uri="postgresql://?port=x"):
            return True
    except (ImportError, OSError):
        return False
    except Exception as error:
        return "libpq" in str(error)


class _Adbc:
    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def rows(self, sql: str) -> Sequence[Sequence[str | None]]:
        with self._connection.cursor() as cursor:
            cursor.execute(sql)
            return [tuple(row) for row in cursor.fetchall()]

    def batches(self, sql: str) -> Iterator[pa.RecordBatch]:
        with self._connection.cursor() as cursor:
            cursor.adbc_statement.set_options(**{"adbc.postgresql.batch_size_hint_bytes": str(BATCH_BYTES)})
            cursor.execute(sql)
            with cursor.fetch_record_batch() as reader:
                yield from reader


@contextmanager
def _adbc(address: Address) -> Iterator[Session]:
    dbapi = importlib.import_module("adbc_driver_postgresql.dbapi")
    with dbapi.connect(address.uri(), autocommit=False) as connection:
        with connection.cursor() as cursor:
            cursor.execute(SNAPSHOT)
        yield _Adbc(connection)


class _Psycopg:
    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def rows(self, sql: str) -> Sequence[Sequence[str | None]]:
        return list(self._connection.execute(sql).fetchall())

    def batches(self, sql: str) -> Iterator[pa.RecordBatch]:
        """Yield the rows as text, which has one form whichever library asks; every quoted cell is one, '' included."""
        names = [column.name for column in self._connection.execute(f"{sql} LIMIT 0").description]
        with (
            self._connection.cursor() as cursor,
            cursor.copy(f"COPY ({sql}) TO STDOUT (FORMAT csv, FORCE_QUOTE *)") as copy,
        ):
            held, held_bytes = [], 0
            for row in copy:  # the protocol gives one row a message
                held.append(bytes(row))
                held_bytes += len(row)
                if held_bytes >= BATCH_BYTES:
                    yield _arrow(held, names)
                    held, held_bytes = [], 0
            if held:
                yield _arrow(held, names)


@contextmanager
def _psycopg(address: Address) -> Iterator[Session]:
    try:
        psycopg = importlib.import_module("psycopg")
    except ImportError:
        raise ConfigError(INSTALL) from None
    # A prepared statement lives in a server's connection, which a transaction pooler gives to somebody else.
    with psycopg.connect("", prepare_threshold=None, **address.settings) as connection:
        connection.execute(SNAPSHOT)
        yield _Psycopg(connection)


def _arrow(rows: Sequence[bytes], names: Sequence[str]) -> pa.RecordBatch:
    data = b"".join(rows)
    table = pa.csv.read_csv(
        io.BytesIO(data),
        read_options=pa.csv.ReadOptions(column_names=list(names), block_size=len(data) + 1, use_threads=False),
        parse_options=pa.csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        convert_options=pa.csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    return table.combine_chunks().to_batches()[0]
