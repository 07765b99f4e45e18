"""What the rows of an export look like, for a person who decides what to do with it: batches → counts, no content."""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from twin.export.batches import batches as read
from twin.export.canonical import EPOCH
from twin.export.damage import damage
from twin.scrub import Scrubber
from twin.scrub.batch import suspects


class Survey:
    """Counts that grow as batches pass."""

    def __init__(self) -> None:
        self.rows = 0
        self.roles: Counter[str] = Counter()
        self.authors: Counter[str] = Counter()
        """Rows by author, as the export writes the name; nothing where no row has one."""
        self.scrubbed: Counter[str] = Counter()
        """What ingest will replace, by kind."""
        self.damaged: Counter[str] = Counter()
        """Texts that the dashboard cut, or that are other than their hash says."""
        self._conversations: set[str] = set()
        self._bounds: tuple[int, int] | None = None
        self._scrubber = Scrubber(self.scrubbed)

    def watched(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield the batches on, counting them."""
        for batch in batches:
            self._add(batch)
            yield batch

    def read(self, paths: Iterable[Path]) -> None:
        """Count the rows of files."""
        for path in paths:
            for batch in read(path):
                self._add(batch)

    def _add(self, batch: pa.RecordBatch) -> None:
        self.rows += len(batch)
        self.roles.update(_counts(batch.column("role")))
        self.authors.update(_counts(batch.column("author").drop_null()))
        self._conversations.update(pc.unique(batch.column("conversation_id").drop_null()).to_pylist())
        bounds = pc.min_max(batch.column("created_at").cast(pa.int64())).as_py()
        if len(batch):
            known = self._bounds or (bounds["min"], bounds["max"])
            self._bounds = min(known[0], bounds["min"]), max(known[1], bounds["max"])
        for text in batch.column("content").filter(suspects(batch.column("content"))).to_pylist():
            self._scrubber.scrub(text)
        for text, digest in zip(
            batch.column("content").to_pylist(), batch.column("content_hash").to_pylist(), strict=True
        ):
            fault = damage(text, digest)[1]
            if fault:
                self.damaged[fault] += 1

    @property
    def conversations(self) -> int:
        """The number of conversations."""
        return len(self._conversations)

    @property
    def first(self) -> datetime:
        """The time of the earliest row."""
        return EPOCH + timedelta(microseconds=self._bounds[0] if self._bounds else 0)

    @property
    def last(self) -> datetime:
        """The time of the latest row."""
        return EPOCH + timedelta(microseconds=self._bounds[1] if self._bounds else 0)


def _counts(column: pa.Array) -> dict[str, int]:
    return {one["values"]: one["counts"] for one in pc.value_counts(column).to_pylist()}
