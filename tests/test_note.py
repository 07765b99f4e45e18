"""`twin note` says what identifies, measures and reproduces a run, from the working tree or from any commit."""

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from twin.cli.note import block_of, markers, merge_block, note
from twin.errors import DataError
from twin.identity import locked_inputs, run_id
from twin.runs import Run

LOCK = {
    "schema": "2.0",
    "stages": {
        "ingest": {
            "cmd": "c",
            "deps": [{"path": "data/raw", "md5": "aa.dir"}],
            "params": {"params.yaml": {"ingest": {"source": "demo"}}},
        },
        "base": {
            "cmd": "c",
            "params": {"params.yaml": {"model": {"id": "tiny", "revision": "f" * 40, "fixture": True}}},
        },
        "train": {
            "cmd": "c",
            "deps": [{"path": "data/split", "md5": "bb.dir"}],
            "params": {"params.yaml": {"adapter": {"kind": "lora", "rank": 8, "scale": 2.0, "keys": ["q_proj"]}}},
        },
        "align": {"cmd": "c", "deps": [{"path": "models/sft", "md5": "cc.dir"}]},
    },
}
METRICS = {
    "ingest": {"rows": {"out": 6000}, "replies": 3000, "conversations": 600},
    "split": {"parts": {part: {"replies": 10} for part in ("train", "valid", "cal", "test")}},
    "train": {
        "status": "finished",
        "updates": {"run": 40},
        "epochs": 1.25,
        "valid": {"masked_nats_per_token": {"initial": 3.0, "best": 1.5}},
    },
    "config": {
        "overrides": {"adapter.rank": {"conf": "32", "run": "8"}, "ingest.roles.x": {"conf": "1", "run": "absent"}}
    },
    "decision": {
        "decision": "HOLD",
        "reasons": ["profile FAIL: a stand-in."],
        "gates": {"likelihood": {"state": "PASS", "why": "", "value": 0.5, "bound": 0.4, "threshold": 0.05, "n": 60}},
    },
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "metrics").mkdir()
    for name, values in METRICS.items():
        (tmp_path / f"metrics/{name}.json").write_text(json.dumps(values))
    (tmp_path / "dvc.lock").write_text(yaml.safe_dump(LOCK))
    (tmp_path / "params.yaml").write_text("campaign: {winner: abc}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    for command in (
        ["init", "-q"],
        ["add", "-A"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "run"],
    ):
        subprocess.run(["git", *command], check=True)
    return tmp_path


def test_the_block_names_run_data_gates_and_commands(project: Path) -> None:
    run = Run()
    block = block_of(run)
    assert run.id == run_id(locked_inputs((project / "dvc.lock").read_text()))
    for piece in (
        run.id,
        "HOLD",
        "profile FAIL",
        "bb.dir",
        "aa.dir",
        "6,000 turns",
        "3.000 → 1.500",
        f"tiny at `{'f' * 40}`",
    ):
        assert piece in block
    assert "| likelihood | PASS | 0.500 | 0.400 | 0.050 | 60 |" in block
    assert "dvc exp run -S 'adapter.rank=8' -S '~ingest.roles.x'" in block
    assert "| continues the run | `abc` |" in block
    assert "with uncommitted changes" not in block


def test_a_commit_and_an_experiment_name_give_the_same_run(project: Path) -> None:
    head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    subprocess.run(["git", "update-ref", "refs/exps/ab/cdef/brave-name", head], check=True)
    (project / "dvc.lock").unlink()
    by_commit, by_name = Run.at("HEAD"), Run.at("brave-name")
    assert by_commit.id == by_name.id
    assert "| experiment | brave-name |" in block_of(by_name)
    assert f"git checkout {head[:12]}\n" in block_of(by_name)
    with pytest.raises(DataError, match="nonsense is neither a commit nor an experiment"):
        Run.at("nonsense")


def test_an_uncommitted_change_is_admitted(project: Path) -> None:
    (project / "metrics/decision.json").write_text(json.dumps(METRICS["decision"] | {"reasons": []}))
    assert "with uncommitted changes" in block_of(Run())


def test_an_unfinished_run_is_refused_with_the_next_move(project: Path) -> None:
    (project / "dvc.lock").write_text(yaml.safe_dump({"stages": {"ingest": LOCK["stages"]["ingest"]}}))
    with pytest.raises(DataError, match="dvc.lock has no train and no align yet: finish the run with `dvc repro`"):
        block_of(Run())


def test_a_note_replaces_its_own_older_block_and_nothing_else(project: Path) -> None:
    file = project / "note.md"
    file.write_text("# My note\n\nbefore\n")
    note(None, file)
    once = file.read_text()
    note(None, file)
    assert file.read_text() == once
    assert once.startswith("# My note\n\nbefore\n\n<!-- cognitive-twin run ")
    start, end = markers("other run")
    other = f"{start}\nother\n{end}\n\nafter\n"
    file.write_text(other + once)
    note(None, file)
    assert file.read_text() == other + once


def test_a_note_that_lost_its_end_marker_is_not_guessed_at() -> None:
    start, _ = markers("x")
    with pytest.raises(DataError, match="put the end marker back"):
        merge_block(f"text {start} text", "block", "x")
