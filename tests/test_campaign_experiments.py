"""An experiment's name is what it is asked to be, and only exactly that counts as finished."""

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from tests.structure import ROOT
from twin.campaign import experiments
from twin.campaign.experiments import Dvc, sources
from twin.campaign.queue import shipped
from twin.campaign.world import Asked
from twin.cli import app
from twin.compare.inference import Margins
from twin.errors import ConfigError, ProvenanceError
from twin.identity import md5_path
from twin.runs import Run

STANDARD = Margins()


@pytest.fixture
def dvc(monkeypatch: pytest.MonkeyPatch) -> Dvc:
    monkeypatch.chdir(ROOT)
    return Dvc(Margins(), {"stages/train": "1"})


def test_a_name_is_of_the_parameters_and_the_sources(dvc: Dvc) -> None:
    one = dvc.ask("q-one", ["adapter.rank=16"])
    assert one.name.startswith("q-one-")
    assert dvc.ask("q-one", ["adapter.rank=16"]) == one
    assert dvc.ask("q-one", ["adapter.rank=24"]).name != one.name
    assert Dvc(Margins(), {"stages/train": "2"}).ask("q-one", ["adapter.rank=16"]).name != one.name
    assert yaml.safe_load(one.params)["adapter"]["rank"] == 16


def test_what_does_not_compose_or_contradicts_itself_is_refused(dvc: Dvc) -> None:
    with pytest.raises(ConfigError, match=r"conf/: .*adapter\.ranks|conf/: .*ranks"):
        dvc.ask("q", ["adapter.ranks=8"])
    with pytest.raises(ConfigError, match=r"train\.ranks is 2 and train\.accumulate 1"):
        dvc.ask("q", ["train.ranks=2"])


def test_choices_are_the_sections_of_the_other_run_and_nothing_that_is_the_same(
    dvc: Dvc, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = dvc.ask("q", ["adapter=dora_r8", "train.batch=2", "augment.tags=none"]).params
    monkeypatch.setattr(Run, "at", classmethod(lambda cls, name: cls(name=name)))
    monkeypatch.setattr(Run, "text", lambda self, path: theirs)
    chosen = dvc.choices("their run", ["adapter", "train"], ["train.accumulate=4"])
    assert chosen == ['adapter.kind="dora"', "adapter.rank=8", "train.batch=2", "train.accumulate=1"]
    again = yaml.safe_load(dvc.ask("q", ["train.accumulate=4", *chosen]).params)
    assert again["adapter"] == yaml.safe_load(theirs)["adapter"]
    assert again["augment"]["tags"] == "context"


def git(*arguments: str) -> str:
    who = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    return subprocess.run(["git", *who, *arguments], check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A repository with the finished experiment `q-one` of one stage."""
    monkeypatch.chdir(tmp_path)
    Path("code.py").write_text("1")
    Path("made").mkdir()
    Path("made/a.txt").write_text("a")
    stages = {
        "first": {"cmd": "one", "deps": ["code.py"], "outs": ["made"]},
        "second": {"cmd": "two", "deps": ["made/a.txt"], "metrics": [{"m.json": {"cache": False}}]},
    }
    Path("dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    lock = {
        name: {"cmd": entry["cmd"], "deps": [{"path": dep, "md5": md5_path(Path(dep))} for dep in entry["deps"]]}
        for name, entry in stages.items()
    }
    Path("dvc.lock").write_text(yaml.safe_dump({"stages": lock}))
    Path("params.yaml").write_text("rank: 8\n")
    git("init", "--quiet")
    git("add", "--all")
    git("commit", "--quiet", "--message", "x")
    commit = git("rev-parse", "HEAD")
    git("update-ref", f"refs/exps/{commit[:2]}/{commit[2:]}/q-one", commit)
    return lock


def test_what_a_stage_makes_is_no_source(experiment: dict[str, Any]) -> None:
    assert sources() == {"code.py": md5_path(Path("code.py"))}


def test_an_experiment_of_the_same_parameters_and_code_is_finished(experiment: dict[str, Any]) -> None:
    dvc = Dvc(Margins(), sources())
    assert dvc.is_finished(Asked("q-one", (), "rank: 8.0\n"))
    assert not dvc.is_finished(Asked("q-two", (), "rank: 8\n"))


def test_an_experiment_of_that_name_that_is_another_is_refused_and_not_taken(experiment: dict[str, Any]) -> None:
    dvc = Dvc(Margins(), sources())
    with pytest.raises(ProvenanceError, match=r"q-one is not what its name says.*dvc exp remove q-one"):
        dvc.is_finished(Asked("q-one", (), "rank: 9\n"))
    with pytest.raises(ProvenanceError, match=r"q-one is not what its name says"):
        Dvc(Margins(), {"code.py": "0"}).is_finished(Asked("q-one", (), "rank: 8\n"))


def test_code_that_changes_while_the_campaign_runs_ends_it(experiment: dict[str, Any], tmp_path: Path) -> None:
    dvc = Dvc(Margins(), sources())
    Path("code.py").write_text("2")
    with pytest.raises(ProvenanceError, match=r"code\.py changed while the campaign runs"):
        dvc.run(Asked("q-one", (), "rank: 8\n"), tmp_path / "a.log", None, None, lambda group: None)


@pytest.fixture
def comparisons(experiment: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every comparison that is made: the margin it was made with. There are experiments `q-one` and `q-two`."""
    add_experiment("q-two", "2")
    made: list[Any] = []

    def compare(groups: Any, margins: Margins) -> Any:
        made.append(margins)
        ahead = {"value": 0.25, "lower": 0.1, "upper": 0.4}
        metrics = {
            "bits_per_token": {"refused": "other tokens"},
            "bits_per_byte": {"difference": ahead, "verdict": "better", "p": 0.01},
        }
        return {"comparisons": [{"metrics": metrics, "scope": "these artefacts only"}]}

    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.setattr(experiments, "compare", compare)
    monkeypatch.setattr(experiments, "read", lambda name, objects: name)
    monkeypatch.setattr(experiments, "dvc_objects", lambda: None)
    return made


def add_experiment(name: str, rank: str) -> None:
    Path("params.yaml").write_text(f"rank: {rank}\n")
    git("commit", "--quiet", "--all", "--message", name)
    commit = git("rev-parse", "HEAD")
    git("update-ref", f"refs/exps/{commit[:2]}/{commit[2:]}/{name}", commit)


def test_a_walk_compares_nothing_that_an_earlier_one_has_compared(comparisons: list[Any]) -> None:
    first = Dvc(Margins(), {}).compared(["q-one"], ["q-two"])
    assert first[0]["likelihood"].verdict == "better" and len(comparisons) == 1
    assert Dvc(Margins(), {}).compared(["q-one"], ["q-two"]) == first
    assert len(comparisons) == 1


def test_other_runs_margins_or_code_are_compared_anew(comparisons: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def times(margins: Margins = STANDARD, reference: str = "q-one", compared: str = "q-two") -> int:
        before = len(comparisons)
        Dvc(margins, {}).compared([reference], [compared])
        return len(comparisons) - before

    assert (times(), times()) == (1, 0)
    assert (times(reference="q-two", compared="q-one"), times(replace(STANDARD, rubric=0.5))) == (1, 1)
    git("update-ref", "-d", git("for-each-ref", "--format=%(refname)", "refs/exps/*/*/q-two"))
    add_experiment("q-two", "3")
    assert (times(), times()) == (1, 0)
    monkeypatch.setattr(experiments, "code", lambda: "other code")
    assert (times(), times()) == (1, 0)
    for path in Path(".work/compared").iterdir():
        path.write_text("{")
    assert (times(), times()) == (1, 0)


def test_what_is_refused_is_asked_again(comparisons: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(groups: Any, margins: Margins) -> Any:
        comparisons.append(margins)
        raise ProvenanceError("other test sets")

    monkeypatch.setattr(experiments, "compare", refuse)
    for _ in range(2):
        with pytest.raises(ProvenanceError, match="other test sets"):
            Dvc(Margins(), {}).compared(["q-one"], ["q-two"])
    assert len(comparisons) == 2


@pytest.mark.parametrize("name", shipped())
def test_every_row_and_rung_of_a_shipped_campaign_composes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    done = CliRunner().invoke(app, ["campaign", name, "--dry-run"])
    assert done.exit_code == 0, done.exception
    assert "dvc exp run -S" in done.stdout


def test_a_wrong_override_is_told_with_its_row_before_anything_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    done = CliRunner().invoke(app, ["campaign", "geometry", "-S", "train.updates=0"])
    assert isinstance(done.exception, ConfigError)
    assert str(done.exception).startswith("geometry: untagged: ")


def test_energy_without_a_draw_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    done = CliRunner().invoke(app, ["campaign", "geometry", "--kwh", "1"])
    assert isinstance(done.exception, ConfigError)
    assert "--kwh needs a draw" in str(done.exception)
