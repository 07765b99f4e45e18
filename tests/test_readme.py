"""The README tells the truth: its folders, commands, choices and numbers are those of the repository."""

import json
import re

import pytest

from tests.structure import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
SHELL = "\n".join(re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL))


def test_every_folder_of_the_tree_exists() -> None:
    tree = README.split("## The house")[1].split("```")[1]
    folders = re.findall(r"^(\S+/)\s", tree, flags=re.MULTILINE)
    assert len(folders) > 5
    assert [folder for folder in folders if not (ROOT / folder).is_dir()] == []


def test_every_make_target_and_subcommand_exists() -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert set(re.findall(r"make ([a-z]+)", SHELL)) <= set(targets)
    commands = {path.stem for path in (ROOT / "twin/cli").glob("*.py")}
    assert set(re.findall(r"\btwin ([a-z]+)", SHELL)) <= commands


@pytest.mark.parametrize("choice", sorted(set(re.findall(r"-S '?\+?([a-z/]+=[\w.]+)", README))))
def test_every_choice_exists(choice: str) -> None:
    group, name = choice.split("=")
    assert (ROOT / "conf" / group / f"{name}.yaml").exists()


def test_the_shown_result_is_that_of_the_committed_run() -> None:
    metrics = json.loads((ROOT / "metrics/evaluate.json").read_text())
    decision = json.loads((ROOT / "metrics/decision.json").read_text())
    test = metrics["rubric_test"]["all"]
    means = ", ".join(
        f"{name} {test[arm]['value']:.2f}"
        for arm, name in {"B0": "base", "B1": "prompted base", "X": "twin", "R": "person"}.items()
    )
    gain = metrics["likelihood"]["all"]["bits_per_token_gain_over_B1"]
    flat = " ".join(README.split())
    assert means in flat
    assert f"{gain['value']:+.2f} (95 % bounds {gain['lower']:+.2f} to {gain['upper']:+.2f})" in flat
    assert f"Decision {decision['decision']}" in flat
    assert [reason for reason in decision["reasons"] if reason not in flat] == []


def test_the_shown_use_of_facts_is_that_of_the_committed_run() -> None:
    facts = json.loads((ROOT / "metrics/evaluate.json").read_text())["facts"]
    asked, said = facts["reminders"], facts["reminders"]["said"]
    assert said["X"]["hits"] == 0 and asked["said_more"]["lower"] > 0
    flat = " ".join(README.split())
    assert f"Asked for {asked['n']} facts, it says {said['F']['hits']} with the graph and none without" in flat
    assert facts["rubric"]["voice"] == "no worse" and "facts make its voice no worse" in flat


def test_the_committed_demo_changes_voice_and_is_held() -> None:
    metrics = json.loads((ROOT / "metrics/evaluate.json").read_text())
    assert metrics["likelihood"]["all"]["bits_per_token_gain_over_B0"]["lower"] > 0
    assert metrics["rubric_test"]["all"]["X_over_B0"]["value"] >= 1.0
    assert json.loads((ROOT / "metrics/decision.json").read_text())["decision"] == "HOLD"
