"""docs/geometry.md tells the truth: its example is computed here again, its numbers are those of the committed run."""

import json
import re

import numpy as np
import pytest

from tests.structure import ROOT
from twin.cli import app
from twin.config.augment import AugmentConfig, Scalar
from twin.config.load import load
from twin.geometry import REGIMES, Reading, measure
from twin.prompt import PromptRecipe, tag

DOC = (ROOT / "docs/geometry.md").read_text(encoding="utf-8")
FLAT = " ".join(DOC.split())
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in DOC.splitlines() if line.startswith("|")]
STEPS = [row for row in ROWS if row[0].isdigit()]
STATES = np.array([[float(number) for number in re.findall(r"-?\d+", row[1])] for row in STEPS])


def four(value: float) -> str:
    return f"{round(value, 4) + 0.0:.4f}".rstrip("0").rstrip(".")


def test_the_example_has_five_states_on_a_sheet() -> None:
    assert STATES.shape == (5, 2)


def test_every_scalar_of_the_example_is_the_measured_one() -> None:
    told = {row[0]: row[1] for row in ROWS if row[0] in Scalar.__members__}
    assert told == {name: f"{value:.4f}" for name, value in vars(measure(STATES)).items()}
    derived = re.findall(r"= (-?0\.\d{4})\b", DOC)
    assert set(told.values()) - {told["uncertainty"]} <= set(derived)


def test_every_line_of_its_steps_is_computed() -> None:
    moves = np.diff(STATES, axis=0)
    lengths = np.sqrt((moves * moves).sum(axis=1))
    for t, (_, _, step, length, c, u, tension) in enumerate(STEPS):
        commitment = 1 - lengths[t - 1] / lengths.max() if t else 0.5
        uncertainty = measure(STATES[: t + 1]).uncertainty if t else 0.5
        assert (c, u, tension) == (four(commitment), four(uncertainty), four(commitment - uncertainty))
        if t:
            assert [float(number) for number in re.findall(r"-?\d+", step)] == list(moves[t - 1])
            assert float(length) == lengths[t - 1]


def test_the_shown_tag_is_written_by_the_writer_of_prompts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    recipe = PromptRecipe.from_config(load(AugmentConfig))
    assert f"```\n{tag(measure(STATES), recipe)}\n```" in DOC


def test_a_sixth_state_would_change_the_past_as_it_says() -> None:
    found = re.search(r"sixth state follow, \((-?\d+), (-?\d+)\), ten away.*1 − 5/10 = (0\.\d)", FLAT)
    assert found
    moves = np.diff(np.vstack([STATES, [float(found[1]), float(found[2])]]), axis=0)
    lengths = np.sqrt((moves * moves).sum(axis=1))
    assert lengths[-1] == 10 and 1 - lengths[3] / lengths.max() == float(found[3])


@pytest.mark.parametrize(
    "reading",
    [
        Reading(0.9, 0.1, 0.51, 0.1, 0, 0, 0), Reading(0.9, 0.61, 0.5, 0.51, 0, 0, 0),
        Reading(0.71, 0.29, 0, 0.39, 0, 0, 0), Reading(0.51, 0.49, 0, 0.9, 0, 0, 0), Reading(0.5, 0.5, 0, 0.4, 0, 0, 0),
    ],
    ids=REGIMES,
)  # fmt: skip
def test_the_rules_of_the_regimes_are_those_of_the_code(reading: Reading) -> None:
    rules = FLAT.split("**The regime** is the first of these that holds:")[1].split("Here none")[0]
    c, u, p, r = (getattr(reading, Scalar(letter).name) for letter in "cupr")
    for rule in rules.split(";")[:-1]:
        conditions = " and ".join(re.findall(r"`(.*?)`", rule))
        if eval(conditions, {"c": c, "u": u, "p": p, "r": r}):
            assert reading.regime == rule.split()[-1]
            return
    assert reading.regime == rules.rstrip(" .").split()[-1]


def test_its_numbers_of_the_demo_are_those_of_the_committed_run() -> None:
    gains = json.loads((ROOT / "metrics/split.json").read_text())["tag_value"]
    act, length = (
        [f"{gains[kind][name]:+.2f}" for name in ("gain_bits", "low_bits", "high_bits")]
        for kind in ("act", "length_bucket")
    )
    assert f"act {act[0]} (95 % bounds {act[1]} to {act[2]})" in FLAT
    assert f"length bucket {length[0]} ({length[1]} to {length[2]})" in FLAT
    regimes = json.loads((ROOT / "metrics/augment.json").read_text())["regimes"]
    assert f"{regimes['stalled'] / sum(regimes.values()):.0%}".replace("%", " %") + " of the demo's replies" in FLAT
    assert (regimes["transitioning"] == 0) == ("no decision point is found" in FLAT)


def test_its_choices_presets_and_commands_exist() -> None:
    for name in ("hashing", "minilm", "states"):
        assert (ROOT / f"conf/augment/embedder/{name}.yaml").exists()
    for name in re.findall(r"tags_\w+", DOC):
        assert (ROOT / f"conf/experiment/{name}.yaml").exists()
    commands = {command.callback.__name__ for command in app.registered_commands if command.callback}
    assert set(re.findall(r"^twin (\w+)", DOC, flags=re.MULTILINE)) <= commands


def test_it_is_a_page_and_not_a_book() -> None:
    assert len(DOC.splitlines()) <= 150
    assert max(map(len, DOC.splitlines())) <= 120
