"""Proves the evaluation as a stage: files in, the same bytes out each time, and nothing where nothing was measured."""

import csv
import functools
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

import stages.evaluate as stage
from stages.evaluate.alarms import secrets
from stages.evaluate.judgement import Judgement
from stages.evaluate.private import private_numbers
from stages.evaluate.replies import Reply, real_replies
from stages.evaluate.report import Tree
from tests import persona
from tests.structure import ROOT
from twin.config.evaluate import EvaluateConfig
from twin.errors import DataError
from twin.files import write_json, write_jsonl, write_text

CONFIG = EvaluateConfig(draws=300, seed=1, bucket_replies=99)
Row = dict[str, Any]


@functools.cache
def metrics() -> Any:
    return evaluated(persona.splits())[0]


def evaluated(parts: dict[str, list[Row]], config: EvaluateConfig = CONFIG) -> tuple[Tree, Judgement]:
    data = stage.gather(parts, persona.generations(parts))
    made = stage.evaluate(data, persona.likelihoods(parts), {}, config)
    return made.metrics, made.judgement


def leaves(tree: Any) -> list[Any]:
    return [leaf for value in tree.values() for leaf in leaves(value)] if isinstance(tree, dict) else [tree]


def test_the_twin_scores_like_the_person_and_the_base_does_not() -> None:
    found = metrics()["rubric_test"]["all"]
    assert found["B0"]["value"] < 0.2
    assert found["X"]["value"] > 2.3
    assert found["X_over_B0"]["lower"] > 1.0
    assert found["X_similarity"]["floor"] == found["B0"]["value"]
    assert found["X_similarity"]["ceiling"] == found["R"]["value"]
    assert metrics()["instrument"]["state"] == "PASS"


def test_choices_alarms_memory_and_fixed_prompts_have_bounds_and_a_view_without_stock_phrases() -> None:
    real = 90 - metrics()["counts"]["test_stock_replies"]
    for view, n in ((metrics()["alarms"], 90), (metrics()["alarms"]["without_stock"], real)):
        for name in ("degenerate", "slop", "rare_copy", "duplicate"):
            assert {"value", "lower", "upper", "n"} <= set(view[name]["X"])
            assert view[name]["R"]["n"] == n
    chosen = metrics()["context_choice"]
    assert {"X", "B0", "without_stock"} == set(chosen)
    assert chosen["without_stock"]["X"]["n"] < chosen["X"]["n"]
    without = metrics()["memorisation"]["without_stock"]
    assert without["lower"] < without["auc"] < without["upper"]
    for view in (metrics()["gap"], metrics()["gap"]["without_stock"]):
        assert view["closed"]["lower"] < view["closed"]["value"] < view["closed"]["upper"]
        assert view["auc"]["X"]["lower"] <= view["auc"]["X"]["value"] <= view["auc"]["X"]["upper"]
    assert metrics()["gap"]["without_stock"]["closed"]["n"] == real
    fixed = metrics()["protocol10"]["X"]
    assert fixed["lower"] <= fixed["value"] <= fixed["upper"]
    assert fixed["n"] == fixed["clusters"] == 10


def test_the_gain_over_the_prompted_base_is_the_half_nat_that_was_put_in() -> None:
    gain = metrics()["likelihood"]["all"]["bits_per_token_gain_over_B1"]
    assert gain["lower"] < 0.5 / 0.6931 < gain["upper"]
    assert gain["clusters"] == 30


def test_what_was_put_into_the_likelihoods_is_found_again() -> None:
    memory, chosen = metrics()["memorisation"], metrics()["context_choice"]
    assert 0.6 < memory["lower"] < memory["auc"] < memory["upper"] < 0.9
    assert chosen["X"]["lower"] > 0.7
    assert chosen["B0"]["lower"] < 0.25 < chosen["B0"]["upper"]
    assert metrics()["side_by_side"]["wins"] > 15


def test_metrics_hold_finite_numbers_words_and_truths_only() -> None:
    assert all(isinstance(leaf, str | bool | int | float) for leaf in leaves(metrics()))
    assert json.loads(json.dumps(metrics(), allow_nan=False)) == metrics()


def test_every_view_is_given_without_stock_phrases_too() -> None:
    for name in ("rubric_test", "likelihood", "length"):
        assert set(metrics()[name]) == {"all", "without_stock"}
    assert metrics()["rubric_test"]["without_stock"]["R"]["n"] == 90 - metrics()["counts"]["test_stock_replies"]


def test_too_little_calibration_leaves_the_rubric_unknown_and_without_numbers() -> None:
    found, judgement = evaluated(persona.splits(), EvaluateConfig(draws=300, seed=1, bucket_replies=151))
    instrument = found["instrument"]
    assert isinstance(instrument, dict)
    assert instrument["state"] == "UNKNOWN"
    assert "150 real replies in the cut half of cal" in instrument["why"]
    assert not {"rubric_test", "protocol10"} & set(found)
    assert all("score" not in row for row in judgement.rows)


def test_each_reply_of_each_arm_has_its_score_with_the_rules_that_capped_it() -> None:
    parts = persona.splits()
    _, judgement = evaluated(parts)
    rows = {(row["prompt_set"], row["arm"], row["prompt_id"]): row for row in judgement.rows}
    assert len(rows) == len(judgement.rows) == 10 * 3 + 90 * 4 + 20 * 4 + 10 + 29 * 10
    slop = rows["self_test", "adversary/slop_opener", "deploy"]
    assert slop["cap"] == 0
    assert "slop_hard_twice" in slop["rules"]  # type: ignore[operator]
    assert str(slop["text"]).startswith("Great question!")


def test_an_arm_that_answers_other_prompts_is_refused() -> None:
    parts = persona.splits()
    rows = persona.generations(parts)
    missing = next(row for row in rows if row["arm"] == "X" and row["prompt_set"] == "test")
    rows.remove(missing)
    with pytest.raises(DataError, match="arm X does not answer the 90 test prompts that B0 answers"):
        stage.gather(parts, rows)


def test_a_run_without_the_base_is_refused() -> None:
    parts = persona.splits()
    rows = [row for row in persona.generations(parts) if row["arm"] != "B0"]
    with pytest.raises(DataError, match="arm B0 answers no test prompt"):
        stage.gather(parts, rows)


def test_a_secret_in_a_reply_is_counted() -> None:
    leaky = Reply(
        "test", "one", "c", "X", "use ghp_abcdefghij0123456789klmnopqrstuvwxyz and mail ann@example.org", "ok?"
    )
    assert secrets([leaky, *real_replies(persona.splits()["test"])[:3]]) == {"hits": 2, "n": 4}


@pytest.mark.parametrize(
    ("text", "hits"),
    [
        ("call me at +49 170 1234567", 1),
        ("or 0049 (30) 123-4567.", 1),
        ("my number is 415-555-0132", 1),
        ("(415) 555-0132 works too", 1),
        ("ssn 078-05-1120", 1),
        ("the door code is 123456, pin: 4321", 2),
        ("exit code 123456, error code 10054", 0),
        ("2026-11-30 05:19, 10.0.0.12:5432, build 415.555.0132.7, +1 -1, 100-200-3000", 0),
        ("000-12-3456 and a1b2c3d4-0078-4a5b-1120-123456789012", 0),
        ("raise it by 1000000000 to 4294967296, see #415-555", 0),
    ],
)
def test_private_numbers_are_counted_and_other_numbers_are_not(text: str, hits: int) -> None:
    assert secrets([Reply("test", "one", "c", "X", text, "ok?")])["hits"] == hits
    assert private_numbers(text) == hits


def test_no_reply_of_the_demos_person_holds_a_private_number() -> None:
    with gzip.open(ROOT / "data/raw/demo/memory_turns.csv.gz", "rt", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) > 1000
    assert [row for row in rows if private_numbers(row["content_text"])] == []


def test_every_draw_of_the_twin_is_searched_for_secrets() -> None:
    parts = persona.splits()
    rows = persona.generations(parts)
    first = next(row for row in rows if row["arm"] == "X" and row["prompt_set"] == "protocol")
    drawn = [first | {"sample": 1, "text": "ann@example.org"}, first | {"arm": "B0", "text": "bob@example.org"}]
    data = stage.gather(parts, rows, drawn)
    found: Any = stage.evaluate(data, persona.likelihoods(parts), {}, CONFIG).metrics
    twins = sum(row["arm"] == "X" for row in rows)
    assert found["secrets"]["X"] == {"hits": 1, "n": twins + 1}


def test_the_stage_writes_the_same_bytes_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    parts = persona.splits()
    for name, rows in parts.items():
        write_jsonl(tmp_path / f"data/split/{name}.jsonl", rows)
    write_jsonl(tmp_path / "data/generate/generations.jsonl", persona.generations(parts))
    write_jsonl(tmp_path / "data/generate/nll.jsonl", persona.likelihoods(parts))
    write_jsonl(tmp_path / "data/generate/further.jsonl", [])
    write_jsonl(tmp_path / "data/generate/live.jsonl", [])
    write_jsonl(tmp_path / "data/generate/reminders.jsonl", [])
    write_json(tmp_path / "data/generate/decoding.json", {})
    write_jsonl(tmp_path / "data/split/canaries.jsonl", [])
    write_text(tmp_path / "params.yaml", "evaluate: {draws: 300, seed: 1, bucket_replies: 99}\n")
    outs = [Path("metrics/evaluate.json"), Path("data/evaluate/scores.jsonl"), Path("data/evaluate/rubric.json")]
    stage.main()
    first = [path.read_bytes() for path in outs]
    stage.main()
    assert [path.read_bytes() for path in outs] == first
    artefact = json.loads(first[2])
    assert artefact["fit"] == {"model": 300, "real": 150}
    assert sum(bucket["replies"] for bucket in artefact["buckets"]) == 150
