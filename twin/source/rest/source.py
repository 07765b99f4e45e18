"""A table behind PostgREST → batches of rows in canonical form, each row once or an error, page by page on its id.

Each request is a transaction of its own, so nothing but the count says that no row came or went meanwhile.
"""

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from twin.errors import DataError
from twin.export import cells
from twin.export.canonical import canonical
from twin.export.columns import match
from twin.scrub import shown
from twin.source import Fingerprint
from twin.source.rest.access import Access
from twin.source.rest.session import Answer, Ask, Session

if TYPE_CHECKING:
    from postgrest import SyncPostgrestClient

PAGE_ROWS: Final = 1000  # what a hosted project gives at the most, unless set otherwise
PAGE_BYTES_MAX: Final = 32 << 20  # a page above is not wrong, but the next ones are half as long
BATCH_ROWS: Final = 4000
BATCH_BYTES: Final = 16 << 20


@dataclass
class Reading:
    """How far one reading of the table has come."""

    expected: int
    """What the server counted before the first page."""
    page_rows: int
    received: int = 0
    last: str | None = None
    """The id of the last row received."""

    def __str__(self) -> str:
        if self.last is None:
            return f"None of {self.expected:,} rows had come."
        return f"{self.received:,} of {self.expected:,} rows had come, up to id {shown(self.last)}; none is kept."


class RestSource:
    """A LiveSource; `note` says what is not in it, if that is known."""

    def __init__(self, session: Session, access: Access, table: tuple[str, str], zone: tzinfo | None) -> None:
        """Learn the table's columns from one of its rows.

        Raises:
            DataError: there is no row to see, a required column is missing, or the server does not answer.
        """
        self._session = session
        self._table = table
        self._zone = zone
        self.place = place_of(table)
        self.note = (
            f"{self.place}: read as {shown(access.public_role)}; rows that row level security hides are not in it."
            if access.public_role
            else ""
        )
        row = self._first_row(access.public_role)
        self._columns = match(tuple(row), self.place)
        self._names = {meaning: self._columns.found[index] for meaning, index in self._columns.places.items()}
        self._wanted = tuple(self._names.values())
        self._local_times = _is_local(self._a_time(row[self._names["created_at"]]))
        self.fingerprint = Fingerprint("rest", access.fingerprint, ".".join(table), self._columns.found)

    def __repr__(self) -> str:
        return f"RestSource({self.place})"

    def count(self, until: datetime | None) -> int:
        """Return the number of rows with created_at ≤ `until`, or of all rows, those without created_at too.

        Raises:
            DataError: the server does not answer.
        """
        return self._count(None, until, "No row had been asked for.")

    def batches(self, after: datetime | None, until: datetime) -> Iterator[pa.RecordBatch]:
        """Yield every row with `after` < created_at ≤ `until` once, in the order of the ids.

        Raises:
            DataError: the server does not answer, the table changed meanwhile, or a cell is not usable.
        """
        expected = self._count(after, until, "No row had been asked for.")
        reading, hashes = Reading(expected, PAGE_ROWS), array("q")
        held: list[dict[str, Any]] = []
        held_bytes = 0
        # A page that is not full is no end: the server cuts pages at a size that it does not tell.
        while (page := self._page(reading, after, until)).rows:
            held += page.rows
            held_bytes += page.size_bytes
            if len(held) >= BATCH_ROWS or held_bytes >= BATCH_BYTES:
                yield self._batch(held, after, until)
                held, held_bytes = [], 0
            self._advance(reading, page, hashes)
            if reading.received > expected:
                break
        if held:
            yield self._batch(held, after, until)
        self._settle(reading, hashes, after, until)

    def _first_row(self, public_role: str | None) -> dict[str, Any]:
        """Return one row with all its columns: the only time that extras such as embeddings are asked for."""
        ask = Ask(lambda client, rows: client.from_(self._table[1]).select("*").limit(rows), 1, None)
        answer, _ = self._session.get(ask, "No row had been asked for.")
        if answer.rows:
            return answer.rows[0]
        hidden = (
            f"row level security hides all of them from {shown(public_role)}. Use the project's secret key"
            if public_role
            else "this is another project than you think. Check SUPABASE_URL and --table"
        )
        raise DataError(f"{self.place} shows no row: the table is empty, or {hidden}.")

    def _a_time(self, first: Any) -> Any:
        """Return a time as the server writes it; None if no row has one."""
        column = self._names["created_at"]

        def build(client: "SyncPostgrestClient", rows: int) -> Any:
            return client.from_(self._table[1]).select(column).not_.is_(column, None).limit(rows)

        if first is not None:
            return first
        answer, _ = self._session.get(Ask(build, 1, (column,)), "No row had been asked for.")
        return answer.rows[0][column] if answer.rows else None

    def _count(self, after: datetime | None, until: datetime | None, so_far: str) -> int:
        def build(client: "SyncPostgrestClient", rows: int) -> Any:
            request = client.from_(self._table[1]).select(self._names["id"], count=_exact())
            return self._bounded(request, after, until).limit(rows)

        answer, _ = self._session.get(Ask(build, 1, (self._names["id"],), counted=True), so_far)
        assert answer.total is not None
        return answer.total

    def _page(self, reading: Reading, after: datetime | None, until: datetime) -> Answer:
        def build(client: "SyncPostgrestClient", rows: int) -> Any:
            request = self._bounded(client.from_(self._table[1]).select(*self._wanted), after, until)
            if reading.last is not None:
                request = request.gt(self._names["id"], reading.last)
            return request.order(self._names["id"]).limit(rows)

        answer, rows = self._session.get(Ask(build, reading.page_rows, self._wanted), str(reading))
        # The first page tells the server's own size; a page that was too heavy stays halved.
        reading.page_rows = min(rows, len(answer.rows) or rows) if reading.last is None else rows
        if answer.size_bytes > PAGE_BYTES_MAX:
            reading.page_rows = max(1, reading.page_rows // 2)
        return answer

    def _bounded(self, request: Any, after: datetime | None, until: datetime | None) -> Any:
        column = self._names["created_at"]
        if until is not None:
            request = request.lte(column, self._literal(until))
        return request if after is None else request.gt(column, self._literal(after))

    def _literal(self, moment: datetime) -> str:
        # A column without zones is compared as if the bound had none: Postgres drops the zone without a word.
        if self._local_times and self._zone is not None:
            return moment.astimezone(self._zone).replace(tzinfo=None).isoformat()
        return moment.astimezone(UTC).isoformat()

    def _advance(self, reading: Reading, page: Answer, hashes: "array[int]") -> None:
        ids = [row[self._names["id"]] for row in page.rows]
        if None in ids:
            raise DataError(f"{self.place}: a row has no id, and pages are found by it. Give every row one.")
        hashes.extend(hash(str(value)) for value in ids)
        reading.received += len(ids)
        reading.last = str(ids[-1])

    def _settle(self, reading: Reading, hashes: "array[int]", after: datetime | None, until: datetime) -> None:
        """Refuse rows that came twice, and a number of rows that is not the server's."""
        if len(np.unique(np.frombuffer(hashes, np.int64))) != len(hashes):
            raise DataError(
                f"{self.place}: an id came twice in {len(hashes):,} rows. {self._names['id']} must be a key of the "
                "table; if it is, run again."
            )
        now = self._count(after, until, str(reading))
        bound = f"{self._names['created_at']} up to {until.astimezone(UTC).isoformat()}"
        if now != reading.expected:
            raise DataError(
                f"{self.place}: rows came or went while the table was read: with {bound} there were "
                f"{reading.expected:,} at the start and {now:,} at the end. Run again."
            )
        if reading.received != now:
            raise DataError(
                f"{self.place}: {reading.received:,} rows came, but the server counts {now:,} with {bound}. Rows came "
                f"and went meanwhile, or {self._names['id']} is no key of the table. Run again; if it stays so, bring "
                "the table from Postgres."
            )

    def _batch(self, rows: Sequence[dict[str, Any]], after: datetime | None, until: datetime) -> pa.RecordBatch:
        id_ = self._names["id"]

        def place(row: int) -> str:
            return f"{self.place} id {shown(rows[row][id_])}"

        cells_of = {meaning: [row[name] for row in rows] for meaning, name in self._names.items()}
        raw = pa.RecordBatch.from_pydict(
            {meaning: self._array(meaning, values, place) for meaning, values in cells_of.items()}
        )
        made = canonical(raw, self._names, place, self._zone)
        self._refuse_outside(made, after, until)
        return made

    def _array(self, meaning: str, values: list[Any], place: Callable[[int], str]) -> pa.Array:
        try:
            return pa.array(values)
        except (pa.ArrowException, ValueError, TypeError, OverflowError):
            return pa.array([self._cell(meaning, value, place, row) for row, value in enumerate(values)])

    def _cell(self, meaning: str, value: Any, place: Callable[[int], str], row: int) -> Any:
        """Return a cell of a column that Arrow has no one type for, such as numbers of more than 64 bits."""
        try:
            return cells.instant(value, self._zone) if meaning == "created_at" else cells.READERS[meaning](value)
        except cells.CellError as fault:
            raise DataError(f"{place(row)}: {self._names[meaning]} {fault}") from None

    def _refuse_outside(self, made: pa.RecordBatch, after: datetime | None, until: datetime) -> None:
        """Refuse rows outside of the bounds: then the server compares times as something else than times."""
        bounds = pc.min_max(made.column("created_at")).as_py()
        if not self._local_times and (bounds["max"] > until or (after is not None and bounds["min"] <= after)):
            raise DataError(
                f"{self.place}: rows came that are outside of the times asked for. {self._names['created_at']} must be "
                "of type timestamptz; bring this table from Postgres."
            )


def place_of(table: tuple[str, str]) -> str:
    """Return how messages name a table."""
    return f"rest {'.'.join(table)}"


def _is_local(value: Any) -> bool:
    try:
        return datetime.fromisoformat(value).tzinfo is None
    except (TypeError, ValueError):
        return False


def _exact() -> Any:
    from postgrest import CountMethod

    return CountMethod.exact
