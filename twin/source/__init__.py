"""Where turns come from other than export files: dumps, a live Postgres, Supabase's REST, account exports.

Each module yields batches in the form of `twin.export.canonical.ROWS`; `twin bring` writes them into one snapshot.
Credentials come from the environment alone and are in no message, file or fingerprint.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Protocol

import pyarrow as pa


@dataclass(frozen=True)
class Fingerprint:
    """What tells one live source from another; nothing of it opens a door."""

    kind: str
    """postgres or rest."""
    place: str
    """sha256 of host, port and database (postgres) or of the project's URL (rest), first 16 hex digits."""
    table: str
    """schema.table"""
    columns: tuple[str, ...]
    """Every column of the table, as the source names them."""


class LiveSource(Protocol):
    """A table that grows while it is read; opened by a context manager of its module."""

    fingerprint: Fingerprint
    note: str
    """What the person should know of what the source does not show; mostly nothing."""

    def count(self, until: datetime | None) -> int:
        """Return the number of rows with created_at ≤ `until`, or of all rows, those without created_at too."""

    def batches(self, after: datetime | None, until: datetime) -> Iterator[pa.RecordBatch]:
        """Yield every row with `after` < created_at ≤ `until` once, in the form of ROWS.

        Raises:
            DataError: the source could not be read to its end, or a cell is not usable.
        """


def reader(
    kind: str, table: str, zone: tzinfo | None, left_out: Counter[str]
) -> Callable[[Path], Iterator[pa.RecordBatch]]:
    """Return what reads a file of this kind: dump, chatgpt or claude; it counts what is no row into `left_out`."""
    from twin.source.chatgpt import batches as chatgpt
    from twin.source.claude import batches as claude
    from twin.source.restore import batches as dump

    readers: dict[str, Callable[[Path], Iterator[pa.RecordBatch]]] = {
        "dump": lambda path: dump(path, table, zone),
        "chatgpt": lambda path: chatgpt(path, zone, left_out),
        "claude": lambda path: claude(path, zone, left_out),
    }
    return readers[kind]
