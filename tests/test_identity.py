"""The run id: computed from the files as they are, it equals what a finished dvc.lock says."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from twin.errors import ConfigError, DataError
from twin.identity import fingerprint, locked_inputs, md5_path, run_id, stage_inputs

PIPELINE = {
    "stages": {
        "train": {
            "cmd": "mkdir -p models/sft && cp data/a models/sft/a && echo é > models/sft/b",
            "deps": ["data", "code.py"],
            "params": ["adapter", "train.updates"],
            "outs": ["models/sft"],
        },
        "align": {
            "cmd": "cp -r models/sft models/adapter",
            "deps": ["models/sft"],
            "params": ["align"],
            "outs": ["models/adapter"],
        },
    }
}
PARAMS = {
    "adapter": {"rank": 8, "scale": 2.0, "keys": ["q"], "layers": None},
    "train": {"updates": 3},
    "align": {"m": "é", "rate": 5e-6, "small": 1e-20, "text": "5e"},
}


def make(root: Path) -> None:
    for name, text in {
        "data/a": "a",
        "data/sub/b": "b",
        "data/sub-x": "x",
        "code.py": "",
        ".dvcignore": "__pycache__\n",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "data/__pycache__").mkdir()
    (root / "data/__pycache__/x").write_text("not an input")
    (root / "dvc.yaml").write_text(yaml.safe_dump(PIPELINE))
    (root / "params.yaml").write_text(yaml.safe_dump(PARAMS))


def test_the_run_id_equals_the_one_from_the_finished_lock(tmp_path: Path) -> None:
    make(tmp_path)
    for command in (["init", "-q", "--no-scm"], ["config", "core.analytics", "false"], ["repro", "-q"]):
        subprocess.run([sys.executable, "-m", "dvc", *command], cwd=tmp_path, check=True, capture_output=True)
    locked = locked_inputs((tmp_path / "dvc.lock").read_text())
    now = {stage: stage_inputs(stage, tmp_path) for stage in ("train", "align")}
    assert now == locked
    assert run_id(now) == run_id(locked)


def test_another_folder_with_the_same_inputs_has_the_same_fingerprint(tmp_path: Path) -> None:
    prints = []
    for name in ("one", "two"):
        make(tmp_path / name)
        prints.append(fingerprint(stage_inputs("train", tmp_path / name)))
    assert prints[0] == prints[1]


@pytest.mark.parametrize("change", ["data/sub/b", "code.py", "params.yaml", "dvc.yaml"])
def test_every_input_changes_the_fingerprint(tmp_path: Path, change: str) -> None:
    make(tmp_path)
    before = fingerprint(stage_inputs("train", tmp_path))
    file = tmp_path / change
    file.write_text(file.read_text().replace("updates: 3", "updates: 4").replace("echo", "printf") + "\n#\n")
    assert fingerprint(stage_inputs("train", tmp_path)) != before


def test_what_dvc_ignores_is_no_input(tmp_path: Path) -> None:
    make(tmp_path)
    before = md5_path(tmp_path / "data")
    (tmp_path / "data/__pycache__/y").write_text("y")
    assert md5_path(tmp_path / "data") == before


def test_the_ignore_list_is_the_one_dvc_reads() -> None:
    from twin.identity import IGNORED

    listed = (Path(__file__).parents[1] / ".dvcignore").read_text().split()
    assert {name for name in listed if "*" not in name} == IGNORED
    assert {name for name in listed if "*" in name} == {"*.pyc", "*.part", "*.old"}


def test_a_missing_dependency_parameter_or_stage_is_named(tmp_path: Path) -> None:
    make(tmp_path)
    with pytest.raises(ConfigError, match="dvc.yaml has no stage nope; it has align, train"):
        stage_inputs("nope", tmp_path)
    with pytest.raises(DataError, match=r"models/sft is missing\. .*dvc checkout"):
        stage_inputs("align", tmp_path)
    (tmp_path / "params.yaml").write_text("adapter: {}\n")
    with pytest.raises(ConfigError, match=r"train\.updates is missing"):
        stage_inputs("train", tmp_path)
