r"""Lines of a COPY block → the columns that turns need: cells split by Arrow, escapes undone by column.

Source: PostgreSQL's documentation of COPY, text format: tab between cells, `\N` is NULL, `\b \f \n \r \t \v`, octal
`\123`, hex `\x41`; a backslash before anything else stands for that.
"""

import re
from collections.abc import Mapping
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from twin.errors import DataError
from twin.scrub import shown

_ESCAPE: Final = re.compile(rb"\\(x[0-9A-Fa-f]{1,2}|[0-7]{1,3}|.)", re.DOTALL)
_LETTERS: Final = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
UTF8_BOM: Final = b"\xef\xbb\xbf"  # Arrow would take one at the beginning of a block for no part of the first cell


def decode(block: bytes, width: int, places: Mapping[str, int], name: str, line: int) -> pa.RecordBatch:
    """Return the columns at `places` of whole lines of `width` cells; `line` is the number of the first one.

    Raises:
        DataError: a line has another number of cells, or is not UTF-8; the message has its number.
    """
    # Arrow takes an empty line for a row of nothing.
    if block.startswith((UTF8_BOM, b"\n")) or b"\n\n" in block or b"\0" in block:
        return _line_by_line(block, width, places, name, line)
    try:
        table = csv.read_csv(
            pa.BufferReader(block),
            csv.ReadOptions(block_size=len(block) + 1, column_names=[str(place) for place in range(width)]),
            csv.ParseOptions(delimiter="\t", quote_char=False, double_quote=False, ignore_empty_lines=False),
            csv.ConvertOptions(
                column_types={str(place): pa.string() for place in places.values()},
                include_columns=[str(place) for place in places.values()],
                null_values=["\\N"],
                strings_can_be_null=True,
            ),
        )
        columns = zip(places, table.columns, strict=True)
        cells = [_unescaped(column.combine_chunks(), name, line, meaning) for meaning, column in columns]
    except (pa.ArrowInvalid, _ProtectedError):
        return _line_by_line(block, width, places, name, line)
    return pa.RecordBatch.from_arrays(cells, names=list(places))


class _ProtectedError(Exception):
    """A cell ends in half an escape: the other half is a raw tab, as pg_dump has not written it since 7.2."""


def _unescaped(column: pa.Array, name: str, line: int, meaning: str) -> pa.Array:
    # One plain character: as an expression it is found 15 times as fast as by match_substring.
    escaped = pc.fill_null(pc.match_substring_regex(column, r"\\"), False)
    rows = pc.indices_nonzero(escaped)
    if not len(rows):
        return column
    values = [
        _frequent(cell) or _rare(cell, meaning, f"{name}:{line + row}")
        for cell, row in zip(column.take(rows).to_pylist(), rows.to_pylist(), strict=True)
    ]
    return pc.replace_with_mask(column, escaped, pa.array(values, pa.string()))


def _frequent(cell: str) -> str | None:
    """Undo the escapes of almost every cell; None for one that has others."""
    if "\\\\" in cell:
        # NUL, which the block does not hold, keeps the place of an escaped backslash while the others are undone.
        cell = cell.replace("\\\\", "\0").replace("\\n", "\n").replace("\\t", "\t").replace("\\r", "\r")
        return None if "\\" in cell else cell.replace("\0", "\\")
    cell = cell.replace("\\n", "\n")
    if "\\" not in cell:
        return cell
    cell = cell.replace("\\t", "\t").replace("\\r", "\r")
    return None if "\\" in cell else cell


def _rare(cell: str, meaning: str, place: str) -> str:
    if cell.replace("\\\\", "").endswith("\\"):
        raise _ProtectedError
    return _text(cell.encode(), meaning, place)


def _line_by_line(block: bytes, width: int, places: Mapping[str, int], name: str, line: int) -> pa.RecordBatch:
    """Return what `decode` does, exactly and slowly, or find the line that is at fault."""
    columns: dict[str, list[str | None]] = {meaning: [] for meaning in places}
    for number, raw in enumerate(block.split(b"\n")[:-1], line):
        if raw.replace(b"\\\\", b"").endswith(b"\\"):
            raise DataError(f"{name}:{number}: the line ends within an escape. The file was changed; dump again.")
        cells = _cells(raw)
        if len(cells) != width:
            raise DataError(
                f"{name}:{number}: the row has {len(cells)} fields, its COPY statement names {width} columns. "
                "The file was changed or is damaged; dump again."
            )
        for meaning, place in places.items():
            cell = cells[place]
            columns[meaning].append(None if cell == b"\\N" else _text(cell, meaning, f"{name}:{number}"))
    return pa.RecordBatch.from_arrays([pa.array(cells, pa.string()) for cells in columns.values()], names=list(columns))


def _cells(raw: bytes) -> list[bytes]:
    if b"\\\t" not in raw:
        return raw.split(b"\t")
    # An escaped backslash before a tab ends a cell, an escaped tab does not: octal forms tell them apart.
    return raw.replace(b"\\\\", b"\\134").replace(b"\\\t", b"\\011").split(b"\t")


def _text(cell: bytes, meaning: str, place: str) -> str:
    plain = _ESCAPE.sub(_replacement, cell) if b"\\" in cell else cell
    try:
        return plain.decode("utf-8")
    except UnicodeDecodeError as error:
        around = plain[max(0, error.start - 10) : error.end + 10].decode("utf-8", "replace")
        raise DataError(
            f"{place}: {meaning} is not UTF-8 at {shown(around)}. Dump again with `--encoding=UTF8`."
        ) from None


def _replacement(escape: re.Match[bytes]) -> bytes:
    code = escape.group(1)
    if code.startswith(b"x") and len(code) > 1:
        return bytes([int(code[1:], 16)])
    if code[:1] in b"01234567":
        return bytes([int(code, 8) & 0xFF])
    return _LETTERS.get(code, code)
