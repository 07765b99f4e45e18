"""What was decided is what the stored replies give, and whatever was touched since is told."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import persona
from tests.structure import ROOT
from twin import verify
from twin.cli import promote as command
from twin.errors import ProvenanceError
from twin.files import read_json, write_json, write_jsonl
from twin.identity import md5_path

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small project whose replies were judged once, and its dvc.lock."""
    root = tmp_path_factory.mktemp("judged")
    parts = persona.splits()
    for name, rows in parts.items():
        write_jsonl(root / f"data/split/{name}.jsonl", rows)
    write_jsonl(root / "data/generate/generations.jsonl", persona.generations(parts))
    write_jsonl(root / "data/generate/nll.jsonl", persona.likelihoods(parts))
    write_jsonl(root / "data/generate/further.jsonl", [])
    write_jsonl(root / "data/generate/live.jsonl", [])
    write_jsonl(root / "data/generate/reminders.jsonl", [])
    write_json(root / "data/generate/decoding.json", {})
    write_jsonl(root / "data/split/canaries.jsonl", [])
    base = {"id": "small", "fixture": True}
    write_json(root / "models/base/identity.json", base)
    write_json(root / "models/adapter/recipe.json", {"base": base, "prompt": {"tags": "none"}, "run": {"id": "0" * 64}})
    write_json(root / "metrics/split.json", {})
    for name in ("stages", "twin"):
        (root / name).symlink_to(ROOT / name)
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["evaluate"]["draws"] = 200
    (root / "params.yaml").write_text(yaml.safe_dump(params))
    (root / "dvc.yaml").write_text("stages: {}")
    for stage in verify.JUDGING:
        # Another hash seed than the second time: what depends on the order of a set shows.
        environment = os.environ | {"PYTHONHASHSEED": "1", "PYTHONPATH": str(ROOT)}
        subprocess.run([sys.executable, "-c", verify.RUN_STAGE, stage], cwd=root, env=environment, check=True)
    outs = [{"path": name, "md5": md5_path(root / name)} for name in ("data/generate", *verify.MADE)]
    (root / "dvc.lock").write_text(yaml.safe_dump({"stages": {"evaluate": {"outs": outs}}}))
    return root


@pytest.fixture
def project(tmp_path: Path, judged: Path) -> Path:
    shutil.copytree(judged, tmp_path / "project", symlinks=True)
    return tmp_path / "project"


def test_a_decision_is_verified_and_nothing_changes(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    monkeypatch.setenv("PYTHONHASHSEED", "2")
    assert verify.differences(project) == []
    assert {path: path.read_bytes() for path in project.rglob("*") if path.is_file()} == before


def rewritten(path: Path, change: Any) -> None:
    found = read_json(path)
    change(found)
    write_json(path, found)


def test_a_decision_that_was_made_kinder_is_told(project: Path) -> None:
    rewritten(project / "metrics/decision.json", lambda found: found.update(decision="PROMOTE", scope="champion"))
    assert any(fault.startswith("metrics/decision.json is not what judging") for fault in verify.differences(project))


def test_a_score_or_a_reply_that_was_changed_is_told(project: Path) -> None:
    scores = project / "data/evaluate/scores.jsonl"
    lines = scores.read_text().splitlines()
    scores.write_text("\n".join([json.dumps(json.loads(lines[0]) | {"score": 3}, sort_keys=True), *lines[1:]]) + "\n")
    replies = project / "data/generate/generations.jsonl"
    replies.write_text(replies.read_text().replace('"stopped": true', '"stopped": false', 1))
    told = "; ".join(verify.differences(project))
    assert "data/evaluate/scores.jsonl is not what judging" in told
    assert "data/generate is not the one that dvc.lock has" in told


def test_stored_outputs_that_cannot_be_judged_are_told(project: Path) -> None:
    (project / "data/generate/nll.jsonl").write_text("{")
    with pytest.raises(ProvenanceError, match=r"evaluate cannot be run on the stored outputs: .*nll\.jsonl:1"):
        verify.differences(project)


@pytest.mark.parametrize(("decision", "status"), [("PROMOTE", 0), ("HOLD", 10), ("REJECT", 20)])
def test_the_exit_status_tells_the_decision(
    project: Path, monkeypatch: pytest.MonkeyPatch, decision: str, status: int
) -> None:
    rewritten(project / "metrics/decision.json", lambda found: found.update(decision=decision))
    monkeypatch.setattr(command, "project_root", lambda _: project)
    with pytest.raises(command.typer.Exit) as left:
        command.promote(verify=False)
    assert left.value.exit_code == status
