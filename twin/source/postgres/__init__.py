"""A live Postgres, Supabase's above all → batches of rows in the form of ROWS, in order, from one snapshot.

Where the server is comes from the environment alone: TWIN_POSTGRES_URL, DATABASE_URL, or libpq's PGHOST, PGUSER,
PGPASSWORD and so on. Beyond this machine TLS is required unless sslmode says otherwise; that hides what is sent, but
does not prove who receives it. For that, download the project's CA (Supabase: Database settings, SSL configuration) and
append `?sslmode=verify-full&sslrootcert=prod-ca-2021.crt` to the URL, or set PGSSLMODE and PGSSLROOTCERT.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, tzinfo

import pyarrow as pa

from twin.errors import DataError
from twin.export.canonical import canonical
from twin.scrub import shown
from twin.source import Fingerprint, LiveSource
from twin.source.postgres.address import Address, named_in
from twin.source.postgres.faults import DENIED, POLICY, told
from twin.source.postgres.table import Name, Table, catalog, name_of, neighbours, rights, table_of
from twin.source.postgres.ways import Session, session


@contextmanager
def open(  # noqa: A001
    table: str, environ: Mapping[str, str], zone: tzinfo | None = None, allow_row_security: bool = False
) -> Iterator[LiveSource]:
    """Yield the table as a source; `zone` is that of a created_at which has none.

    With `allow_row_security` rows that policies hide from the account are left out; otherwise that is an error.

    Raises:
        ConfigError: no server is named, it cannot be reached or lets nobody in, or `table` is no name.
        DataError: the table is not there, may not be read, or lacks a column.
    """
    where, name = named_in(environ), name_of(table)
    with told(where, f"Postgres ({where.origin})"), session(where, guard=False) as opened:
        found = _table(opened, name, zone)
        readable, filtered = opened.rows(rights(name))[0]
        if readable == "false":
            raise DataError(f"{name}: {DENIED}")
        if filtered == "true" and not allow_row_security:
            raise DataError(f"{name}: {POLICY}")
    yield Live(where, found, guard=not allow_row_security)


class Live:
    """A table of a live server; each call is a transaction of its own."""

    def __init__(self, where: Address, table: Table, guard: bool) -> None:
        """`guard`: the server refuses to leave rows out."""
        self._where, self._table, self._guard = where, table, guard
        self.fingerprint = Fingerprint(
            "postgres", where.place(), str(table.name), tuple(column.name for column in table.found)
        )
        self.note = "" if guard else "rows that row security hides from this role, if any, are missing"

    def count(self, until: datetime | None) -> int:
        """Return the number of rows with created_at ≤ `until`, or of all rows, those without created_at too.

        Raises:
            ConfigError: the server cannot be reached any more.
            DataError: the server did not count them.
        """
        with told(self._where, str(self._table.name)), session(self._where, self._guard) as opened:
            return int(str(opened.rows(self._table.count(until))[0][0]))

    def batches(self, after: datetime | None, until: datetime) -> Iterator[pa.RecordBatch]:
        """Yield every row with `after` < created_at ≤ `until` once, by time, in the form of ROWS.

        Raises:
            ConfigError: the server cannot be reached any more.
            DataError: the table could not be read to its end, a cell is not usable, or a time is infinite.
        """
        name, names = str(self._table.name), self._table.columns.names
        with told(self._where, name), session(self._where, self._guard) as opened:
            for identity, time in opened.rows(self._table.endless()):
                raise DataError(
                    f"{name}: the row with {names['id']} {shown(identity)} has {names['created_at']} {time}, which has "
                    "no place in time. Give it a real time or delete it."
                )
            for batch in opened.batches(self._table.select(after, until)):
                yield canonical(batch, names, _place(name, batch, names), self._table.zone)


def _place(name: str, batch: pa.RecordBatch, names: Mapping[str, str]) -> Callable[[int], str]:
    return lambda row: f"{name}: row with {names['id']} {shown(batch.column('id')[row].as_py())}"


def _table(opened: Session, name: Name, zone: tzinfo | None) -> Table:
    rows = opened.rows(catalog(name))
    if not rows:
        others = [str(other) for (other,) in opened.rows(neighbours(name))]
        near = f" There is: {', '.join(shown(other) for other in others)}." if others else ""
        raise DataError(f"{name}: there is no such table in this database.{near} Name it: `twin bring … --table NAME`.")
    return table_of(name, rows, zone)
