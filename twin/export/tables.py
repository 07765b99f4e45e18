"""Lines of a CSV file → (line at which a row begins, its cells), as the csv module reads them when it is strict."""

import csv
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from twin.errors import DataError
from twin.export.columns import Columns, match

CELL_BYTES_MAX: Final = 1 << 30  # a Postgres cell; the csv module stops at 128 KiB unless told


class Header(NamedTuple):
    """What the first row of a CSV says, and where it ends."""

    columns: Columns
    lines: int
    """The number of its last line."""


def header(path: Path, lines: Iterable[tuple[int, str]]) -> Header:
    """Return the header: the first row that is not blank.

    Raises:
        DataError: there is none, a required column is missing, or two columns mean the same.
    """
    ends = 0

    def counted() -> Iterator[tuple[int, str]]:
        nonlocal ends
        for line in lines:
            ends = line[0]
            yield line

    line, cells = next(table(path, counted(), 1), (0, []))
    if not cells:
        raise no_header(path)
    return Header(match(cells, f"{path}:{line}"), ends)


def no_header(path: Path) -> DataError:
    """Return the error that a file of blank lines is."""
    return DataError(f"{path} is empty: it has neither header nor rows. Export again.")


def table(path: Path, lines: Iterable[tuple[int, str]], first: int) -> Iterator[tuple[int, list[str]]]:
    """Yield (line at which the row begins, its cells); `first` is the number of the first of `lines`.

    Strict, because the csv module otherwise forgives a cut file.

    Raises:
        DataError: it is no CSV.
    """
    csv.field_size_limit(CELL_BYTES_MAX)
    reader = csv.reader((text for _, text in lines), strict=True)
    while True:
        line = first + reader.line_num
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise DataError(f"{path}:{line}: {_fault(str(error))}") from None
        if cells is None:
            return
        if cells:
            yield line, cells


def rows_below(
    path: Path, columns: Columns, lines: Iterable[tuple[int, str]], first: int
) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Yield (line, what a cell means → its text) of the rows below the header.

    Raises:
        DataError: it is no CSV, or a row has more or fewer cells than the header.
    """
    width, places = len(columns.found), columns.places.items()
    rows = table(path, lines, first)
    for line, cells in rows:
        if len(cells) != width:
            last = len(cells) < width and next(rows, None) is None
            move = "It is the last row: the file looks cut. Export again." if last else "Fix the row or export again."
            raise DataError(f"{path}:{line}: row has {len(cells)} fields, the header has {width}. {move}")
        yield line, {meaning: cells[place] for meaning, place in places}


def _fault(error: str) -> str:
    if "unexpected end of data" in error:
        return "a quoted cell of the row that begins here is never closed: the file is cut. Export again."
    if "new-line character" in error:
        return "a carriage return stands outside quotes. Save the file with LF or CRLF line ends."
    return f"not valid CSV ({error}). Inside a quoted cell every quote is doubled. Fix the row or export again."
