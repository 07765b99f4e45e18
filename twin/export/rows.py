"""Records → typed rows, one at a time: the exact and slow road, which knows file and line of every fault."""

from collections.abc import Iterator
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any, NamedTuple

from twin.errors import DataError
from twin.export import cells
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
        """Where the row stands, `file:line`."""
        return f"{self.file}:{self.line}"


def read(path: Path, zone: tzinfo | None = None) -> Iterator[Row]:
    """Yield the rows of an export file; `zone` is that of times that name none.

    Raises:
        DataError: the file or one of its cells is not usable.
    """
    file = str(path)
    for record in records(path):
        yield Row(file, record.line, **_values(file, record, zone))


def _values(file: str, record: Record, zone: tzinfo | None) -> dict[str, Any]:
    values: dict[str, Any] = {}
    meaning = ""
    try:
        for meaning, read_cell in cells.READERS.items():
            values[meaning] = read_cell(record.cells.get(meaning))
        meaning = "created_at"
        values[meaning] = cells.instant(record.cells.get(meaning), zone)
    except cells.CellError as fault:
        raise DataError(f"{file}:{record.line}: {record.names.get(meaning, meaning)} {fault}") from None
    return values
