"""Records → typed rows: text in its canonical form, times in UTC, numbers finite."""

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from twin.errors import DataError
from twin.export.records import Record, records
from twin.scrub import shown

NO_ROLE: Final = "none"  # how the role map names a row whose role is NULL


class Row(NamedTuple):
    """One turn as exported."""

    file: str
    line: int
    id: str
    conversation_id: str
    role: str
    """Lower case, as readers of the table compare it; `none` where the table has NULL."""
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

    @property
    def place(self) -> str:
        """Where the row stands, `file:line`."""
        return f"{self.file}:{self.line}"


def read(path: Path) -> Iterator[Row]:
    """Yield the rows of an export file.

    Raises:
        DataError: the file or one of its cells is not usable.
    """
    file = str(path)
    for record in records(path):
        cells = _Cells(file, record)
        yield Row(
            file=file,
            line=record.line,
            id=cells.required("id", "Give every row one"),
            conversation_id=cells.required("conversation_id", "Export only rows that have one"),
            role=(cells.name("role") or NO_ROLE).lower(),
            content=cells.content(),
            created_at=cells.instant(),
            phase=cells.name("phase"),
            salience=cells.number("salience"),
            domain=cells.name("domain"),
            depth=cells.integer("depth"),
            sibling=cells.integer("sibling"),
        )


class _Cells:
    """Typed access to the cells of one record; an empty cell and NULL mean the same, since CSV writers differ."""

    def __init__(self, file: str, record: Record) -> None:
        self._file = file
        self._record = record

    def required(self, column: str, move: str) -> str:
        value = self.name(column)
        if value is None:
            raise self._fault(column, f"is empty. {move}.")
        return value

    def name(self, column: str) -> str | None:
        value = self._record.cells.get(column)
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        return self._text(column, value).strip() or None

    def content(self) -> str:
        text = self._text("content", self._record.cells["content"])
        return text.replace("\r\n", "\n").replace("\r", "\n").strip()

    def instant(self) -> datetime:
        value = self._record.cells["created_at"]
        if value is None or value == "":
            raise self._fault("created_at", "is empty. Export the time of every turn.")
        if not isinstance(value, str):
            raise self._fault("created_at", f"is {shown(value)}; it must be ISO 8601 text: 2026-01-31T09:30:00+00:00.")
        try:
            moment = datetime.fromisoformat(value.strip())
            if moment.tzinfo is None:
                raise self._fault(
                    "created_at",
                    f"is {shown(value)}, which has no zone. Export timestamptz, or append +00:00 if it is UTC.",
                )
            return moment.astimezone(UTC)
        except DataError:
            raise
        except (ValueError, OverflowError):
            raise self._fault(
                "created_at", f"is {shown(value)}; it must be ISO 8601 with a zone: 2026-01-31T09:30:00+00:00."
            ) from None

    def number(self, column: str) -> float | None:
        value = self._record.cells.get(column)
        if value is None or value == "":
            return None
        try:
            number = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if not math.isfinite(number):
            raise self._fault(column, f"is {shown(value)}; it must be a finite number. Fix the row or export again.")
        return number

    def integer(self, column: str) -> int:
        number = self.number(column)
        if number is None:
            return 0
        if not number.is_integer():
            raise self._fault(column, f"is {shown(number)}; it must be a whole number. Fix the row or export again.")
        return int(number)

    def _text(self, column: str, value: Any) -> str:
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self._fault(column, f"is {_kind(value)}, not text. Export it as text.")
        if "\0" in value:
            raise self._fault(column, "holds a NUL, which no text has. Remove it or export again.")
        if not (value.isascii() or _encodes(value)):
            raise self._fault(
                column, "holds half of a surrogate pair, which is no character. Fix the row or export again."
            )
        return value

    def _fault(self, column: str, fault: str) -> DataError:
        return DataError(f"{self._file}:{self._record.line}: {self._record.names[column]} {fault}")


def _encodes(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _kind(value: object) -> str:
    names = {bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return names.get(type(value), type(value).__name__)
