"""The turns that `ingest` wrote, conversation by conversation: turns.parquet → conversations."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import compress, count, pairwise
from operator import ne
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from twin.conversation import Turn
from twin.errors import DataError
from twin.files import restore

COLUMNS = ["id", "conversation_id", "role", "content", "created_at", "held"]
NEVER_NULL = COLUMNS[:-1]
BATCH_ROWS = 8192
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Conversation:
    """One conversation, its turns in order and not yet merged."""

    id: str
    turns: list[Turn]


def read_turns(path: Path) -> Iterator[Conversation]:
    """Yield the conversations of a turns file one after the other.

    Memory holds a batch, a conversation, and the ids of those before it.

    Raises:
        DataError: the file is missing, damaged or not what `ingest` writes.
    """
    seen: set[str] = set()
    last, turns = None, list[Turn]()
    for key, piece in _pieces(path):
        if key == last:
            turns += piece
            continue
        if last is not None:
            yield Conversation(last, turns)
        if key in seen:
            raise DataError(f"{path}: conversation {key} is not in one piece. {restore(path)}")
        seen.add(key)
        last, turns = key, piece
    if last is not None:
        yield Conversation(last, turns)


def count_turns(path: Path) -> int:
    """Return how many turns a file holds, from its footer.

    Raises:
        DataError: the file is missing or damaged.
    """
    with _opened(path) as file:
        return int(file.metadata.num_rows)


def _pieces(path: Path) -> Iterator[tuple[str, list[Turn]]]:
    """Yield runs of turns with one conversation id; a conversation that crosses a batch comes in several."""
    with _opened(path) as file:
        batches = file.iter_batches(BATCH_ROWS, columns=COLUMNS)
        while (batch := _next(batches, path)) is not None:
            keys = batch["conversation_id"].to_pylist()
            turns = _turns(batch, path)
            changes = compress(count(1), map(ne, keys, keys[1:]))
            for start, stop in pairwise([0, *changes, len(keys)]):
                yield keys[start], turns[start:stop]


def _opened(path: Path) -> pq.ParquetFile:
    if not path.exists():
        raise DataError(f"{path} is missing. {restore(path)}")
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from error
    missing = sorted(set(COLUMNS) - set(file.schema_arrow.names))
    if missing:
        file.close()
        raise DataError(f"{path} has no column {', '.join(missing)}. {restore(path)}")
    return file


def _next(batches: Iterator[pa.RecordBatch], path: Path) -> pa.RecordBatch | None:
    try:
        return next(batches, None)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(f"{path} is not a readable Parquet file ({error}). {restore(path)}")


def _turns(batch: pa.RecordBatch, path: Path) -> list[Turn]:
    columns = {name: batch[name].to_pylist() for name in ("id", "role", "content")}
    _require_turns(batch, columns, path)
    held = batch["held"].is_valid().to_pylist()
    return list(map(Turn, columns["id"], columns["role"], columns["content"], _moments(batch, path), held))


def _require_turns(batch: pa.RecordBatch, columns: dict[str, list[Any]], path: Path) -> None:
    for name in NEVER_NULL:
        if batch[name].null_count:
            raise DataError(f"{path} has a turn without {name}. {restore(path)}")
    for name, role in zip(columns["id"], columns["role"], strict=True):
        if role not in ("person", "partner"):
            raise DataError(f"{path}: turn {name} has the role {role!r}, not person or partner. {restore(path)}")


def _moments(batch: pa.RecordBatch, path: Path) -> Iterator[datetime]:
    try:
        # As whole microseconds: pyarrow would import pandas, a second, to make datetimes.
        moments = batch["created_at"].cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_pylist()
    except pa.ArrowException as error:
        raise _unreadable(path, error) from error
    return (EPOCH + timedelta(microseconds=moment) for moment in moments)
