"""An export file of any format → batches in the form of `canonical.ROWS`: fast, and exact wherever there is a doubt.

The fast readers (Arrow for CSV, orjson for JSONL) are trusted only where they cannot differ from the exact ones;
anything else is read again by `records` and `rows`, which yield the rows or name the fault's line.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import tzinfo
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.csv

from twin.export import objects, parquet, streams, tables
from twin.export.blocks import Part, parts
from twin.export.canonical import canonical
from twin.export.columns import Columns
from twin.export.fast_objects import LINES_BYTES, columns_of, groups
from twin.export.formats import format_of, placed
from twin.export.lines import numbered
from twin.export.records import Record, nothing_in, of_objects, of_table
from twin.export.rows import batch_of

EXACT_ROWS: Final = 1024  # of a batch that is made cell by cell


def batches(path: Path, zone: tzinfo | None = None) -> Iterator[pa.RecordBatch]:
    """Yield the rows of an export file in its order; `zone` is that of times that name none.

    Raises:
        DataError: the file or one of its cells is not usable; the message has its place, column and value.
    """
    rows = 0
    for batch in _READERS[format_of(path)](path, zone):
        rows += len(batch)
        if len(batch):
            yield batch
    if not rows:
        raise nothing_in(path)


def _csv(path: Path, zone: tzinfo | None) -> Iterator[pa.RecordBatch]:
    found = parts(streams.blocks(path))
    header: Columns | None = None
    for part in found:
        if not part.sound:
            yield from _exact_csv(path, header, part, found, zone)
            return
        if header is None and not part.data.strip(b"\r\n"):
            continue
        if header is None:
            first = tables.header(path, numbered(path, [part.data], part.line))
            header, part = first.columns, _without_lines(part, first.lines + 1 - part.line)  # noqa: PLW2901 the header is none of its rows
        if part.data:
            yield from _fast_csv(path, header, part, found, zone)
    if header is None:
        raise tables.no_header(path)


def _without_lines(part: Part, lines: int) -> Part:
    at = 0
    for _ in range(lines):
        at = part.data.find(b"\n", at) + 1 or len(part.data)
    return Part(part.data[at:], part.line + lines, part.sound)


def _fast_csv(
    path: Path, header: Columns, part: Part, rest: Iterator[Part], zone: tzinfo | None
) -> Iterator[pa.RecordBatch]:
    try:
        batch = _arrow_csv(header, part.data)
    except pa.ArrowException:  # a row of another width, or a table with nothing in it
        yield from _exact_csv(path, header, part, rest, zone)
        return

    def place(row: int) -> str:
        records = of_table(path, header, numbered(path, [part.data], part.line), part.line)
        return placed(path, next(islice(records, row, None)).line)

    for piece in batch:
        yield canonical(piece, header.names, place, zone)


def _arrow_csv(header: Columns, data: bytes) -> list[pa.RecordBatch]:
    meanings = {place: meaning for meaning, place in header.places.items()}
    names = [meanings.get(place, f"#{place}") for place in range(len(header.found))]
    if data.startswith(streams.UTF8_BOM):  # a cell's own letter; Arrow takes one away from every part
        data = streams.UTF8_BOM + data
    table = pa.csv.read_csv(
        pa.BufferReader(data),
        read_options=pa.csv.ReadOptions(column_names=names, block_size=len(data) + 1, use_threads=False),
        parse_options=pa.csv.ParseOptions(newlines_in_values=True),
        convert_options=pa.csv.ConvertOptions(
            check_utf8=False,
            column_types=dict.fromkeys(header.places, pa.string()),
            include_columns=list(header.places),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    return list(table.combine_chunks().to_batches())


def _exact_csv(
    path: Path, header: Columns | None, part: Part, rest: Iterator[Part], zone: tzinfo | None
) -> Iterator[pa.RecordBatch]:
    """Read `part` and all that follows row by row: where a doubtful part ends is itself in doubt."""
    lines = numbered(path, chain([part.data], (later.data for later in rest)), part.line)
    first = part.line
    if header is None:
        found = tables.header(path, lines)
        header, first = found.columns, found.lines + 1
    yield from _exact(path, of_table(path, header, lines, first), zone)


def _jsonl(path: Path, zone: tzinfo | None) -> Iterator[pa.RecordBatch]:
    for group in groups(path, streams.blocks(path, LINES_BYTES)):
        again = numbered(path, [group.data], group.first)
        yield from _objects(path, group.numbers, group.values, objects.line_objects(path, again), zone)


def _json(path: Path, zone: tzinfo | None) -> Iterator[pa.RecordBatch]:
    for found in objects.array_objects(path, streams.blocks(path)):
        numbers, values = [number for number, _ in found], [value for _, value in found]
        yield from _objects(path, numbers, values, iter(found), zone)


def _objects(
    path: Path,
    numbers: Sequence[int],
    values: Sequence[Mapping[str, Any]],
    exactly: Iterator[tuple[int, dict[str, Any]]],
    zone: tzinfo | None,
) -> Iterator[pa.RecordBatch]:
    if not values:
        return
    made = columns_of(values)
    if made is None:
        yield from _exact(path, of_objects(path, exactly), zone)
    else:
        names, batch = made
        yield canonical(batch, names, lambda row: placed(path, numbers[row]), zone)


def _parquet(path: Path, zone: tzinfo | None) -> Iterator[pa.RecordBatch]:
    before = 0

    def place(row: int) -> str:
        return placed(path, before + row + 1)

    for names, batch in parquet.tables(path):
        yield canonical(batch, names, place, zone)
        before += len(batch)


def _exact(path: Path, records: Iterator[Record], zone: tzinfo | None) -> Iterator[pa.RecordBatch]:
    while found := list(islice(records, EXACT_ROWS)):
        yield batch_of(path, found, zone)


_READERS: Final = {".csv": _csv, ".jsonl": _jsonl, ".ndjson": _jsonl, ".json": _json, ".parquet": _parquet}
