"""Parquet in and out: a file → batches of the columns that mean something; batches → a file, always the same bytes."""

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from twin.errors import DataError
from twin.export import streams
from twin.export.canonical import ROWS
from twin.export.columns import match
from twin.files import write_with

MAGIC: Final = b"PAR1"
BATCH_ROWS: Final = 8192  # read at once
GROUP_ROWS: Final = 16_384  # a row group written: some 8 MB of turns; larger ones save 1 % of the file
BUFFER_BYTES: Final = 1 << 20  # of a column that is read on without being in memory as a whole
REPEATING: Final = ("conversation_id", "role", "author", "phase", "domain")  # a dictionary makes these small
UUID_COLUMNS: Final = ("id", "conversation_id")
DASHES: Final = (8, 13, 18, 23)


def columns(path: Path) -> tuple[str, ...]:
    """Return the column names of a Parquet file.

    Raises:
        DataError: the file is missing, cut or damaged.
    """
    with _opened(path) as file:
        return tuple(file.schema_arrow.names)


def tables(path: Path) -> Iterator[tuple[Mapping[str, str], pa.RecordBatch]]:
    """Yield (what a column means → its name in the file, batch of these columns, named by meaning).

    Raises:
        DataError: the file is missing, cut or damaged, or lacks a column.
    """
    with _opened(path) as file:
        names = list(file.schema_arrow.names)
        header = match(names, str(path))
        wanted = [names[place] for place in header.places.values()]
        count = 0
        for batch in file.iter_batches(BATCH_ROWS, columns=wanted, use_threads=False):
            found = {
                meaning: _plain(meaning, batch.column(batch.schema.names.index(name)))
                for meaning, name in zip(header.places, wanted, strict=True)
            }
            _check_texts(path, found, header.names, count)
            count += len(batch)
            yield header.names, pa.RecordBatch.from_pydict(found)
        if count != file.metadata.num_rows:
            raise DataError(_damaged(path, f"{count} rows where its end says {file.metadata.num_rows}"))


def write_batches(
    path: Path, batches: Iterable[pa.RecordBatch], schema: pa.Schema = ROWS, group_rows: int = GROUP_ROWS
) -> int:
    """Write batches of one schema to a Parquet file, whole or not at all; return the number of rows.

    The bytes follow from the rows alone, however they come in: zstd, `group_rows` rows a group.

    Raises:
        StorageError: the disk refused; an older file at `path` is untouched.
    """
    count = 0

    def write(part: Path) -> None:
        nonlocal count
        options = {"use_dictionary": [name for name in schema.names if name in REPEATING], "compression": "zstd"}
        with (
            pq.ParquetWriter(part, schema, store_schema=False, write_page_checksum=True, **options) as writer,
            ThreadPoolExecutor(1) as beside,  # one group is packed while the next is read
        ):
            packing: Future[None] | None = None
            for group in regrouped(batches, schema, group_rows):
                count += len(group)
                if packing:
                    packing.result()
                packing = beside.submit(writer.write_batch, group)
            if packing:
                packing.result()

    write_with(path, write)
    return count


def regrouped(batches: Iterable[pa.RecordBatch], schema: pa.Schema, rows: int) -> Iterator[pa.RecordBatch]:
    """Yield the rows of `batches` in batches of `rows` each, the last of fewer, each in one piece of memory."""
    held: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        at = 0
        while at < len(batch):
            taken = batch.slice(at, rows - count)
            held.append(taken)
            at, count = at + len(taken), count + len(taken)
            if count == rows:
                yield _joined(held, schema)
                held, count = [], 0
    if held:
        yield _joined(held, schema)


def _joined(held: list[pa.RecordBatch], schema: pa.Schema) -> pa.RecordBatch:
    arrays = [pa.concat_arrays([batch.column(name) for batch in held]) for name in schema.names]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


@contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    held = streams.magic(path, len(MAGIC))
    if held != MAGIC:
        raise DataError(f"{path} is named .parquet but is not Parquet data. Rename it to what it is, or export again.")
    try:
        with pq.ParquetFile(path, buffer_size=BUFFER_BYTES, pre_buffer=False, page_checksum_verification=True) as file:
            yield file
    except DataError:
        raise
    except (pa.ArrowException, OSError, MemoryError, ValueError, OverflowError) as error:
        raise DataError(_damaged(path, str(error).partition("\n")[0][:120])) from None


def _damaged(path: Path, reason: str) -> str:
    return f"{path}: the Parquet data is cut or damaged ({reason}). Copy or export it again."


def _plain(meaning: str, column: pa.Array) -> pa.Array:
    """Return a column in a type that text or numbers have in the other formats."""
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_large_string(column.type) or pa.types.is_string_view(column.type):
        column = column.cast(pa.string())
    if meaning in UUID_COLUMNS and column.type == pa.binary(16):
        return uuid_texts(column)
    # Older writers do not say that their bytes are text.
    if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type) or pa.types.is_binary_view(column.type):
        return column.cast(pa.binary()).view(pa.string())
    return column


def uuid_texts(column: pa.Array) -> pa.Array:
    """Return 16-byte UUIDs as their text of 36 letters."""
    if len(column) == 0:
        return pa.array([], pa.string())
    filled = column.fill_null(bytes(16)) if column.null_count else column
    data = np.frombuffer(filled.buffers()[1], np.uint8)[filled.offset * 16 :][: len(filled) * 16].reshape(-1, 16)
    digits = np.frombuffer(b"0123456789abcdef", np.uint8)
    pairs = np.stack([digits[data >> 4], digits[data & 15]], axis=2).reshape(-1, 32)
    texts = np.insert(pairs, [place - index for index, place in enumerate(DASHES)], ord("-"), axis=1)
    offsets = np.arange(0, 36 * len(filled) + 1, 36, dtype=np.int32)
    made = pa.StringArray.from_buffers(len(filled), pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(texts)))
    return pa.compute.if_else(column.is_valid(), made, pa.scalar(None, pa.string())) if column.null_count else made


def _check_texts(path: Path, found: Mapping[str, Any], names: Mapping[str, str], before: int) -> None:
    for meaning, column in found.items():
        if not pa.types.is_string(column.type):
            continue
        try:
            column.validate(full=True)
        except pa.ArrowInvalid:
            row = next(row for row in range(len(column)) if not _is_text(column[row : row + 1]))
            raise DataError(
                f"{path}: row {before + row + 1}: {names[meaning]} is not UTF-8. Export it as text."
            ) from None


def _is_text(one: pa.Array) -> bool:
    try:
        one.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True
