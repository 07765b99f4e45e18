"""The same turns, whichever road they came: files of each format, dumps of each form, a live table, REST.

A part of the demo's rows lies in a real PostgreSQL; psql and pg_dump write the files, `twin bring` takes them in, and
the stage makes turns.parquet of them: the same bytes each time.
"""

import csv
import gzip
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from stages import ingest as stage
from tests.exports import CONFIG, params
from tests.postgrest_double import ROLES_SQL, serving
from tests.postgrest_keys import SECRET_KEY
from tests.structure import ROOT
from twin.bring import bring
from twin.bring.live import bring_live
from twin.bring.store import Wish
from twin.export.batches import batches
from twin.export.parquet import write_batches

if TYPE_CHECKING:
    from tests.postgres import Server

CONVERSATIONS = 40
DATABASE = "roads"
TYPES = {
    "id": "uuid", "conversation_id": "uuid", "created_at": "timestamptz", "salience_score": "float8",
    "trajectory_depth": "int", "trajectory_sibling_order": "int", "trajectory_homogeneity": "float8",
    "trajectory_temporal": "float8", "trajectory_complexity": "int",
}  # fmt: skip
SELECT = "select * from memory_turns order by created_at, id"


@pytest.fixture(scope="module")
def table(postgres: "Server", tmp_path_factory: pytest.TempPathFactory) -> Iterator["Server"]:
    """A server with a part of the demo's export as the table memory_turns; ids are unique there."""
    path = tmp_path_factory.mktemp("demo") / "part.csv"
    with gzip.open(ROOT / "data/raw/demo/memory_turns.csv.gz", "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    wanted = set(sorted({row["conversation_id"] for row in rows})[:CONVERSATIONS])
    unique = list({row["id"]: row for row in rows if row["conversation_id"] in wanted}.values())
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(unique)
    columns = ", ".join(f"{name} {TYPES.get(name, 'text')}" for name in rows[0])
    postgres.run(f"create database {DATABASE}")
    postgres.run(f"create table memory_turns ({columns}, primary key (id));", db=DATABASE)
    postgres.run(f"\\copy memory_turns from '{path}' with (format csv, header)\n", db=DATABASE)
    yield postgres
    postgres.run(f"drop database {DATABASE} with (force)")


def copied(server: "Server", path: Path) -> Path:
    server.run(f"\\copy ({SELECT}) to '{path}' with (format csv, header, force_quote (content_text))\n", db=DATABASE)
    return path


def as_json(server: "Server") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(server.run(f"select json_agg(t) from ({SELECT}) t", db=DATABASE))
    return found


def dumped(server: "Server", path: Path, *options: str) -> Path:
    command = [server.bin / "pg_dump", "-d", server.url(db=DATABASE), "-f", path, *options]
    subprocess.run(command, check=True, capture_output=True)
    return path


def lines(server: "Server") -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in as_json(server))


def zst(path: Path, data: bytes) -> Path:
    with pa.output_stream(str(path), compression="zstd") as file:
        file.write(data)
    return path


def gz(path: Path, data: bytes) -> Path:
    path.write_bytes(gzip.compress(data))
    return path


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def parquet(server: "Server", folder: Path) -> Path:
    write_batches(folder / "t.parquet", batches(copied(server, folder / "t.csv")))
    return folder / "t.parquet"


FILES: dict[str, Callable[["Server", Path], Path]] = {
    "psql csv": lambda server, folder: copied(server, folder / "t.csv"),
    "csv.gz": lambda server, folder: gz(folder / "t.csv.gz", copied(server, folder / "t.csv").read_bytes()),
    "csv.zst": lambda server, folder: zst(folder / "t.csv.zst", copied(server, folder / "t.csv").read_bytes()),
    "json array": lambda server, folder: written(folder / "t.json", json.dumps(as_json(server), indent=1).encode()),
    "jsonl": lambda server, folder: written(folder / "t.jsonl", lines(server)),
    "jsonl.zst": lambda server, folder: zst(folder / "t.jsonl.zst", lines(server)),
    "parquet": parquet,
    "pg_dump": lambda server, folder: dumped(server, folder / "t.sql"),
    "dump --use-copy": lambda server, folder: dumped(
        server, folder / "t.sql", "--data-only", "--quote-all-identifiers"
    ),
    "supabase db dump": lambda server, folder: dumped(
        server, folder / "t.sql", "--data-only", "--quote-all-identifiers", "--column-inserts",
        "--rows-per-insert=100000",
    ),
    "custom archive": lambda server, folder: dumped(server, folder / "t.dump", "-Fc"),
}  # fmt: skip


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "project").mkdir()
    (tmp_path / "files").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


def turns(project: Path) -> bytes:
    """Run the stage on data/raw/mine and return what it writes."""
    (project / "params.yaml").write_text(params(CONFIG))
    stage.main()
    return (project / stage.TURNS).read_bytes()


@pytest.fixture(scope="module")
def expected(table: "Server", tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("expected")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        bring([copied(table, folder / "t.csv")], Wish(folder, "mine"))
        made = turns(folder)
    assert len(made) > 10_000
    return made


@pytest.mark.parametrize("road", FILES)
def test_files_and_dumps_give_the_same_turns(road: str, table: "Server", project: Path, expected: bytes) -> None:
    path = FILES[road](table, project.parent / "files")
    bring([path], Wish(project, "mine"))
    assert turns(project) == expected


@pytest.mark.parametrize("way", ["adbc", "psycopg"])
def test_a_live_table_gives_the_same_turns(
    way: str, table: "Server", project: Path, expected: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way == "psycopg":
        monkeypatch.setitem(sys.modules, "adbc_driver_postgresql", None)
    bring_live("postgres", Wish(project, "mine"), {"DATABASE_URL": table.url(db=DATABASE)})
    assert turns(project) == expected


def test_rest_gives_the_same_turns(table: "Server", project: Path, expected: bytes) -> None:
    table.run(f"{ROLES_SQL} grant select on memory_turns to service_role;", db=DATABASE)
    with serving(table.url(db=DATABASE)) as double:
        bring_live("rest", Wish(project, "mine"), {"SUPABASE_URL": double.url, "SUPABASE_KEY": SECRET_KEY})
    assert turns(project) == expected
