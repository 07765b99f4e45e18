"""How fast a live table becomes Parquet, and in how much memory: `twin.source.postgres` beside pandas.

python -m bench.ingest_postgres [--rows 100000 1000000]

A real server on loopback holds turns of some 460 bytes; each row of the table printed is a fresh process that reads
them in order and writes Parquet (zstd). Peak memory is that of the whole process; `start` is what it takes before the
source's own libraries are there.
"""

import argparse
import datetime
import importlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from bench.machine import describe
from tests.postgres import Server, binaries, running, tried
from twin.files import write_json

RESULTS = Path("bench/results/ingest_postgres.json")
CHUNK_ROWS = 50_000
COLUMNS = (
    "id::text", "conversation_id::text", "role", "phase", "salience_score", "trajectory_depth",
    "trajectory_sibling_order", "created_at", "content_text",
)  # fmt: skip
FILL = """
create table memory_turns as select
    gen_random_uuid() as id, md5((n / 40)::text)::uuid as conversation_id,
    case n % 2 when 0 then 'user' else 'assistant' end as role,
    (array['exploration', 'debugging', 'planning', 'consolidation', 'synthesis'])[1 + n % 5] as phase,
    random() as salience_score, (n % 40)::int as trajectory_depth, 0 as trajectory_sibling_order,
    timestamptz '2024-01-01Z' + (n::bigint * 7919 % {rows}) * interval '61.000117 s' as created_at,
    null::text as content_hash, array[random(), random(), random(), random()] as embedding,
    (select string_agg(substr(m, 1, 5) || ' ' || substr(m, 6, 3) || ' then the ' || substr(m, 9, 7), ', ')
        from generate_series(1, 17) w, md5((n + w)::text) m)
        as content_text
from generate_series(1, {rows}) n;
alter table memory_turns add primary key (id);
vacuum analyze memory_turns;
"""


def ours(without: str) -> Iterator[Any]:
    from twin.source import postgres

    if without:
        sys.modules[without] = None  # type: ignore[assignment]
    now = datetime.datetime.now(datetime.UTC)
    with postgres.open("memory_turns", os.environ) as live:
        live.count(now)
        yield from live.batches(None, now)


def read_sql() -> Iterator[Any]:
    """Chunks as pandas.read_sql gives them over SQLAlchemy, streamed; without SQLAlchemy over psycopg's own cursor."""
    import pandas as pd
    import pyarrow as pa

    query = f"SELECT {', '.join(COLUMNS)} FROM memory_turns ORDER BY created_at, memory_turns.id"
    try:
        sqlalchemy = importlib.import_module("sqlalchemy")
    except ImportError:
        yield from psycopg_chunks(query)
        return
    engine = sqlalchemy.create_engine(os.environ["DATABASE_URL"].replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect().execution_options(stream_results=True) as connection:
        for frame in pd.read_sql(sqlalchemy.text(query), connection, chunksize=CHUNK_ROWS):
            yield from pa.Table.from_pandas(frame).to_batches()


def psycopg_chunks(query: str) -> Iterator[Any]:
    import pandas as pd
    import psycopg
    import pyarrow as pa

    with psycopg.connect(os.environ["DATABASE_URL"]) as connection, closing(connection.cursor("chunks")) as cursor:
        cursor.execute(query)
        while rows := cursor.fetchmany(CHUNK_ROWS):
            frame = pd.DataFrame(rows, columns=[column.name for column in cursor.description or ()])
            yield from pa.Table.from_pandas(frame).to_batches()


WAYS = {
    "twin, adbc": lambda: ours(""),
    "twin, psycopg": lambda: ours("adbc_driver_postgresql"),
    "pandas, chunks": read_sql,
}


def job(way: str, to: str) -> None:
    import pyarrow.parquet as pq

    base_bytes, start_s, rows, writer = peak_bytes(), time.perf_counter(), 0, None
    for batch in WAYS[way]():
        writer = writer or pq.ParquetWriter(to, batch.schema, compression="zstd")
        writer.write_batch(batch)
        rows += len(batch)
    if writer:
        writer.close()
    took_s = time.perf_counter() - start_s
    print(json.dumps({"rows": rows, "seconds": took_s, "base_bytes": base_bytes, "peak_bytes": peak_bytes()}))


def peak_bytes() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def measure(server: Server, way: str, folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.ingest_postgres", "--job", way, str(folder / "turns.parquet")]
    environ = os.environ | {"DATABASE_URL": server.url()}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--job", nargs=2)
    arguments = parser.parse_args()
    if arguments.job:
        job(*arguments.job)
        return
    if not binaries():
        sys.exit(tried())
    results = []
    print(f"{'way':16} {'rows':>9} {'rows/s':>9} {'peak MiB':>9} {'start MiB':>10}")
    with running(binaries()[0], "-c", "max_wal_size=4GB") as server, tempfile.TemporaryDirectory() as folder:
        for rows in arguments.rows:
            server.run(f"drop table if exists memory_turns; {FILL.format(rows=rows)}")
            for way in WAYS:
                found = measure(server, way, Path(folder))
                assert found["rows"] == rows, found
                mebibytes = [found[key] / 2**20 for key in ("peak_bytes", "base_bytes")]
                print(f"{way:16} {rows:9,} {rows / found['seconds']:9,.0f} {mebibytes[0]:9.0f} {mebibytes[1]:10.0f}")
                results.append({"way": way, **found})
    write_json(RESULTS, {"date": str(datetime.date.today()), "machine": describe(), "results": results})


if __name__ == "__main__":
    main()
