"""A promotion is whole or not there, is taken back by one command, and GTO and DVC find what is champion then."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.structure import ROOT
from tests.typed import said
from twin.cli import promote as command
from twin.errors import ConfigError, DataError, ProvenanceError
from twin.files import read_json, sha256_file, write_json
from twin.promotion import apply as applying
from twin.promotion import registry
from twin.promotion.apply import Done, apply
from twin.promotion.facts import message, read_trailers
from twin.promotion.places import champion_of, entry, entry_for, with_entry
from twin.promotion.rollback import rollback

pytestmark = pytest.mark.slow

DVC_YAML = """\
stages:
  align:
    cmd: mkdir -p models/adapter && tee models/adapter/adapters.safetensors models/adapter/recipe.json < weights
    deps: [weights]
    outs: [models/adapter]
  generate:
    cmd: "true"
    deps: [models/adapter, models/champion]
    params: [promote.champion]
artifacts:
  twin: {path: models/champion/adapter, type: model}
"""
CONF = "# the thresholds\nbits_min: 0.05\nchampion: null  # of the person\nhuman: required\n"
PARAMETERS = """\
import sys, yaml
made = yaml.safe_dump({"promote": yaml.safe_load(open("conf/promote/standard.yaml"))})
if sys.argv[1] == "reset":
    open("params.yaml", "w").write(made)
elif open("params.yaml").read() != made:
    sys.exit("ConfigError: params.yaml is not what conf/ composes")
"""
DYING = """\
import os, sys
from importlib import import_module
from pathlib import Path
from twin.promotion.apply import apply
from twin.promotion.rollback import rollback

where, name, after, act = sys.argv[1:]
real = getattr(import_module(where), name)

def dying(*arguments, **keywords):
    if after == "after":
        real(*arguments, **keywords)
    os._exit(9)

setattr(import_module(where), name, dying)
apply(Path(), lambda _: []) if act == "apply" else rollback(Path())
"""
WHERE_TAG = "twin.promotion.registry"


def run(root: Path, *arguments: str) -> str:
    return subprocess.run(arguments, cwd=root, capture_output=True, text=True, check=True).stdout.strip()


def dvc(root: Path, *arguments: str) -> str:
    return run(root, sys.executable, "-m", "dvc", *arguments)


def verified(_: Path) -> Sequence[str]:
    return []


def trained(root: Path, weights: str, *, scope: str = "champion", decision: str = "PROMOTE") -> str:
    """Make the pipeline's adapter `weights`, decide for it, commit all; return its sha256."""
    (root / "weights").write_text(weights)
    dvc(root, "repro", "--quiet")
    adapter = root / "models/adapter"
    hashes = [{"path": f"models/adapter/{path.name}", "sha256": sha256_file(path)} for path in adapter.iterdir()]
    found = {"decision": decision, "scope": scope, "run": {"id": weights[0] * 64}, "hashes": hashes, "reasons": ["so"]}
    write_json(root / "metrics/decision.json", found)
    run(root, "git", "add", "--all")
    run(root, "git", "commit", "--quiet", "--message", f"Run {weights}")
    return sha256_file(adapter / "adapters.safetensors")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of git and DVC with an adapter that was decided for."""
    root = tmp_path_factory.mktemp("made") / "project"
    texts = {
        "dvc.yaml": DVC_YAML,
        "conf/promote/standard.yaml": CONF,
        "params.yaml": yaml.safe_dump({"promote": yaml.safe_load(CONF)}),
        "stages/__init__.py": "",
        "stages/config.py": PARAMETERS,
        "models/champion/README.md": "the champion",
        "weights": "",
        ".gitignore": "/models/adapter/\n",
    }
    for name, text in texts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    run(root, "git", "init", "--quiet", "--initial-branch=main")
    for key, value in (("user.name", "Sam"), ("user.email", "sam@example.org"), ("commit.gpgsign", "false")):
        run(root, "git", "config", key, value)
    dvc(root, "init", "--quiet")
    trained(root, "a")
    return root


@pytest.fixture
def project(tmp_path: Path, made: Path) -> Path:
    shutil.copytree(made, tmp_path / "project", symlinks=True)
    return tmp_path / "project"


def state(root: Path) -> dict[str, Any]:
    """All that a command may change."""
    kept = [path for path in sorted(root.rglob("*")) if path.is_file()]
    inside = {path: path.read_bytes() for path in kept if not {".git", ".dvc"} & set(path.relative_to(root).parts)}
    asked = (["rev-parse", "HEAD"], ["tag"], ["ls-files", "--stage"], ["status", "--porcelain"], ["branch", "--all"])
    return {"files": inside, "git": [run(root, "git", *one) for one in asked]}


def champion(root: Path) -> tuple[str | None, str | None, str]:
    """The weights in the folder, the sha256 in params.yaml, and GTO's table, as `gto show` prints it."""
    weights = root / "models/champion/adapter/adapters.safetensors"
    named = yaml.safe_load((root / "params.yaml").read_text())["promote"]["champion"]
    assert champion_of((root / "conf/promote/standard.yaml").read_text()) == named
    assert run(root, "git", "status", "--porcelain") == ""
    return weights.read_text() if weights.exists() else None, named, show(root)


def show(root: Path) -> str:
    shown = json.loads(run(root, str(Path(sys.executable).parent / "gto"), "show", "--json"))["twin"]
    return " ".join([f"latest {shown['version']}", *(f"{name} {at}" for name, at in shown["stage"].items() if at)])


def fetched(root: Path, stage: str, into: Path) -> str | None:
    """What `dvc artifacts get --stage` brings."""
    asked = [sys.executable, "-m", "dvc", "artifacts", "get", ".", "twin", "--stage", stage, "-o", str(into)]
    done = subprocess.run(asked, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        return None
    assert sorted(path.name for path in into.iterdir()) == ["adapters.safetensors", "recipe.json"]
    return (into / "adapters.safetensors").read_text()


@pytest.mark.parametrize(("told", "there"), [("r", True), ("another", False)])
def test_a_champion_has_the_card_of_its_own_run_beside_it(project: Path, told: str, there: bool) -> None:
    (project / "models/card").mkdir()
    (project / "models/card/README.md").write_text(f"# A twin\n\nRun `{told}`.\n")
    trained(project, '{"run": {"id": "r"}}')
    apply(project, verified)
    card = project / "models/champion/adapter/README.md"
    assert card.exists() == there
    assert not there or card.read_text() == "# A twin\n\nRun `r`.\n"
    assert run(project, "git", "status", "--porcelain") == ""


def test_a_promotion_is_one_commit_and_two_tags_that_tell_the_evidence(project: Path, tmp_path: Path) -> None:
    head = run(project, "git", "rev-parse", "HEAD")
    weights = sha256_file(project / "models/adapter/adapters.safetensors")
    done = apply(project, verified)
    assert champion(project) == ("a", weights, "latest v0.0.1 champion v0.0.1")
    assert fetched(project, "champion", tmp_path / "got") == "a"
    changed = run(project, "git", "diff", "--name-only", "HEAD~1").splitlines()
    pointers = ["models/champion/.gitignore", "models/champion/adapter.dvc"]
    assert changed == ["conf/promote/standard.yaml", *pointers, "params.yaml"]
    assert run(project, "git", "rev-parse", "HEAD~1") == head
    conf = (project / "conf/promote/standard.yaml").read_text()
    assert conf == CONF.replace("champion: null", f'champion: "{weights}"')
    assert done.new and done.tags == ["twin#champion#1", "twin@v0.0.1"]
    for tag in registry.tags(project):
        told = read_trailers(tag.message)
        assert tag.commit == told["Promotion-Commit"] == done.act.commit
        assert (told["Judged-Commit"], told["Lock-SHA256"]) == (head, sha256_file(project / "dvc.lock"))
        assert (told["Adapter-SHA256"], told["Run"], told["Scope"]) == (weights, "a" * 64, "champion")
        assert all(name in told["Versions"] for name in ("twin ", "mlx ", "mlx-lm ", "dvc 3", "python 3"))
        assert told["Chip"]
    before = state(project)
    assert apply(project, verified) == Done(done.act, [], False)
    assert state(project) == before


def test_rollbacks_go_back_promotion_by_promotion_until_none_is_left(project: Path, tmp_path: Path) -> None:
    first = sha256_file(project / "models/adapter/adapters.safetensors")
    bare = state(project)["files"]
    with pytest.raises(ProvenanceError, match="no champion is registered: there is nothing to roll back"):
        rollback(project)
    apply(project, verified)
    second = trained(project, "b")
    judged = {path: text for path, text in state(project)["files"].items() if path.name != "standard.yaml"}
    apply(project, verified)
    assert champion(project) == ("b", second, "latest v0.1.0 champion v0.1.0")
    (project / "stray").touch()
    with pytest.raises(ProvenanceError, match="the tree is not clean: stray"):
        rollback(project)
    (project / "stray").unlink()
    done = rollback(project)
    assert done.tags == ["twin#champion!#3", "twin#champion#4"]
    assert champion(project) == ("a", first, "latest v0.1.0 champion v0.0.1")
    assert fetched(project, "champion", tmp_path / "again") == "a"
    assert judged.items() <= state(project)["files"].items()
    assert dvc(project, "status", "--json") == "{}"
    assert rollback(project).tags == ["twin#champion!#5", "twin#champion!#6"]
    assert champion(project) == (None, None, "latest v0.1.0")
    assert fetched(project, "champion", tmp_path / "none") is None
    assert (project / "conf/promote/standard.yaml").read_bytes() == bare[project / "conf/promote/standard.yaml"]
    with pytest.raises(ProvenanceError, match="nothing to roll back"):
        rollback(project)


def test_an_adapter_that_nobody_rated_displaces_only_what_nobody_rated(project: Path) -> None:
    decided(project, scope="staging")
    assert apply(project, verified).tags == ["twin#staging#1", "twin@v0.0.1"]
    trained(project, "b", scope="staging")
    assert apply(project, verified).tags == ["twin#staging#2", "twin@v0.1.0"]
    assert champion(project)[::2] == ("b", "latest v0.1.0 staging v0.1.0")
    trained(project, "c")
    assert apply(project, verified).tags == ["twin#champion#3", "twin@v0.2.0"]
    assert champion(project)[2] == "latest v0.2.0 champion v0.2.0 staging v0.1.0"
    trained(project, "d", scope="staging")
    refused(project, "of scope champion; the decision is for staging, as nobody rated this adapter", verified)
    rollback(project)
    trained(project, "e", scope="staging")
    apply(project, verified)
    assert champion(project)[::2] == ("e", "latest v0.3.0 staging v0.3.0")


STEPS = (
    ("twin.promotion.apply", "dvc", "after"),
    ("twin.promotion.commit", "parameters", "before"),
    ("twin.promotion.apply", "committed", "after"),
)
LATER = (
    ("twin.promotion.apply", "forwarded", "after"),
    ("twin.promotion.finish", "_bring_folder", "after"),
    (WHERE_TAG, "register", "after"),
    (WHERE_TAG, "assign", "before"),
)


def died(root: Path, step: tuple[str, str, str], act: str) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", DYING, *step, act], cwd=root, env=environment, check=False)
    assert done.returncode == 9


def test_a_promotion_that_is_killed_before_its_commit_leaves_no_trace(project: Path) -> None:
    before = state(project)
    for step in STEPS:
        died(project, step, "apply")
        assert state(project) == before


def test_a_promotion_that_is_killed_after_its_commit_is_finished_by_the_next(project: Path) -> None:
    for step in LATER:
        died(project, step, "apply")
    done = apply(project, verified)
    assert not done.new and done.tags == ["twin#champion#1"]
    assert champion(project)[::2] == ("a", "latest v0.0.1 champion v0.0.1")


def test_a_rollback_that_is_killed_is_finished_and_does_not_go_further(project: Path) -> None:
    apply(project, verified)
    before = state(project)
    died(project, ("twin.promotion.rollback", "committed", "after"), "rollback")
    assert state(project) == before
    for step in (
        ("twin.promotion.rollback", "forwarded", "after"),
        ("twin.promotion.finish", "_bring_folder", "after"),
        (WHERE_TAG, "unassign", "after"),
    ):
        died(project, step, "rollback")
    done = rollback(project)
    assert not done.new and done.tags == ["twin#champion!#3"]
    assert champion(project) == (None, None, "latest v0.0.1")


def decided(root: Path, **changes: Any) -> None:
    path = root / "metrics/decision.json"
    write_json(path, read_json(path) | changes)
    run(root, "git", "commit", "--quiet", "--all", "--message", "Another decision")


def test_what_is_not_clean_verified_current_or_judged_is_refused_in_that_order(project: Path) -> None:
    adapter = project / "models/adapter/adapters.safetensors"
    adapter.write_text("other")
    (project / "weights").write_text("c")
    refused(project, r"the tree is not clean: weights\. Commit them", lambda _: ["scores differ"])
    run(project, "git", "commit", "--quiet", "--all", "--message", "Other weights")
    refused(project, r"not verified: scores differ\. `dvc repro`", lambda _: ["scores differ"])
    refused(project, "dvc.lock is not up to date for align", verified)
    (project / "weights").write_text("a")
    run(project, "git", "commit", "--quiet", "--all", "--message", "Weights again")
    adapter.write_text("a")
    decided(project, hashes=[{"path": "models/adapter/adapters.safetensors", "sha256": "0" * 64}])
    refused(project, "the decision is about 000000000000. Bring it back: dvc checkout models/adapter", verified)
    decided(project, hashes=[])
    refused(project, "names no sha256 of models/adapter/adapters.safetensors", verified)
    decided(project, scope=None)
    refused(project, "scope is None, not champion or staging", verified)


def refused(root: Path, why: str, verify: Any) -> None:
    before = state(root)
    with pytest.raises((ProvenanceError, DataError), match=why):
        apply(root, verify)
    assert state(root) == before


def test_a_head_on_no_branch_is_refused_with_the_next_move(project: Path) -> None:
    run(project, "git", "checkout", "--quiet", "--detach")
    refused(project, r"HEAD is detached at \w+\. Go to a branch \(git switch BRANCH", verified)
    run(project, "git", "switch", "--quiet", "main")
    apply(project, verified)
    run(project, "git", "checkout", "--quiet", "--detach")
    with pytest.raises(ProvenanceError, match="HEAD is detached"):
        rollback(project)


def test_a_tag_in_the_way_is_told_before_anything_changes(project: Path) -> None:
    run(project, "git", "tag", "twin@v0.0.1")
    refused(project, r"twin@v0\.0\.1 is no annotated tag .* git tag -d twin@v0\.0\.1\. Nothing was changed", verified)
    run(project, "git", "tag", "--delete", "twin@v0.0.1")
    assert apply(project, verified).tags == ["twin#champion#1", "twin@v0.0.1"]


def test_a_promotion_whose_tag_is_in_the_way_can_be_taken_back(project: Path) -> None:
    died(project, ("twin.promotion.apply", "forwarded", "after"), "apply")
    run(project, "git", "tag", "twin@v0.0.1")
    with pytest.raises(ProvenanceError, match="what follows from it is not: .*twin@v0.0.1"):
        apply(project, verified)
    assert rollback(project).tags == []
    run(project, "git", "tag", "--delete", "twin@v0.0.1")
    assert not (project / "models/champion/adapter").exists()
    assert yaml.safe_load((project / "params.yaml").read_text())["promote"]["champion"] is None


def test_overrides_in_params_and_a_refusing_git_change_nothing(project: Path) -> None:
    parameters = project / "params.yaml"
    text = parameters.read_text()
    parameters.write_text(text.replace("0.05", "0.07"))
    run(project, "git", "commit", "--quiet", "--all", "--message", "An override")
    refused(project, "`python -m stages.config check` failed: ConfigError: params.yaml is not what conf", verified)
    parameters.write_text(text)
    run(project, "git", "commit", "--quiet", "--all", "--message", "No override")
    run(project, "git", "config", "user.email", "")
    run(project, "git", "config", "user.useConfigOnly", "true")
    hook = project / ".git/hooks/pre-commit"
    hook.write_text("#!/bin/sh\necho no >&2\nexit 1\n")
    hook.chmod(0o755)
    refused(project, "`git commit` failed: no", verified)


def test_a_champion_that_was_set_by_hand_is_not_rolled_back(project: Path) -> None:
    apply(project, verified)
    path = project / "conf/promote/standard.yaml"
    path.write_text(with_entry(path.read_text(), entry_for("f" * 64)))
    run(project, "git", "commit", "--quiet", "--all", "--message", "Another champion")
    with pytest.raises(ProvenanceError, match="names ffffffffffff as champion, the last promotion .* changed by hand"):
        rollback(project)
    run(project, "git", "rm", "--quiet", "models/champion/adapter.dvc")
    run(project, "git", "commit", "--quiet", "--message", "By hand")
    with pytest.raises(ProvenanceError, match=r"adapter\.dvc was changed in .*, not by `twin promote`"):
        rollback(project)


@pytest.mark.parametrize(("decision", "status"), [("HOLD", 10), ("REJECT", 20)])
def test_what_is_not_promoted_exits_with_its_status_and_changes_nothing(
    project: Path, monkeypatch: pytest.MonkeyPatch, decision: str, status: int
) -> None:
    decided(project, decision=decision)
    before = state(project)
    monkeypatch.setattr(command, "project_root", lambda _: project)
    with pytest.raises(command.typer.Exit) as left:
        command.promote(act=True)
    assert left.value.exit_code == status
    refused(project, f"the decision is {decision}: `twin promote` says why", verified)
    assert state(project) == before


def test_the_command_says_what_it_did_and_how_to_undo_it(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "project_root", lambda _: project)
    monkeypatch.setattr(command, "apply", lambda root: applying.apply(root, verified))
    command.promote(act=True)
    told = capsys.readouterr().out
    assert "tags           twin#champion#1, twin@v0.0.1" in told and "undo it        twin promote --rollback" in told
    assert "dvc repro judges against the new champion" in told
    command.promote(act=True)
    assert "applied        already" in capsys.readouterr().out
    command.promote(back=True)
    told = capsys.readouterr().out
    assert "there is no champion now" in told and "undo it        twin promote --apply" in told
    with pytest.raises(ConfigError, match="three things to do"):
        command.promote(act=True, back=True)


def test_typed_as_the_pages_show_a_champion_is_listed_fetched_and_taken_back(project: Path) -> None:
    apply(project, verified)
    assert "v0.0.1" in said("gto show", project)
    said("dvc artifacts get . twin --stage champion", project)
    assert (project / "adapter/adapters.safetensors").read_text() == "a"
    shutil.rmtree(project / "adapter")
    assert "there is no champion now" in said("twin promote --rollback", project)
    assert champion(project) == (None, None, "latest v0.0.1")


def test_trailers_are_those_of_the_last_paragraph() -> None:
    assert read_trailers("A title\n\nRun: not this\n\n" + message("t", {"Run": "1", "Scope": "x: y"})) == {
        "Run": "1",
        "Scope": "x: y",
    }


def test_only_the_entry_of_the_champion_changes_and_it_stays_text() -> None:
    name = "1" * 62 + "e5"
    text = with_entry(CONF, entry_for(name))
    assert champion_of(text) == name and "# of the person" in text
    assert with_entry(text, entry(CONF)) == CONF
    with pytest.raises(ConfigError, match="2 lines start with champion:"):
        entry("champion: null\nchampion: null\n")
