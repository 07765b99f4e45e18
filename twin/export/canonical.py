"""Columns of cells → rows in the one form that everything after reads: a whole batch at a time.

What Arrow cannot settle for a column as a whole is read cell by cell by `cells`, which also words every fault.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

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
# Bytes of UTF-8 at which a character of WHITE_SPACE may begin and end.
_MAY_BEGIN_SPACE: Final = np.isin(np.arange(256), [mark.encode()[0] for mark in cells.WHITE_SPACE])
_MAY_END_SPACE: Final = np.isin(np.arange(256), [mark.encode()[-1] for mark in cells.WHITE_SPACE])
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
        nanoseconds = pa.types.is_timestamp(column.type) and column.type.unit == "ns"
        made = column.cast(INSTANT, safe=not nanoseconds)  # what is less than a microsecond is cut off
    else:
        return None
    bounds = pc.min_max(made.cast(pa.int64())).as_py()
    inside = len(made) == 0 or (made.null_count == 0 and bounds["min"] >= YEAR_MIN_US and bounds["max"] < YEAR_MAX_US)
    return made if inside else None


def _numbers(column: pa.Array, kind: pa.DataType) -> pa.Array | None:
    if pa.types.is_string(column.type):
        # Arrow reads 0x1F as 31.
        if pc.any(pc.match_substring(column, "x", ignore_case=True)).as_py():
            return None
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
    if not pa.types.is_string(column.type) or _holds(column, 0):
        return None
    if meaning == "content":
        return _content(pc.fill_null(column, ""))
    trimmed = _trim(column)
    named = pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, pa.string()), trimmed)
    if meaning == "role":
        lowered = pc.utf8_lower(pc.fill_null(named, cells.NO_ROLE))
        return lowered if pc.all(pc.string_is_ascii(lowered), min_count=0).as_py() else None
    return None if required and named.null_count else named


def _content(column: pa.Array) -> pa.Array:
    if _holds(column, ord("\r")):
        column = pc.replace_substring(pc.replace_substring(column, "\r\n", "\n"), "\r", "\n")
    return _trim(column)


def _trim(column: pa.Array) -> pa.Array:
    """Return texts without WHITE_SPACE around them; Arrow's own trim decodes every text, and few need it."""
    letters, ends = _letters(column)
    if not len(letters):
        return column
    bounds = np.minimum(ends, len(letters) - 1)
    first, last = letters[bounds[:-1]], letters[np.maximum(ends[1:], 1) - 1]
    doubtful = (ends[1:] > ends[:-1]) & (_MAY_BEGIN_SPACE[first] | _MAY_END_SPACE[last])
    if not doubtful.any():
        return column
    mask = pa.array(doubtful)
    trimmed = pc.utf8_trim(column.filter(mask), characters=cells.WHITE_SPACE)
    return pc.replace_with_mask(column, mask, trimmed)


def _holds(column: pa.Array, letter: int) -> bool:
    """Say whether any text holds an ASCII letter; Arrow's own search takes ten times as long."""
    return bool((_letters(column)[0] == letter).any())


def _letters(column: pa.Array) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Return (UTF-8 of all texts of a column, where each begins in it and the last one ends)."""
    _, offsets, data = column.buffers()
    if len(column) == 0 or data is None:
        return np.zeros(0, np.uint8), np.zeros(len(column) + 1, np.int32)
    ends = np.frombuffer(offsets, np.int32)[column.offset : column.offset + len(column) + 1]
    return np.frombuffer(data, np.uint8)[ends[0] : ends[-1]], ends - ends[0]


def _cell_by_cell(
    field: pa.Field, column: pa.Array, names: Mapping[str, str], place: Callable[[int], str], zone: tzinfo | None
) -> pa.Array:
    values: list[Any] = []
    for row, value in enumerate(python_values(column)):
        try:
            values.append(
                cells.instant(value, zone) if field.name == "created_at" else cells.READERS[field.name](value)
            )
        except cells.CellError as fault:
            raise DataError(f"{place(row)}: {names.get(field.name, field.name)} {fault}") from None
    if field.name == "created_at":
        return instants(values)
    return pa.array(values, field.type)


def python_values(column: pa.Array) -> list[Any]:
    """Return a column as Python's values; times as text in ISO 8601."""
    if not pa.types.is_timestamp(column.type):
        return list(column.to_pylist())
    # Text, as pyarrow makes datetimes of years 1 to 9999 only, and through pandas: 'infinity' is outside of them.
    zone = "Z" if column.type.tz else ""
    texts = pc.strftime(column.cast(pa.timestamp(column.type.unit)), format="%Y-%m-%dT%H:%M:%S").to_pylist()
    return [None if value is None else value + zone for value in texts]


def instants(moments: Iterable[datetime]) -> pa.Array:
    """Return times in UTC as the column created_at; not through pyarrow's own conversion, which loses early years."""
    return pa.array([_microseconds(moment) for moment in moments], pa.int64()).cast(INSTANT)


def _microseconds(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)
