"""`twin summary` tells the run in one screen, and says so when another machine made other model bytes."""

import copy
import json
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.structure import ROOT
from twin.cli.summary import summary
from twin.errors import DataError

LOCK = yaml.safe_load((ROOT / "dvc.lock").read_text())
METRICS = ("ingest", "split", "train", "evaluate", "decision")


def row(prompt: str, arm: str) -> str:
    return json.dumps({"prompt_set": "protocol", "prompt_id": prompt, "arm": arm, "text": f"{arm} answers"})


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from twin.protocol import protocol

    (tmp_path / "metrics").mkdir()
    (tmp_path / "data/generate").mkdir(parents=True)
    for name in METRICS:
        (tmp_path / f"metrics/{name}.json").write_text((ROOT / f"metrics/{name}.json").read_text())
    said = [row(prompt.id, arm) for prompt in protocol() for arm in ("B0", "X")]
    (tmp_path / "data/generate/generations.jsonl").write_text("\n".join(said) + "\n")
    (tmp_path / "dvc.lock").write_text(yaml.safe_dump(LOCK))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-qm", "run"]):
        subprocess.run(["git", *command], check=True)
    return tmp_path


def test_one_screen_says_learned_scores_answers_decision_and_next(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    summary()
    shown = capsys.readouterr().out
    for piece in ("Learned", "rubric 0–3 over test prompts", "X answers", "Decision", "HOLD", "twin chat", "Where"):
        assert piece in shown
    assert "other model bytes" not in shown
    assert max(map(len, shown.splitlines())) <= 104


def test_preference_training_is_told_with_its_alarm(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bits = {"before": 2.5, "after": 2.5, "last": 3.0}
    told = {
        "method": "dpo", "kept": "trained adapter", "pairs": {"train": 60}, "updates": {"best": 0, "run": 30},
        "real_replies": {"bits_per_token": bits}, "displacement": {"alarm": True},
    }  # fmt: skip
    (project / "metrics/align.json").write_text(json.dumps(told))
    lock = copy.deepcopy(LOCK)
    lock["stages"]["align"]["params"]["params.yaml"]["align"]["method"] = "dpo"
    (project / "dvc.lock").write_text(yaml.safe_dump(lock))
    summary()
    shown = " ".join(capsys.readouterr().out.split())
    assert "then dpo on 60 pairs, the trained adapter kept (update 0 of 30): 2.500 → 2.500 bits per token" in shown
    assert "they were DISPLACED on the way" in shown


def test_other_model_bytes_from_the_same_inputs_are_explained(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = copy.deepcopy(LOCK)
    lock["stages"]["train"]["outs"][0]["md5"] = "0" * 32
    (project / "dvc.lock").write_text(yaml.safe_dump(lock))
    summary()
    assert "the same inputs gave other model bytes here" in " ".join(capsys.readouterr().out.split())


def test_other_parameters_are_no_other_machine(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lock = copy.deepcopy(LOCK)
    lock["stages"]["train"]["outs"][0]["md5"] = "0" * 32
    lock["stages"]["train"]["params"]["params.yaml"]["adapter"]["rank"] = 8
    (project / "dvc.lock").write_text(yaml.safe_dump(lock))
    summary()
    assert "other model bytes" not in capsys.readouterr().out


def test_an_unfinished_run_has_no_summary(project: Path) -> None:
    (project / "dvc.lock").unlink()
    with pytest.raises(DataError, match=r"dvc\.lock is missing in the working tree: the run is not finished"):
        summary()
