"""Records → typed rows, one at a time: the exact and slow road, which knows file and line of every fault."""

from collections.abc import Iterable, Iterator
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from twin.errors import DataError
from twin.export import cells
from twin.export.canonical import ROWS, instants
from twin.export.formats import placed
from twin.export.records import Record, records


class Row(NamedTuple):
    """One turn as exported; the columns of `canonical.ROWS`, and where it stands."""

    file: str
    line: int
    id: str
    conversation_id: str | None
    role: str
    """Lower case, as readers of the table compare it; `none` where the table has NULL or no such column."""
    author: str | None
    """Who wrote it, for group chats."""
    content: str
    """Line ends are LF, no white space around it: the form that the table's content_hash is taken of."""
    created_at: datetime
    """In UTC."""
    phase: str | None
    salience: float | None
    domain: str | None
    depth: int
    """0 where the export has none; orders rows of one instant."""
    sibling: int
    """As `depth`."""
    content_hash: str | None

    @property
    def place(self) -> str:
        """Where the row stands, `file:line` or `file: object 17`."""
        return placed(self.file, self.line)


def read(path: Path, zone: tzinfo | None = None) -> Iterator[Row]:
    """Yield the rows of an export file; `zone` is that of times that name none.

    Raises:
        DataError: the file or one of its cells is not usable.
    """
    file = str(path)
    for record in records(path):
        yield Row(file, record.line, **values(file, record, zone))


def batch_of(path: Path, found: Iterable[Record], zone: tzinfo | None) -> pa.RecordBatch:
    """Return records in the form of ROWS, each read cell by cell.

    Raises:
        DataError: a cell is not usable.
    """
    file = str(path)
    read_rows = [values(file, record, zone) for record in found]
    made = []
    for field in ROWS:
        column = [row[field.name] for row in read_rows]
        made.append(instants(column) if field.name == "created_at" else pa.array(column, field.type))
    return pa.RecordBatch.from_arrays(made, schema=ROWS)


def values(file: str, record: Record, zone: tzinfo | None) -> dict[str, Any]:
    """Return what a record's cells hold, by meaning.

    Raises:
        DataError: a cell is not usable.
    """
    found: dict[str, Any] = {}
    meaning = ""
    try:
        for meaning, read_cell in cells.READERS.items():
            found[meaning] = read_cell(record.cells.get(meaning))
        meaning = "created_at"
        found[meaning] = cells.instant(record.cells.get(meaning), zone)
    except cells.CellError as fault:
        raise DataError(f"{placed(file, record.line)}: {record.names.get(meaning, meaning)} {fault}") from None
    return found
