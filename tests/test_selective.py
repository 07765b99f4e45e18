"""Proves the stage on a twin that says when it is unsure: its confidence is found, written and read by a live reply; an
arm that says the facts it is shown is seen to."""

import random
from pathlib import Path
from typing import Any

import pytest

import stages.evaluate as stage
from tests import persona
from twin.confidence import Calibration, Saying
from twin.files import read_json, write_json, write_jsonl, write_text

Row = dict[str, Any]


def saying(prompt_set: str, row: Row, dice: random.Random) -> Row:
    """Say what the person might and be sure, or what an assistant might and be unsure."""
    own = dice.random() < 0.6
    text = persona.terse(dice) if own else persona.wordy(dice)
    tokens = len(text.split())
    nats = (tokens + 1) * max(0.1, dice.gauss(0.6 if own else 1.6, 0.25))
    known = {"prompt_set": prompt_set, "prompt_id": row["id"], "arm": "X", "text": text, "stopped": True}
    return known | {"tokens": tokens, "nats": nats, "worst_nats": 3 * nats / (tokens + 1)}


def informed(prompt_set: str, name: str, text: str) -> Row:
    facts = [["thing", "owned_by", "zebediah-quux", 0.9]]
    return {"prompt_set": prompt_set, "prompt_id": name, "arm": "F", "text": text, "stopped": True, "facts": facts}


def reminded(arm: str, name: str) -> Row:
    """Be right about all but one with facts, and about none without."""
    text = "its Zebediah Quux, ask him" if arm == "F" and name != "d" else "zebediah"
    return {"prompt_id": name, "arm": arm, "text": text, "asked": [name, "owned_by", "zebediah-quux", 0.9]}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    folder, dice, parts = tmp_path_factory.mktemp("selective"), random.Random(5), persona.splits()
    for name, rows in parts.items():
        write_jsonl(folder / f"data/split/{name}.jsonl", rows)
    test = {row["id"]: saying("test", row, dice) for row in parts["test"]}
    said = [
        test[row["prompt_id"]] if (row["arm"], row["prompt_set"]) == ("X", "test") else row
        for row in persona.generations(parts)
    ]
    shown = [
        informed(name, row["id"], f"{row['messages'][-1]['content']} zebediah quux")
        for name, rows in (("test", parts["test"]), ("cal", parts["cal"][:8]))
        for row in rows
    ]
    shown += [informed("protocol", name, "go") for name in ("deploy", "review")]
    write_jsonl(folder / "data/generate/generations.jsonl", said)
    write_jsonl(folder / "data/generate/live.jsonl", [*(saying("cal", row, dice) for row in parts["cal"]), *shown])
    write_jsonl(folder / "data/generate/reminders.jsonl", [reminded(arm, name) for arm in "FX" for name in "abcd"])
    write_json(folder / "data/generate/decoding.json", {"run_id": "run", "temperature": 0.0})
    write_jsonl(folder / "data/generate/nll.jsonl", persona.likelihoods(parts))
    for name in ("data/generate/further.jsonl", "data/split/canaries.jsonl"):
        write_jsonl(folder / name, [])
    write_text(folder / "params.yaml", "evaluate: {draws: 200, seed: 1, bucket_replies: 99}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        stage.main()
    return folder, read_json(folder / "metrics/evaluate.json")


def test_a_twin_that_knows_when_it_is_unsure_is_told_apart(found: tuple[Path, Any]) -> None:
    tree = found[1]["selective"]
    assert (tree["state"], tree["tells_apart"]) == ("PASS", True)
    assert tree["label"] == "rubric at least 2; no labeller of acts can be trusted"
    assert tree["test"]["ece"] < 0.15 and tree["test"]["aurc"] < tree["test"]["aurc_by_chance"] - 0.1
    assert tree["cal"]["n"] == 300 and tree["test"]["n"] == 90
    at = tree["at_cal_threshold"]["0.2"]
    assert at["coverage"] > 0.3 and at["risk"] < 0.35


def test_what_was_fitted_is_what_a_live_reply_reads(found: tuple[Path, Any]) -> None:
    read = Calibration.read(found[0] / "data/evaluate")
    assert read is not None and (read.confidence.run_id, read.confidence.temperature) == ("run", 0.0)
    (distance,) = read.questions.distances([persona.wordy(random.Random(1))])
    sure = Saying("Shall I?", "ok ship it", 3, 4 * 0.5, 1.5, distance)
    unsure = Saying("Shall I?", persona.wordy(random.Random(2)), 30, 31 * 1.8, 5.4, distance)
    assert read.confidence.probability(sure) > 0.7
    assert read.confidence.probability(unsure) < 0.3


def test_an_arm_that_says_its_facts_is_seen_to(found: tuple[Path, Any]) -> None:
    tree = found[1]["facts"]
    assert (tree["n"], tree["facts_shown"]) == (100, 1.0)
    assert tree["used"] == pytest.approx({"F": 98 / 100, "X": 0.0}) and tree["used_more"]["lower"] > 0.9
    assert tree["path_reward_of_used"] == pytest.approx(0.2 + 0.45 * 0.9 + 0.05 / 98)
    assert tree["reminders"]["n"] == 4 and tree["reminders"]["said_more"]["value"] == 0.75
    assert [tree["reminders"]["said"][arm]["hits"] for arm in "FX"] == [3, 0]
    assert tree["rubric"]["margin"] == 0.25 and tree["rubric"]["voice"] in ("no worse", "worse", "inconclusive")


def test_without_live_rows_the_confidence_is_unknown_and_no_file_says_otherwise() -> None:
    parts = persona.splits()
    data = stage.gather(parts, persona.generations(parts))
    made = stage.selective(data, [], stage.Judges(None, None, {}), {}, stage.EvaluateConfig(200, 1, 99))
    assert made.tree == {"state": "UNKNOWN", "why": "there is no rubric to judge the replies"}
    assert made.confidence is None and made.questions is None
