"""The proofs are of the files as they stand: each kind of wrong row shows, whoever wrote it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from stages.split.parts import PARTS
from stages.split.proofs import prove
from tests.split_rows import CONFIG, LONG, Parts, Row, numbered, parted
from twin.errors import DataError
from twin.files import write_jsonl

SOUND = {"conversations_in_two_parts": 0, "near_duplicates_left": 0, "time_order": True, "stock_tags_wrong": 0}


def proofs(folder: Path, change: Callable[[Parts], object]) -> Row:
    """Return the proofs that differ from those of sound parts once `change` has been at the rows."""
    parts, _ = parted(numbered(50, 2))
    change(parts)
    for name in PARTS:
        write_jsonl(folder / f"{name}.jsonl", parts[name])
    found = prove(folder, CONFIG)["proofs"]
    return {name: value for name, value in found.items() if value != SOUND[name]}


def says(row: Row, text: str, stock: bool = False) -> None:
    row["messages"][-1]["content"] = text
    row["stock"] = stock


def test_sound_parts_have_sound_proofs(tmp_path: Path) -> None:
    assert proofs(tmp_path, lambda parts: None) == {}


def test_a_row_of_a_conversation_in_another_part_shows(tmp_path: Path) -> None:
    found = proofs(tmp_path, lambda parts: parts["valid"].append(parts["train"].pop()))
    assert found == {"conversations_in_two_parts": 1, "time_order": False}


def test_parts_out_of_order_show(tmp_path: Path) -> None:
    def swap(parts: Parts) -> None:
        parts["valid"], parts["test"] = parts["test"], parts["valid"]

    assert proofs(tmp_path, swap) == {"time_order": False}


@pytest.mark.parametrize("part", PARTS[1:])
def test_every_row_of_train_that_a_judging_part_repeats_shows(tmp_path: Path, part: str) -> None:
    def repeat(parts: Parts) -> None:
        says(parts[part][0], LONG)
        for row, text in zip(
            parts["train"], (LONG.upper() + "!", LONG + " now", LONG + " now", LONG[:20]), strict=False
        ):
            says(row, text)

    assert proofs(tmp_path, repeat) == {"near_duplicates_left": 3}


def test_stock_phrases_may_repeat_and_a_false_tag_shows(tmp_path: Path) -> None:
    def repeat(parts: Parts) -> None:
        for row in (*parts["train"][:6:2], parts["test"][0]):
            says(row, LONG, stock=True)

    def lie(parts: Parts) -> None:
        repeat(parts)
        parts["train"][1]["stock"] = True
        parts["test"][0]["stock"] = False

    assert proofs(tmp_path, repeat) == {}
    assert proofs(tmp_path, lie) == {"stock_tags_wrong": 2}


def test_sizes_and_strength_are_those_of_the_files(tmp_path: Path) -> None:
    parts, metrics = parted(numbered(400, 8))
    for name in PARTS:
        write_jsonl(tmp_path / f"{name}.jsonl", parts[name])
    write_jsonl(tmp_path / "test.jsonl", parts["test"][:59])
    found = prove(tmp_path, CONFIG)
    assert metrics["strength"]["test"] and not found["strength"]["test"]
    assert found["parts"]["test"]["replies"] == 59


def test_a_part_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="train.jsonl is missing"):
        prove(tmp_path, CONFIG)
