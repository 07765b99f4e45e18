"""A stage whose inputs change while it runs is void; errors are one line; facts stay out of the outputs."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from twin import guard, runlog
from twin.errors import ProvenanceError
from twin.identity import fingerprint, stage_inputs

ROOT = Path(__file__).parents[1]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    stages = {"probe": {"cmd": "python -m twin.guard probe", "deps": ["input"], "params": ["train"], "outs": ["out"]}}
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    (tmp_path / "params.yaml").write_text("train: {updates: 1}\n")
    (tmp_path / "input").write_text("input")
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages/__init__.py").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    return tmp_path


def run(project: Path, body: str) -> subprocess.CompletedProcess[str]:
    lines = "\n    ".join(["from pathlib import Path", "from twin import errors, runlog", *body.split("; ")])
    (project / "stages/probe.py").write_text(f"def main():\n    {lines}\n")
    command = [sys.executable, "-m", "twin.guard", "probe"]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)


def test_a_stage_that_leaves_its_inputs_alone_passes(project: Path) -> None:
    done = run(project, "Path('out').write_text('x')")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("edit", "name"),
    [
        ("Path('input').write_text('INPUT')", "input"),
        ("Path('input').unlink()", "input"),
        ("Path('params.yaml').write_text('train: {updates: 2}')", "train"),
    ],
)
def test_an_input_that_changes_voids_the_stage(project: Path, edit: str, name: str) -> None:
    done = run(project, edit)
    assert done.returncode == guard.INPUTS_CHANGED or (done.returncode == 1 and "is missing" in done.stderr)
    assert name in done.stderr and "Traceback" not in done.stderr


def test_an_error_is_one_line_without_a_traceback(project: Path) -> None:
    done = run(project, "raise errors.DataError('x.csv:3: bad')")
    assert (done.returncode, done.stderr) == (1, "DataError: x.csv:3: bad\n")


def test_a_full_disk_is_one_line_too(project: Path) -> None:
    done = run(project, "import errno; raise OSError(errno.ENOSPC, 'No space left on device', 'out')")
    assert (done.returncode, done.stderr) == (1, "StorageError: out: No space left on device\n")


def test_facts_are_filed_under_the_inputs_and_not_in_the_outputs(project: Path) -> None:
    assert run(project, "runlog.record('probe', {'tokens_per_s': 5.0})").returncode == 0
    facts = runlog.read_facts(runlog.facts_path("probe", fingerprint(stage_inputs("probe"))))
    assert facts["tokens_per_s"] == 5.0
    assert {"wall_s", "cpu_s", "peak_rss_bytes"} < facts.keys()


def test_outside_a_stage_there_is_nothing_to_record(project: Path) -> None:
    runlog.record("probe", {"wall_s": 1.0})
    assert not (project / ".work").exists()


def test_the_differences_name_what_changed() -> None:
    before = {"cmd": "a", "deps": {"d": "1"}, "params": {"p": 1}}
    assert guard._differences(before, before) == []
    after = {"cmd": "b", "deps": {"d": "2", "e": "1"}, "params": {"p": 1}}
    assert guard._differences(before, after) == ["the command", "d", "e"]
    assert issubclass(ProvenanceError, RuntimeError)
