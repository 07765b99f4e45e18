"""Columns of cells → rows in the one form that everything after reads: a whole batch at a time.

What Arrow cannot settle for a column as a whole is read cell by cell by `cells`, which also words every fault.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from twin.errors import DataError
from twin.export import cells

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
INSTANT: Final = pa.timestamp("us", "UTC")
ROWS: Final = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("conversation_id", pa.string()),
        pa.field("role", pa.string(), nullable=False),
        pa.field("author", pa.string()),
        pa.field("content", pa.string(), nullable=False),
        pa.field("created_at", INSTANT, nullable=False),
        pa.field("phase", pa.string()),
        pa.field("salience", pa.float64()),
        pa.field("domain", pa.string()),
        pa.field("depth", pa.int32(), nullable=False),
        pa.field("sibling", pa.int32(), nullable=False),
        pa.field("content_hash", pa.string()),
    ]
)
"""One row a turn: ids and names trimmed, role in lower case, content with LF line ends and trimmed, time in UTC."""
YEAR_MAX_US: Final = 253_402_300_800_000_000  # the first microsecond of the year 10000; Arrow keeps 'infinity' above it
YEAR_MIN_US: Final = -62_135_596_800_000_000  # the year 1


def canonical(
    batch: pa.RecordBatch, names: Mapping[str, str], place: Callable[[int], str], zone: tzinfo | None = None
) -> pa.RecordBatch:
    """Return `batch` in the form of ROWS.

    Its columns are named by meaning (`columns.ALIASES`) and have any type: text as CSV and COPY have it, or the types
    of Parquet, JSON or a database. Columns that mean nothing here are left out; optional ones may be missing.
    `names` has the source's own name of a column, `place(row)` says where a row of the batch stands, `zone` is that of
    times that name none.

    Raises:
        DataError: a cell is not usable; the message has its place, column and value.
    """
    made = []
    for field in ROWS:
        column = batch.column(field.name) if field.name in batch.schema.names else pa.nulls(len(batch))
        settled = _settled(field.name, column)
        made.append(settled if settled is not None else _cell_by_cell(field, column, names, place, zone))
    return pa.RecordBatch.from_arrays(made, schema=ROWS)


def _settled(meaning: str, column: pa.Array) -> pa.Array | None:
    """Return the column if Arrow reads all of it as `cells` would; None when in doubt."""
    try:
        if meaning == "created_at":
            return _instants(column)
        if meaning in ("salience", "depth", "sibling"):
            return _numbers(column, ROWS.field(meaning).type)
        return _texts(meaning, column)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None


def _instants(column: pa.Array) -> pa.Array | None:
    if (
        pa.types.is_string(column.type)
        or pa.types.is_large_string(column.type)
        or (pa.types.is_timestamp(column.type) and column.type.tz)
    ):
        made = column.cast(INSTANT)
    else:
        return None
    bounds = pc.min_max(made.cast(pa.int64())).as_py()
    inside = len(made) == 0 or (made.null_count == 0 and bounds["min"] >= YEAR_MIN_US and bounds["max"] < YEAR_MAX_US)
    return made if inside else None


def _numbers(column: pa.Array, kind: pa.DataType) -> pa.Array | None:
    if pa.types.is_string(column.type):
        column = pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column)
    elif not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_null(column.type)):
        return None
    made = column.cast(kind)
    if pa.types.is_floating(kind):
        return made if pc.all(pc.is_finite(made), min_count=0).as_py() is not False else None
    return pc.fill_null(made, 0)


def _texts(meaning: str, column: pa.Array) -> pa.Array | None:
    required = not ROWS.field(meaning).nullable
    if pa.types.is_null(column.type):
        column = pa.nulls(len(column), pa.string())
    elif pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    elif pa.types.is_integer(column.type) and meaning != "content":
        return column.cast(pa.string()) if meaning != "id" or not column.null_count else None
    if pa.types.is_large_string(column.type) or pa.types.is_string_view(column.type):
        column = column.cast(pa.string())
    if not pa.types.is_string(column.type) or pc.any(pc.match_substring(column, "\0")).as_py():
        return None
    if meaning == "content":
        return _content(pc.fill_null(column, ""))
    trimmed = pc.utf8_trim(column, characters=cells.WHITE_SPACE)
    named = pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, pa.string()), trimmed)
    if meaning == "role":
        lowered = pc.utf8_lower(pc.fill_null(named, cells.NO_ROLE))
        return lowered if pc.all(pc.string_is_ascii(lowered), min_count=0).as_py() else None
    return None if required and named.null_count else named


def _content(column: pa.Array) -> pa.Array:
    if pc.any(pc.match_substring(column, "\r")).as_py():
        column = pc.replace_substring(pc.replace_substring(column, "\r\n", "\n"), "\r", "\n")
    return pc.utf8_trim(column, characters=cells.WHITE_SPACE)


def _cell_by_cell(
    field: pa.Field, column: pa.Array, names: Mapping[str, str], place: Callable[[int], str], zone: tzinfo | None
) -> pa.Array:
    values: list[Any] = []
    for row, value in enumerate(_python(column)):
        try:
            values.append(
                cells.instant(value, zone) if field.name == "created_at" else cells.READERS[field.name](value)
            )
        except cells.CellError as fault:
            raise DataError(f"{place(row)}: {names.get(field.name, field.name)} {fault}") from None
    if field.name == "created_at":
        return pa.array([_microseconds(value) for value in values], pa.int64()).cast(INSTANT)
    return pa.array(values, field.type)


def _python(column: pa.Array) -> list[Any]:
    if not pa.types.is_timestamp(column.type):
        return list(column.to_pylist())
    # Text, as pyarrow makes datetimes of years 1 to 9999 only, and through pandas: 'infinity' is outside of them.
    zone = "Z" if column.type.tz else ""
    texts = pc.strftime(column.cast(pa.timestamp("us")), format="%Y-%m-%dT%H:%M:%S").to_pylist()
    return [None if value is None else value + zone for value in texts]


def _microseconds(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)
