"""A file of text → records: the cells of one row by meaning, and where the row begins; the exact and slow road."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final, NamedTuple

from twin.errors import DataError
from twin.export import objects, parquet, streams, tables
from twin.export.canonical import python_values
from twin.export.columns import Columns, match
from twin.export.formats import format_of, is_csv, is_export, placed
from twin.export.lines import numbered_lines

__all__ = ["Record", "columns", "is_csv", "is_export", "nothing_in", "place", "records", "unterminated"]


class Record(NamedTuple):
    """One row as it stands in the file."""

    line: int
    """The line at which it begins; its number among the objects of a JSON array."""
    names: Mapping[str, str]
    """What a cell means → the column's name in the file."""
    cells: Mapping[str, Any]
    """What a cell means → its value: text from CSV ('' also where the table had NULL), any JSON value from JSON."""


def records(path: Path) -> Iterator[Record]:
    """Yield the records of an export file of text; blank lines are not records.

    Raises:
        DataError: the file is not readable, not of a known format, cut, malformed, or has no record.
    """
    empty = True
    for record in _reader(path)(path):
        empty = False
        yield record
    if empty:
        raise nothing_in(path)


def nothing_in(path: Path) -> DataError:
    """Return the error that a file without a single row is."""
    return DataError(f"{path} has no rows{' below its header' if is_csv(path) else ''}. Export again.")


def columns(path: Path) -> tuple[str, ...]:
    """Return the column names of an export file: its header, schema, or the keys of its first object.

    Raises:
        DataError: as `records`.
    """
    found = format_of(path)
    if found == ".parquet":
        return parquet.columns(path)
    if found == ".csv":
        return tuple(next(tables.table(path, numbered_lines(path), 1), (0, []))[1])
    return tuple(next(_objects(path), (0, {}))[1])


def place(path: Path, row: int) -> str:
    """Word where row number `row`, from 0, stands: `file:line`, `file: object 17` or `file: row 17`.

    The file is read again from its start: this is for messages.
    """
    if format_of(path) == ".parquet":
        return placed(path, row + 1)
    return placed(path, next(islice(records(path), row, None)).line)


def unterminated(path: Path) -> bool:
    """Say whether the last row of a CSV has no line end though the others end in a bare LF.

    psql and dumps always write it, so the file may be cut within its last cell; writers of CRLF often leave it out.
    """
    if not is_csv(path):
        return False
    ends, last, carry = "", b"", b""
    for block in streams.blocks(path):
        at = block.find(b"\n")
        if not ends and at >= 0:
            ends = "\r\n" if (carry + block)[: at + len(carry)].endswith(b"\r") else "\n"
        carry = last = block[-1:]
    return ends == "\n" and last != b"\n"


def of_objects(path: Path, found: Iterable[tuple[int, dict[str, Any]]]) -> Iterator[Record]:
    """Yield the records that objects are.

    Raises:
        DataError: an object lacks a column, or two of its keys mean the same.
    """
    keys: tuple[str, ...] | None = None
    for number, value in found:
        if tuple(value) != keys:
            keys = tuple(value)
            header = match(keys, placed(path, number))
        cells = tuple(value.values())
        yield Record(number, header.names, {column: cells[at] for column, at in header.places.items()})


def of_table(path: Path, header: Columns, lines: Iterable[tuple[int, str]], first: int) -> Iterator[Record]:
    """Yield the records below the header of a CSV; `first` is the number of the first of `lines`.

    Raises:
        DataError: as `tables.rows_below`.
    """
    for line, cells in tables.rows_below(path, header, lines, first):
        yield Record(line, header.names, cells)


def _csv_records(path: Path) -> Iterator[Record]:
    lines = numbered_lines(path)
    header = tables.header(path, lines)
    return of_table(path, header.columns, lines, header.lines + 1)


def _object_records(path: Path) -> Iterator[Record]:
    return of_objects(path, _objects(path))


def _parquet_records(path: Path) -> Iterator[Record]:
    number = 0
    for names, batch in parquet.tables(path):
        for cells in zip(*map(python_values, batch.columns), strict=True):
            number += 1
            yield Record(number, names, dict(zip(batch.schema.names, cells, strict=True)))


def _objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    if format_of(path) == ".json":
        return chain.from_iterable(objects.array_objects(path, streams.blocks(path)))
    return objects.line_objects(path, numbered_lines(path))


def _reader(path: Path) -> Callable[[Path], Iterator[Record]]:
    return _READERS[format_of(path)]


_READERS: Final = {
    ".csv": _csv_records,
    ".jsonl": _object_records,
    ".ndjson": _object_records,
    ".json": _object_records,
    ".parquet": _parquet_records,
}
