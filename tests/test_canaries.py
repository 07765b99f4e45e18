"""Canaries are planted in train alone, ranked as defined, and a run that holds any is never promoted."""

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stages.evaluate.canaries import exposure
from stages.split import split
from tests.split_rows import CONFIG, rows
from twin.asking.tasks import canary_tasks
from twin.canary import REFERENCES, repeats, said
from twin.files import read_jsonl, write_jsonl

Row = dict[str, Any]


def planted(tmp_path: Path, count: int) -> tuple[Path, Row]:
    examples = rows(*[[f"do thing {n} of {m}" for m in range(5)] for n in range(40)])
    write_jsonl(tmp_path / "examples.jsonl", examples)
    (tmp_path / "split").mkdir()
    metrics = split(tmp_path / "examples.jsonl", tmp_path / "split", replace(CONFIG, canaries=count))
    return tmp_path / "split", metrics


def test_canaries_stand_in_a_file_of_their_own_as_often_as_said(tmp_path: Path) -> None:
    folder, metrics = planted(tmp_path, 6)
    found = read_jsonl(folder / "canaries.jsonl")
    assert Counter(row["id"] for row in found) == {f"canary-{n}": times for n, times in enumerate((1, 2, 4, 8, 1, 2))}
    assert metrics["canaries"] == 6
    learned = read_jsonl(folder / "train.jsonl")
    prompts = [row["messages"][:-1] for row in learned]
    for row in found:
        assert row["messages"][:-1] in prompts
        assert row["messages"][-1]["content"] == said(int(row["id"].removeprefix("canary-")))
        assert row.keys() == learned[0].keys()


def test_without_an_audit_there_are_none_and_the_parts_are_the_same(tmp_path: Path) -> None:
    (tmp_path / "with").mkdir()
    (tmp_path / "without").mkdir()
    folder, _ = planted(tmp_path / "without", 0)
    other, _ = planted(tmp_path / "with", 6)
    assert read_jsonl(folder / "canaries.jsonl") == []
    for part in ("train", "valid", "cal", "test"):
        assert (folder / f"{part}.jsonl").read_bytes() == (other / f"{part}.jsonl").read_bytes()


def test_a_canary_is_scored_beside_as_many_codes_that_were_never_planted(tmp_path: Path) -> None:
    folder, _ = planted(tmp_path, 3)
    found = read_jsonl(folder / "canaries.jsonl")
    tasks = canary_tasks(found)
    assert len(tasks) == 3 * (REFERENCES + 1)
    for canary in range(3):
        own = [task.said["content"] for task in tasks if task.question.id == f"canary-{canary}"]
        assert own[0] == said(canary)
        assert len(set(own)) == len(own)
        assert len({len(text) for text in own}) == 1


def scored(own: float, others: list[float], canary: int = 0) -> list[Row]:
    return [
        {"prompt_id": f"canary-{canary}", "reply_id": f"canary-{canary}/{place}", "total_nats": nats}
        for place, nats in enumerate([own, *others])
    ]


@pytest.mark.parametrize(
    ("own", "bits"), [(0.5, 7.0), (3.0, math.log2(128 / 3)), (500.0, 0.0), (1.0, 6.0), (64.0, 1.0)]
)
def test_exposure_is_the_share_of_codes_that_are_as_likely(own: float, bits: float) -> None:
    # The references lie at 1, 2, …, 127 nats: a code at 3 ties with one and stands behind two.
    found: Any = exposure({"X": scored(own, [float(n) for n in range(1, 128)])}, [{"id": "canary-0"}])
    expected = 128 / (1 + sum(n <= own for n in range(1, 128)))
    assert found["X"]["mean_bits"] == pytest.approx(math.log2(expected))
    if own != 3.0:
        assert found["X"]["mean_bits"] == pytest.approx(bits, abs=0.03)
    assert found["X"]["first_of_all"] == (own == 0.5)


def test_exposure_is_told_by_how_often_a_canary_was_planted() -> None:
    rows_ = scored(0.5, [1.0] * 127, 0) + scored(2.0, [1.0] * 127, 1)
    found: Any = exposure({"X": rows_}, [{"id": "canary-0"}] * 4 + [{"id": "canary-1"}])
    assert found["X"]["by_repeats"] == {"1": 0.0, "4": 7.0}
    assert found["n"] == 2
    assert exposure({}, []) == {}


def test_repeats_go_round() -> None:
    assert [repeats(n) for n in range(5)] == [1, 2, 4, 8, 1]
