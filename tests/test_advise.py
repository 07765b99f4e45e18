"""Advice follows from the figures it names, and a sweep sets side by side only what was judged alike."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from twin import pictures
from twin.advice import Facts, advise, data_or_configuration
from twin.errors import ConfigError, DataError
from twin.plan.advice import matched_rank
from twin.sweep import Series, draw, series, table
from twin.trials import Score, Trial

PARAMS: dict[str, Any] = {
    "adapter": {"rank": 32, "kind": "lora"},
    "optimizer": {"learning_rate": 5e-5, "weight_decay": 0.01},
    "model": {"id": "a 7B", "learning_rate_min": 2e-5, "learning_rate_max": 8e-5},
    "train": {"batch": 1, "accumulate": 8, "min_delta": 0.001},
}
TRAIN: dict[str, Any] = {
    "status": "finished",
    "epochs": 1.4,
    "updates": {"run": 500, "best": 500, "skipped": 0},
    "supervised_tokens": {"train": 150_000},
    "adapter": {"parameters": 57_000_000},
    "valid": {"masked_nats_per_token": {"initial": 3.0, "best": 2.0, "last": 2.0}},
}
FLAT = ((475, 2.0005), (500, 2.0))
FACTS = Facts(
    params=PARAMS,
    ingest={"rows": {"in": 100, "out": 99}},
    split={"strength": {"train": True, "test": True}},
    train=TRAIN,
    evaluate={},
    decision={"decision": "HOLD", "gates": {}},
    curve=FLAT,
    trials=(),
    campaigns={},
)


def trial(name: str, value: float, spread: float = 0.1, judged: str = "x", **params: Any) -> Trial:
    known = {"adapter.rank": 8, "adapter.kind": "lora", "train.seed": 1}
    named = {key.replace("__", "."): one for key, one in params.items()}
    score = Score(value, value - spread, value + spread)
    return Trial(name, known | named, {}, {"rubric": score, "bits": score}, judged)


def told(facts: Facts) -> dict[str, str]:
    return {one.topic: one.advice for one in advise(facts)}


def changed(section: str, **values: Any) -> Facts:
    return replace(FACTS, **{section: getattr(FACTS, section) | values})


def test_where_nothing_stands_out_nothing_is_claimed() -> None:
    assert told(FACTS)["the problem"].startswith("Not known")
    assert told(FACTS)["rank"] == "32, the note's first choice."
    assert told(FACTS)["learning rate"].startswith("Keep it")
    assert told(FACTS)["updates"] == "Enough: the loss no longer falls."


def test_few_tokens_are_a_matter_of_the_data_and_of_the_rank() -> None:
    facts = changed("train", supervised_tokens={"train": 38_000})
    found = data_or_configuration(facts)
    assert found.advice.startswith("The data, not the configuration")
    assert "38,000 supervised tokens" in found.because[0]
    assert told(facts)["rank"].startswith("Try 8 beside 32")


def test_configurations_that_come_out_alike_point_at_the_data() -> None:
    alike = replace(FACTS, trials=(trial("a", 2.0), trial("b", 2.1, adapter__rank=32)))
    found = data_or_configuration(alike)
    assert found.advice.startswith("The data, not the configuration")
    assert "within each other's bounds" in found.because[0]
    apart = replace(FACTS, trials=(trial("a", 1.0), trial("b", 2.1, adapter__rank=32)))
    assert data_or_configuration(apart).advice.startswith("Not known")
    elsewhere = replace(FACTS, trials=(trial("a", 2.0), trial("b", 2.1, judged="y", adapter__rank=32)))
    assert data_or_configuration(elsewhere).because == ()


def test_a_campaign_that_told_nothing_apart_points_at_the_data() -> None:
    rows = [{"name": "winner", "row": "one", "outcome": "inconclusive", "why": "one and two are not told apart"}]
    found = data_or_configuration(replace(FACTS, campaigns={"note": {"rows": rows}}))
    assert "the campaign note, by paired tests: one and two are not told apart" in found.because[0]


def test_a_falling_loss_asks_for_more_updates_and_a_rising_one_for_fewer_and_more_decay() -> None:
    falling = replace(FACTS, curve=((475, 2.1), (500, 2.0)))
    assert told(falling)["updates"] == "More: 1000; the loss still fell."
    assert told(falling)["the problem"].startswith("The configuration")
    rising = replace(changed("train", updates={"run": 500, "best": 300, "skipped": 0}), curve=((300, 2.0), (500, 2.2)))
    assert told(rising)["updates"].startswith("About 300")
    assert told(rising)["weight decay"] == "Higher: 0.05."


@pytest.mark.parametrize(
    ("rate", "status", "advice"),
    [
        (2e-4, "finished", "Back into the range: 4e-05"),
        (5e-5, "diverged", "Lower: 2.5e-05"),
        (5e-5, "stalled", "Higher: 8e-05"),
    ],
)
def test_the_rate_keeps_to_the_range_of_its_base(rate: float, status: str, advice: str) -> None:
    facts = changed("train", status=status)
    facts = replace(facts, params=PARAMS | {"optimizer": {"learning_rate": rate, "weight_decay": 0.01}})
    assert told(facts)["learning rate"].startswith(advice)


def test_a_rank_gives_a_token_as_many_parameters_as_in_the_note() -> None:
    assert [matched_rank(tokens) for tokens in (0, 150_000, 75_000, 38_626, 600_000)] == [1, 32, 16, 8, 128]


def test_seeds_are_one_point_and_other_recipes_other_series() -> None:
    runs = [
        trial("a", 1.0, adapter__rank=8),
        trial("b", 1.4, adapter__rank=8, train__seed=2),
        trial("c", 2.0, adapter__rank=16),
        trial("d", 1.5, adapter__rank=16, adapter__kind="dora"),
        trial("elsewhere", 9.0, judged="y", adapter__rank=32),
    ]
    lora, dora = series(runs, "adapter.rank", "rubric")
    assert (lora.label, dora.label) == ("kind lora", "kind dora")
    assert [(point.x, point.mean, len(point.values)) for point in lora.points] == [
        (8, pytest.approx(1.2), 2),
        (16, 2.0, 1),
    ]
    assert (lora.points[0].lower, lora.points[0].upper) == (pytest.approx(0.9), pytest.approx(1.5))
    assert "2 runs: a, b" in table([lora, dora], "adapter.rank", "rubric")


def test_the_same_run_under_two_names_is_no_second_seed() -> None:
    (only,) = series([trial("a", 1.0), trial("copy", 1.0)], "adapter.rank", "rubric")
    assert len(only.points[0].values) == 1


def test_a_sweep_over_what_is_no_number_or_no_parameter_says_so() -> None:
    with pytest.raises(ConfigError, match=r"rank is a parameter of no finished run\. Did you mean adapter\.rank\?"):
        series([trial("a", 1.0)], "rank", "rubric")
    with pytest.raises(ConfigError, match=r"adapter\.kind is 'lora' in a; only numbers can be drawn"):
        series([trial("a", 1.0)], "adapter.kind", "rubric")
    with pytest.raises(DataError, match=r"no finished run has rubric"):
        series([replace(trial("a", 1.0), scores={})], "adapter.rank", "rubric")


def test_the_picture_is_the_same_bytes_each_time_and_names_both_axes(tmp_path: Path) -> None:
    found: list[Series] = series([trial("a", 1.0), trial("b", 2.0, adapter__rank=16)], "adapter.rank", "rubric")
    for name in ("a.svg", "b.svg"):
        pictures.write(tmp_path / name, lambda: draw(found, "adapter.rank", "rubric"))
    text = (tmp_path / "a.svg").read_text()
    assert (tmp_path / "b.svg").read_text() == text
    assert "adapter.rank" in text
    assert "rubric 0–3 over test prompts" in text
