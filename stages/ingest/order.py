"""Rows in the order in which they were said, conversation by conversation, however many: batches → tables.

Of every row only its keys are held, some 40 bytes; the rows wait in temporary files without a name, which no crash
leaves behind, unless they are few.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
import pyarrow as pa

from twin.files import storing

PIECE_BYTES: Final = 1 << 20
"""Rows that are made Python's at a time; a longer conversation is one piece all the same."""
PIECES: Final = 24
"""Pieces that are in memory at a time, as Arrow's."""
ROW_BYTES: Final = 150  # of a row beside its content
TEMPORARY: Final = Path(tempfile.gettempdir())


class Spill:
    """Batches that were put down, in memory while they are few, else in a file without a name.

    First all are put down, then they are read, as often as needed; `close` lets the file go.
    """

    def __init__(self, memory_bytes: int | None = None) -> None:
        self._memory_bytes = memory_bytes or PIECES * PIECE_BYTES
        self._batches: list[pa.RecordBatch] = []
        self._bytes = 0
        self._file: BinaryIO | None = None
        self._writer: pa.RecordBatchStreamWriter | None = None

    def add(self, batch: pa.RecordBatch) -> None:
        """Put a batch down."""
        self._batches.append(batch)
        self._bytes += batch.nbytes
        if self._bytes > self._memory_bytes:
            self._flush()

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """Yield the batches in the order in which they were put down."""
        if self._writer is not None:
            self._flush()
            self._writer.close()
            self._writer = None
        if self._file is not None:
            self._file.seek(0)
            with pa.ipc.open_stream(self._file) as batches:
                yield from batches
        yield from self._batches

    def close(self) -> None:
        """Let the batches go."""
        self._batches.clear()
        if self._file is not None:
            self._file.close()

    def _flush(self) -> None:
        with storing(TEMPORARY):
            if self._file is None:
                self._file = tempfile.TemporaryFile()  # noqa: SIM115
                self._writer = pa.ipc.new_stream(self._file, self._batches[0].schema)
            assert self._writer is not None, "nothing is put down after the first reading"
            for batch in self._batches:
                self._writer.write_batch(batch)
        self._batches, self._bytes = [], 0


class Keys:
    """What decides the order of rows."""

    def __init__(self) -> None:
        self._columns: list[list[np.ndarray]] = [[] for _ in range(5)]
        self._codes: dict[str, int] = {}

    def add(self, batch: pa.RecordBatch) -> None:
        """Note the keys of the rows of a batch."""
        codes, known = self._codes, batch.column("conversation_id").to_pylist()
        conversation = [-1 if one is None else codes.setdefault(one, len(codes)) for one in known]
        # Python's own hash: 64 bits, another in every process, and no output depends on it.
        ids = [hash(one) for one in batch.column("id").to_pylist()]
        created = batch.column("created_at").cast(pa.int64()).to_numpy()
        depth = batch.column("depth").to_numpy().astype(np.int64) << 32
        within = depth + batch.column("sibling").to_numpy()
        sizes = pa.compute.binary_length(batch.column("content")).to_numpy() + ROW_BYTES
        made = (np.array(conversation, np.int32), np.array(ids, np.int64), created, within, sizes.astype(np.int32))
        for column, values in zip(self._columns, made, strict=True):
            column.append(values)

    def arrays(self) -> tuple[np.ndarray, ...]:
        """Return conversation codes, hashes of ids, times in µs, places within an instant and sizes in bytes."""
        kinds = (np.int32, np.int64, np.int64, np.int64, np.int32)
        return tuple(
            np.concatenate(column) if column else np.array([], kind)
            for column, kind in zip(self._columns, kinds, strict=True)
        )

    def names(self) -> list[str]:
        """Return the ids of conversations by code."""
        return list(self._codes)


def suspects(id_hashes: np.ndarray) -> set[int]:
    """Return the numbers of the rows whose id may stand twice."""
    order = np.argsort(id_hashes, kind="stable")
    same = np.flatnonzero(np.diff(id_hashes[order]) == 0)
    return set(order[same].tolist()) | set(order[same + 1].tolist())


def final_order(keys: Keys, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of the kept rows in their order, and the piece of each, 0, 1, ….

    The earliest conversation comes first, ties by id. Rows of one instant are ordered by trajectory_depth, then
    trajectory_sibling_order, then as the export has them: an order by id would shuffle question and answer.
    `kept` has one truth value a row. A conversation is in one piece.
    """
    conversation, _, created, within, sizes = keys.arrays()
    rows = np.flatnonzero(kept)
    starts = np.full(len(keys.names()), np.iinfo(np.int64).max)
    np.minimum.at(starts, conversation[rows], created[rows])
    ranks = _ranks(starts, keys.names())[conversation[rows]]
    order = np.lexsort((rows, within[rows], created[rows], ranks))
    rows, ranks = rows[order], ranks[order]
    return rows, _pieces(ranks, sizes[rows])


def _ranks(starts: np.ndarray, names: Sequence[str]) -> np.ndarray:
    order = sorted(range(len(names)), key=lambda code: (starts[code], names[code]))
    ranks = np.empty(len(names), np.int64)
    ranks[order] = np.arange(len(names))
    return ranks


def _pieces(ranks: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    first = np.concatenate(([True], np.diff(ranks) != 0)) if len(ranks) else np.array([], bool)
    before = np.cumsum(sizes, dtype=np.int64) - sizes
    conversation = np.cumsum(first) - 1
    raw = (before // PIECE_BYTES)[first][conversation] if len(ranks) else np.array([], np.int64)
    return np.unique(raw, return_inverse=True)[1] if len(ranks) else raw


def in_order(
    spill: Spill, rows: np.ndarray, pieces: np.ndarray, prepare: Callable[[pa.Table], pa.Table]
) -> Iterator[pa.Table]:
    """Yield the rows with these numbers in this order, a piece at a time.

    `rows` are numbers of the spilled rows, counted through all batches; `pieces` never falls. `prepare` may add columns
    to many pieces at once.
    """
    if not len(rows):
        return
    buckets = pieces // PIECES
    parts = _distribute(spill, rows, buckets)
    with ExitStack() as stack:
        for part in parts:
            stack.callback(part.close)
        for bucket, part in enumerate(parts):
            mine = np.flatnonzero(buckets == bucket)
            # A part holds its rows in the order of their numbers.
            places = np.argsort(np.argsort(rows[mine]))
            table = prepare(pa.Table.from_batches(list(part)).combine_chunks())
            part.close()
            for piece in np.split(places, np.flatnonzero(np.diff(pieces[mine])) + 1):
                yield table.take(pa.array(piece))


def _distribute(spill: Spill, rows: np.ndarray, buckets: np.ndarray) -> list[Spill]:
    count = int(buckets[-1]) + 1
    by_number = np.argsort(rows)
    numbers, places = rows[by_number], buckets[by_number]
    parts = [Spill(PIECES * PIECE_BYTES // count) for _ in range(count)]
    start = 0
    for batch in spill:
        first, last = np.searchsorted(numbers, (start, start + len(batch)))
        inside, where = numbers[first:last] - start, places[first:last]
        for bucket in np.unique(where):
            parts[bucket].add(batch.take(pa.array(inside[where == bucket])))
        start += len(batch)
    return parts
