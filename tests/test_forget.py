"""What is to be forgotten is found wherever it is left: rows, ids, lines and hashes downstream, or another descent."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from tests.exports import CONFIG, table
from twin.cli import forget as command
from twin.config.ingest import ForgetConfig, IngestConfig
from twin.export.manifest import ExportFile, Manifest, write_manifest
from twin.files import sha256_file
from twin.forgotten import Traces, broken_descent, remains, traces
from twin.identity import md5_path

SECRET_LINE = "the merger is on the fourteenth of may"
CELLS = [
    ["id-000001", "talk-gone", "assistant", "Shall we tell them?", "2026-01-01 12:00:00+00", "0"],
    ["id-000002", "talk-gone", "user", f"no.\n{SECRET_LINE}", "2026-01-01 12:01:00+00", "1"],
    ["id-000003", "talk-kept", "assistant", "What is the plan for the release?", "2026-01-02 12:00:00+00", "0"],
    ["id-000004", "talk-kept", "user", "ship it as soon as it is green", "2026-01-02 12:01:00+00", "1"],
    ["id-000005", "talk-gone", "user", "ship it as soon as it is green", "2026-01-01 12:02:00+00", "2"],
]
FORGET = ForgetConfig(conversations=["talk-gone"], authors=[], dates=[])
Downstream = Callable[[str, str | bytes], Path]


@pytest.fixture
def config(tmp_path: Path) -> IngestConfig:
    folder = tmp_path / "data/raw/mine"
    folder.mkdir(parents=True)
    (folder / "a.csv").write_bytes(table(CELLS))
    entry = ExportFile("a.csv", sha256_file(folder / "a.csv"), 1, len(CELLS))
    write_manifest(folder, Manifest((entry,), ("id",)))
    return replace(CONFIG, forget=FORGET)


@pytest.fixture
def found(tmp_path: Path, config: IngestConfig) -> Traces:
    return traces(tmp_path, config)


def put(root: Path, name: str, text: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


def test_the_traces_are_those_of_forgotten_rows_alone(found: Traces) -> None:
    assert (found.rows, found.conversations) == (3, {"talk-gone"})
    assert {"id-000001", "id-000002", "id-000005", "talk-gone"} <= found.names
    assert found.lines == {SECRET_LINE}


def test_the_export_itself_is_not_downstream(tmp_path: Path, found: Traces) -> None:
    put(
        tmp_path,
        "data/augment/examples.jsonl",
        json.dumps({"id": "id-000004", "text": "ship it as soon as it is green"}),
    )
    assert remains(tmp_path, found) == []


TRACES: dict[str, Any] = {
    "the id of a row": {"id": "id-000002"},
    "the id of a conversation": {"conversation_id": "talk-gone"},
    "a line of a text": {"messages": [{"content": f"Is it so?\nyes\n  {SECRET_LINE.upper()}"}]},
    "the hash of a text": {"sha256": hashlib.sha256(f"no.\n{SECRET_LINE}".encode()).hexdigest()},
}


@pytest.mark.parametrize("trace", TRACES)
@pytest.mark.parametrize(
    "name", ["data/split/train.jsonl", "models/adapter/recipe.json", "metrics/x.json", ".work/runs/log"]
)
def test_a_trace_is_found_wherever_it_is_left(tmp_path: Path, found: Traces, trace: str, name: str) -> None:
    put(tmp_path, name, json.dumps(TRACES[trace]))
    assert remains(tmp_path, found) == [name]


def test_a_trace_is_found_in_parquet(tmp_path: Path, found: Traces) -> None:
    (tmp_path / "data/ingest").mkdir()
    for number, text in enumerate(("a quiet line of no importance", f"well\n{SECRET_LINE}")):
        pq.write_table(pa.table({"content": [text]}), tmp_path / f"data/ingest/{number}.parquet")
    assert remains(tmp_path, found) == ["data/ingest/1.parquet"]


@pytest.fixture
def lineage(tmp_path: Path) -> Path:
    """A project whose dvc.lock agrees with its files."""
    put(tmp_path, "data/ingest/turns.parquet", "turns")
    put(tmp_path, "models/sft", "weights")
    put(tmp_path, "params.yaml", "ingest: {forget: {conversations: [talk-gone]}}\n")

    def entry(path: str) -> dict[str, str]:
        return {"path": path, "md5": md5_path(tmp_path / path)}

    stages = {
        "ingest": {
            "params": {"params.yaml": {"ingest": {"forget": {"conversations": ["talk-gone"]}}}},
            "outs": [entry("data/ingest/turns.parquet")],
        },
        "train": {"deps": [entry("data/ingest/turns.parquet")], "outs": [entry("models/sft")]},
    }
    put(tmp_path, "dvc.lock", yaml.safe_dump({"stages": stages}))
    put(tmp_path, "dvc.yaml", yaml.safe_dump({"stages": {name: {} for name in stages}}))
    return tmp_path


def test_files_that_dvc_lock_made_descend_from_what_is_kept(lineage: Path) -> None:
    assert broken_descent(lineage) == []


def test_an_adapter_of_an_earlier_run_is_told(lineage: Path) -> None:
    put(lineage, "models/sft", "older weights")
    assert broken_descent(lineage) == ["models/sft is not the one that dvc.lock has for train; run `dvc repro`"]


def test_a_lock_that_knows_nothing_of_a_stage_is_told(lineage: Path) -> None:
    put(lineage, "dvc.lock", "stages: {}")
    told = [f"dvc.lock knows nothing of {stage}; run `dvc repro`" for stage in ("ingest", "train")]
    assert broken_descent(lineage) == told


def test_turns_that_training_did_not_see_are_told(lineage: Path) -> None:
    put(lineage, "data/ingest/turns.parquet", "fewer turns")
    assert [fault.split(";")[0] for fault in broken_descent(lineage)] == [
        "data/ingest/turns.parquet is not the one that dvc.lock has for ingest",
        "data/ingest/turns.parquet is not the one that dvc.lock has for train",
    ]


def test_a_list_that_ingest_has_not_seen_is_told(lineage: Path) -> None:
    put(lineage, "params.yaml", "ingest: {forget: {conversations: [talk-gone, other]}}\n")
    assert broken_descent(lineage) == ["ingest last ran with other parameters; run `dvc repro`"]
    (lineage / "dvc.lock").unlink()
    assert broken_descent(lineage) == ["dvc.lock is missing: nothing has run yet"]


def test_a_check_empties_the_cache_of_states_whose_vectors_name_no_text(
    lineage: Path, config: IngestConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put(lineage, ".work/states/0123.sqlite", "vectors")
    monkeypatch.chdir(lineage)
    monkeypatch.setattr(command, "project_root", lambda _: lineage)
    monkeypatch.setattr(command, "load", lambda *_: config)
    monkeypatch.setattr(command, "remains", lambda *_: [])
    command.forget(check=False)
    assert (lineage / ".work/states/0123.sqlite").exists()
    command.forget(check=True)
    assert not (lineage / ".work/states").exists()
    assert "emptied        .work/states" in capsys.readouterr().out


def test_a_line_is_found_in_the_report_though_it_is_written_as_html(tmp_path: Path) -> None:
    from tests.report_run import write_page

    (tmp_path / "metrics").mkdir()
    write_page(tmp_path / "metrics", "it's <on> the 14th & of may")
    assert remains(tmp_path, Traces(lines={"x says it's <on> the 14th & of may"})) == ["metrics/report.html"]
    assert remains(tmp_path, Traces(lines={"nobody says it's <on> the 14th"})) == []
