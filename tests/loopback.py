"""What a reader has elsewhere, on this machine: a live table behind PostgreSQL and REST, a Dask scheduler, a hub."""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import yaml

from tests import hub_double, postgrest_double
from tests.minilm import make_bert
from tests.postgres import binaries, running
from tests.postgrest_keys import SECRET_KEY
from tests.structure import ROOT

COLUMNS = ("id", "conversation_id", "role", "created_at", "content_text")
TABLE = """CREATE TABLE memory_turns (
    id text PRIMARY KEY, conversation_id text, role text, created_at timestamptz, content_text text);"""
LATER = "INSERT INTO memory_turns VALUES (gen_random_uuid()::text, 'later', 'user', now(), 'one more')"


@contextmanager
def table(export: Path) -> Iterator[dict[str, str]]:
    """Yield the variables that `twin bring` reads of a live table with an export's rows; none without a PostgreSQL."""
    found = binaries()
    if not found:
        yield {}
        return
    with running(found[0]) as server:
        server.run(postgrest_double.ROLES_SQL + TABLE)
        with psycopg.connect(server.url()) as connection, export.open(encoding="utf-8", newline="") as file:
            rows = {row["id"]: row for row in csv.DictReader(file)}  # an export may have a row twice
            with connection.cursor().copy(f"COPY memory_turns ({', '.join(COLUMNS)}) FROM STDIN") as copy:
                for row in rows.values():
                    copy.write_row([row[name] for name in COLUMNS])
        with postgrest_double.serving(server.url()) as double:
            yield {
                "DATABASE_URL": server.url(), "PSQL": str(server.bin / "psql"), "LATER": LATER,
                "SUPABASE_URL": double.url, "SUPABASE_KEY": SECRET_KEY,
            }  # fmt: skip


@contextmanager
def scheduler() -> Iterator[dict[str, str]]:
    """Yield the address of a Dask scheduler with a worker."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address="127.0.0.1:0"
    ) as cluster:
        yield {"SCHEDULER": str(cluster.scheduler_address)}


@contextmanager
def hub(folder: Path) -> Iterator[dict[str, str]]:
    """Yield the variables that lead to a hub with small stand-ins of the real bases and of MiniLM, at their commits."""
    stand_ins = {
        "model/qwen2.5-3b": ROOT / "models/demo",
        "model/qwen2.5-7b": ROOT / "models/demo",
        "augment/embedder/minilm": make_bert(folder / "minilm", max_position_embeddings=512),
    }
    chosen = {name: yaml.safe_load((ROOT / f"conf/{name}.yaml").read_text(encoding="utf-8")) for name in stand_ins}
    served = {one["id"]: (one["revision"], stand_ins[name]) for name, one in chosen.items()}
    with hub_double.serving(served) as double:
        yield double.environment(folder / "home")
