"""Lines of a CSV or JSONL file → records: the cells of one row by meaning, and the line at which the row begins."""

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn

from twin.errors import DataError
from twin.export.columns import Columns, match
from twin.export.lines import numbered_lines

CELL_BYTES_MAX: Final = 1 << 30  # a Postgres cell; the csv module stops at 128 KiB unless told
READABLE: Final = ".csv, .jsonl or .ndjson, each also as .gz"


class Record(NamedTuple):
    """One row as it stands in the file."""

    line: int
    names: Mapping[str, str]
    """What a cell means → the column's name in the file."""
    cells: Mapping[str, Any]
    """What a cell means → its value: text from CSV ('' also where the table had NULL), any JSON value from JSONL."""


def records(path: Path) -> Iterator[Record]:
    """Yield the records of an export file; blank lines are not records.

    Raises:
        DataError: the file is not readable, not of a known format, cut, malformed, or has no record.
    """
    empty = True
    for record in _reader(path)(path):
        empty = False
        yield record
    if empty:
        raise DataError(f"{path} has no rows{' below its header' if is_csv(path) else ''}. Export again.")


def columns(path: Path) -> tuple[str, ...]:
    """Return the column names of an export file: its header, or the keys of its first object.

    Raises:
        DataError: as `records`.
    """
    _, first = next(_table(path), (0, [])) if is_csv(path) else next(_objects(path), (0, {}))
    return tuple(first)


def is_export(path: Path) -> bool:
    """Say whether the name of `path` is that of a file this module reads."""
    return _format(path) in _READERS


def is_csv(path: Path) -> bool:
    """Say whether the name of `path` is that of a CSV file."""
    return _format(path) == ".csv"


def _format(path: Path) -> str:
    return Path(path.name.lower().removesuffix(".gz")).suffix


def _reader(path: Path) -> Callable[[Path], Iterator[Record]]:
    if not is_export(path):
        hint = " A JSON array becomes JSONL with `jq -c '.[]' in.json > out.jsonl`." if _format(path) == ".json" else ""
        raise DataError(f"{path}: its format is not known by its name. Export {READABLE}.{hint}")
    return _READERS[_format(path)]


def _csv_records(path: Path) -> Iterator[Record]:
    table = _table(path)
    header = _header(path, table)
    width, names, places = len(header.found), header.names, header.places.items()
    for line, cells in table:
        if len(cells) != width:
            last = len(cells) < width and next(table, None) is None
            move = "It is the last row: the file looks cut. Export again." if last else "Fix the row or export again."
            raise DataError(f"{path}:{line}: row has {len(cells)} fields, the header has {width}. {move}")
        yield Record(line, names, {column: cells[place] for column, place in places})


def _header(path: Path, table: Iterator[tuple[int, list[str]]]) -> Columns:
    line, cells = next(table, (0, []))
    if not cells:
        raise DataError(f"{path} is empty: it has neither header nor rows. Export again.")
    return match(cells, f"{path}:{line}")


def _table(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield (line at which the row begins, its cells); strict, because the csv module otherwise forgives a cut file."""
    csv.field_size_limit(CELL_BYTES_MAX)
    reader = csv.reader((text for _, text in numbered_lines(path)), strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise DataError(f"{path}:{line}: {_csv_fault(str(error))}") from None
        if cells is None:
            return
        if cells:
            yield line, cells


def _csv_fault(error: str) -> str:
    if "unexpected end of data" in error:
        return "a quoted cell of the row that begins here is never closed: the file is cut. Export again."
    if "new-line character" in error:
        return "a carriage return stands outside quotes. Save the file with LF or CRLF line ends."
    return f"not valid CSV ({error}). Inside a quoted cell every quote is doubled. Fix the row or export again."


def _jsonl_records(path: Path) -> Iterator[Record]:
    keys: tuple[str, ...] | None = None
    for line, value in _objects(path):
        if tuple(value) != keys:
            keys = tuple(value)
            header = match(keys, f"{path}:{line}")
        cells = tuple(value.values())
        yield Record(line, header.names, {column: cells[place] for column, place in header.places.items()})


def _objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    lines = numbered_lines(path)
    for number, text in lines:
        if not text.strip():
            continue
        try:
            value = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_unique)
        except (ValueError, RecursionError) as error:
            last = not any(later.strip() for _, later in lines)
            raise DataError(f"{path}:{number}: {_json_fault(error, text, last)}") from None
        if not isinstance(value, dict):
            kind = "an array" if isinstance(value, list) else f"a {type(value).__name__}"
            raise DataError(f"{path}:{number}: the line is {kind}, not a JSON object. {_one_object_a_line()}")
        yield number, value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return value


def _json_fault(error: Exception, text: str, last: bool) -> str:
    if isinstance(error, json.JSONDecodeError):
        if text.lstrip().startswith("["):
            return f"the file is a JSON array, not JSONL. {_one_object_a_line()}"
        if last:
            return f"the last line is not whole JSON ({_where(error)}): the file looks cut. Export again."
        return f"not JSON ({_where(error)}). {_one_object_a_line()}"
    reason = "nested too deep" if isinstance(error, RecursionError) else str(error)
    return f"{reason}. Fix the line or export again."


def _where(error: json.JSONDecodeError) -> str:
    return f"{error.msg}, character {error.colno}"


def _one_object_a_line() -> str:
    return "JSONL has one object a line; `jq -c '.[]' in.json > out.jsonl` makes it from an array."


_READERS: Final = {".csv": _csv_records, ".jsonl": _jsonl_records, ".ndjson": _jsonl_records}
