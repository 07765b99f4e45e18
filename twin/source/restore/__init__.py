"""A dump of Postgres in any of its forms → rows of one table; nothing of it is ever run.

COPY blocks are read by `twin.source.dump`, INSERT statements by `inserts`, pg_dump's own archives (custom, directory,
tar) by `archive` through pg_restore, which turns them into one of the former without a server.
"""

from collections.abc import Iterator
from datetime import tzinfo
from pathlib import Path

import pyarrow as pa

from twin.source import dump
from twin.source.restore import archive, inserts


def batches(path: Path, table: str, zone: tzinfo | None = None) -> Iterator[pa.RecordBatch]:
    """Yield the rows of `table`, `memory_turns` or `public.memory_turns`, in the form of ROWS.

    `path` is a plain dump (also .gz or .zst) or an archive; `zone` is that of times that name none.

    Raises:
        ConfigError: an archive is given and no pg_restore of its version or newer is installed.
        DataError: the dump or a cell is not usable, or the table is not in it.
    """
    form = dump.form(path, table)
    if form in ("custom", "directory"):
        yield from archive.batches(path, table, zone)
        return
    read = inserts.batches if form == "insert" else dump.batches
    with dump.opened(path) as stream:
        yield from read(stream, str(path), table, zone)
