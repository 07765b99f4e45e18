"""Parts share no conversation and no reply worth memorising, follow time, and say when they are too weak."""

import dataclasses
import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rapidfuzz.fuzz import ratio

from stages import split as stage
from stages.split import PARTS, Parts, reply, split
from twin.config.split import SplitConfig
from twin.errors import ConfigError, DataError
from twin.files import read_json, read_jsonl, write_jsonl
from twin.text import normalise

START = datetime(2024, 1, 1, tzinfo=UTC)
CONFIG = SplitConfig(
    train=0.80,
    valid=0.05,
    cal=0.07,
    test=0.08,
    near_duplicate_ratio=90,
    near_duplicate_characters=30,
    stock_conversations=3,
    purge_share_max=0.30,
    reply_characters_max=200,
    prompt_characters_max=None,
)
LOOSE = dataclasses.replace(CONFIG, purge_share_max=1.0)
Row = dict[str, Any]


def rows(*conversations: list[str], minutes: list[int] | None = None) -> list[Row]:
    """Return examples; conversation n starts at `minutes[n]`, by default in the order given."""
    starts = minutes or list(range(len(conversations)))
    return [
        {
            "id": f"c{n}-{m}",
            "conversation_id": f"c{n:03}",
            "conversation_started_at": (START + timedelta(minutes=starts[n])).isoformat(timespec="microseconds"),
            "messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": text}],
        }
        for n, texts in enumerate(conversations)
        for m, text in enumerate(texts)
    ]


def numbered(conversations: int, replies: int = 1) -> list[Row]:
    return rows(*[[f"reply {n} {m}" for m in range(replies)] for n in range(conversations)])


def sizes(parts: Parts) -> list[int]:
    return [len(parts[name]) for name in PARTS]


def ids(part: list[Row]) -> list[str]:
    return list(dict.fromkeys(row["conversation_id"] for row in part))


def test_the_shares_are_of_replies_oldest_first() -> None:
    parts, metrics = split(numbered(100), CONFIG)
    assert sizes(parts) == [80, 5, 7, 8]
    assert ids(parts["train"])[0] == "c000"
    assert ids(parts["test"])[-1] == "c099"
    assert metrics["proofs"] == {"conversations_in_two_parts": 0, "near_duplicates_left": 0, "time_order": True}


def test_equal_start_times_are_ordered_by_id_whatever_the_order_of_rows() -> None:
    examples = rows(*[[f"reply {n}"] for n in range(20)], minutes=[0] * 20)
    parts, metrics = split(examples[::-1], CONFIG)
    assert [ids(parts[name]) for name in PARTS] == [
        [f"c{n:03}" for n in range(start, stop)] for start, stop in ((0, 16), (16, 17), (17, 19), (19, 20))
    ]
    assert metrics["proofs"]["time_order"] is True


def test_order_is_that_of_first_turns_and_not_of_the_file() -> None:
    parts, _ = split(rows(*[[f"reply {n}"] for n in range(10)], minutes=list(range(9, -1, -1))), CONFIG)
    assert ids(parts["test"]) == ["c000"]
    assert ids(parts["train"])[0] == "c009"


@pytest.mark.parametrize("place", [0, 5, 9])
def test_one_huge_conversation_stays_whole_and_no_part_is_empty(place: int) -> None:
    texts = [[f"reply {n}"] for n in range(10)]
    texts[place] = [f"huge {m}" for m in range(500)]
    parts, metrics = split(rows(*texts), CONFIG)
    assert min(sizes(parts)) > 0
    assert sum(f"c{place:03}" in ids(part) for part in parts.values()) == 1
    assert metrics["proofs"]["conversations_in_two_parts"] == 0


def test_ten_replies_split_and_every_weakness_is_flagged() -> None:
    parts, metrics = split(numbered(10), CONFIG)
    assert sizes(parts) == [6, 1, 2, 1]
    assert metrics["strength"] == {"train": False, "valid": False, "cal": False, "test": False}
    assert metrics["halves"] == {"fit": 1, "cut": 1}


def test_a_large_set_is_strong_and_a_test_of_few_conversations_is_not() -> None:
    _, metrics = split(numbered(400, 8), CONFIG)
    assert metrics["strength"] == {"train": True, "valid": True, "cal": True, "test": True}
    _, metrics = split(numbered(40, 80), CONFIG)
    assert metrics["strength"] == {"train": True, "valid": True, "cal": True, "test": False}


def test_cal_is_halved_by_conversation_into_halves_of_like_size() -> None:
    parts, metrics = split(numbered(200, 7), CONFIG)
    halves: dict[str, set[str]] = {"fit": set(), "cut": set()}
    for row in parts["cal"]:
        halves[row["half"]].add(row["conversation_id"])
    assert not halves["fit"] & halves["cut"]
    assert metrics["halves"] == {"fit": 49, "cut": 49}
    assert not any("half" in row for name in ("train", "valid", "test") for row in parts[name])


LONG = "please rerun the whole migration on staging"


def test_copies_of_judging_replies_leave_train_and_are_counted_by_kind() -> None:
    texts = [[f"reply {n}"] for n in range(20)]
    texts[0] = ["Ship The Fix!", LONG + " now", "short one"]
    texts[1] = ["keep me"]
    texts[17], texts[19] = ["ship the fix"], [LONG, "short ones"]
    parts, metrics = split(rows(*texts), CONFIG)
    learned = [reply(row) for row in parts["train"]]
    assert "Ship The Fix!" not in learned
    assert LONG + " now" not in learned
    assert {"short one", "keep me"} <= set(learned)
    assert metrics["dropped"] == {"prompt_too_long": 0, "reply_too_long": 0, "equal": 1, "similar": 1}
    assert metrics["purge_share"] == round(2 / (len(learned) + 2), 6)
    assert [reply(row) for row in parts["test"]] == [LONG, "short ones"]


def test_stock_phrases_are_kept_and_tagged_everywhere() -> None:
    texts = [[f"reply {n}"] for n in range(20)]
    for n in (0, 1, 2, 19):
        texts[n] = ["Yes.", f"other {n}"]
    for n in (3, 4, 19):
        texts[n] = [*texts[n], "Twice only"]
    parts, metrics = split(rows(*texts), CONFIG)
    tagged = {name: [reply(row) for row in parts[name] if row["stock"]] for name in PARTS}
    assert tagged == {"train": ["Yes."] * 3, "valid": [], "cal": [], "test": ["Yes."]}
    assert "Twice only" not in [reply(row) for row in parts["train"]]
    assert [metrics["parts"][name]["stock"] for name in PARTS] == [3, 0, 0, 1]


def test_a_phrase_said_often_in_one_conversation_is_not_stock() -> None:
    texts = [[f"reply {n}"] for n in range(20)]
    texts[0], texts[19] = ["again"] * 4, ["again"]
    parts, metrics = split(rows(*texts), CONFIG)
    assert metrics["dropped"]["equal"] == 4
    assert not parts["test"][0]["stock"]


def test_data_that_repeat_themselves_are_refused() -> None:
    texts = [[f"reply {n % 10}", f"unique {n}"] for n in range(20)]
    with pytest.raises(
        DataError, match=r"\d+ of 32 replies of train \(\d+%\) equal or resemble.*purge_share_max is 5%"
    ):
        split(rows(*texts), dataclasses.replace(CONFIG, purge_share_max=0.05, stock_conversations=9))


def test_a_train_part_that_is_purged_whole_is_refused() -> None:
    with pytest.raises(DataError, match=r"8 of 8 replies of train \(100%\)"):
        split(rows(*[["the same"]] * 12), dataclasses.replace(LOOSE, stock_conversations=20, train=0.75, valid=0.1))


def test_replies_that_are_too_long_are_dropped_and_counted() -> None:
    texts = [[f"reply {n}", "x" * 201, f"{n:010}" + "y" * 190] for n in range(20)]
    parts, metrics = split(rows(*texts), LOOSE)
    assert metrics["dropped"]["reply_too_long"] == 20
    assert max(len(reply(row)) for part in parts.values() for row in part) == 200


def test_replies_to_prompts_beyond_the_bound_are_dropped_and_counted() -> None:
    examples = rows(*[[f"reply {n}", f"other {n}"] for n in range(20)])
    longest = max(sum(len(message["content"]) for message in row["messages"][:-1]) for row in examples)
    examples[3]["messages"][-2]["content"] += "x" * longest
    _, metrics = split(examples, dataclasses.replace(LOOSE, prompt_characters_max=longest))
    assert metrics["dropped"]["prompt_too_long"] == 1
    assert sum(part["replies"] for part in metrics["parts"].values()) == len(examples) - 1


@pytest.mark.parametrize("conversations", [0, 1, 4])
def test_too_few_conversations_for_four_parts_are_refused(conversations: int) -> None:
    with pytest.raises(DataError, match=f"{conversations} replies in {conversations} conversations leave a part empty"):
        split(numbered(conversations), CONFIG)


def test_shares_that_do_not_sum_to_one_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"train \+ valid \+ cal \+ test is 0.9; the four shares must sum to 1"):
        split(numbered(10), dataclasses.replace(CONFIG, train=0.7))


words = st.sampled_from(
    ["yes", "Yes.", "ship it", LONG, LONG + "!", LONG + " now", LONG + " please", "no", "revert that"]
)
talk = st.lists(words | st.text("ab ", min_size=1, max_size=40), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None)
@given(st.lists(talk, min_size=5, max_size=16), st.data())
def test_adversarial_data_never_break_a_promise(texts: list[list[str]], data: st.DataObject) -> None:
    minutes = data.draw(st.lists(st.integers(0, 3), min_size=len(texts), max_size=len(texts)))
    examples = rows(*texts, minutes=minutes)
    try:
        parts, metrics = split(data.draw(st.permutations(examples)), LOOSE)
    except DataError as error:
        assert "(100%)" in str(error)  # noqa: PT017 - duplicates everywhere may leave nothing to learn
        return
    assert metrics["proofs"] == {"conversations_in_two_parts": 0, "near_duplicates_left": 0, "time_order": True}
    assert sum(sizes(parts)) == len(examples) - metrics["dropped"]["equal"] - metrics["dropped"]["similar"]
    judging = [normalise(reply(row)) for name in PARTS[1:] for row in parts[name]]
    for row in parts["train"]:
        plain = normalise(reply(row))
        assert row["stock"] or not any(near(plain, other) for other in judging)
    assert min(sizes(parts)) > 0
    assert set(Counter(row["half"] for row in parts["cal"])) == {"fit", "cut"}


def near(one: str, two: str) -> bool:
    return one == two or (min(len(one), len(two)) >= 30 and ratio(one, two) >= 90)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.text("ab", min_size=1, max_size=60), max_size=12),
    st.lists(st.text("ab", min_size=1, max_size=60), max_size=12),
)
def test_the_search_in_blocks_finds_what_all_pairs_find(ours: list[str], theirs: list[str]) -> None:
    config = dataclasses.replace(CONFIG, near_duplicate_ratio=70, near_duplicate_characters=5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "BLOCK", 3)
        found = set(stage._similar(ours, theirs, config))
    long_enough = [text for text in theirs if len(text) >= 5]
    assert found == {text for text in ours if len(text) >= 5 and any(ratio(text, other) >= 70 for other in long_enough)}


def test_the_stage_writes_four_files_and_its_proofs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stage, "load", lambda section: CONFIG)
    write_jsonl(stage.EXAMPLES, numbered(50, 2))
    stage.main()
    parts = {name: read_jsonl(stage.SPLIT / f"{name}.jsonl") for name in PARTS}
    assert sum(sizes(parts)) == 100
    assert all(row["split"] == name for name, part in parts.items() for row in part)
    metrics = read_json(stage.METRICS)
    assert metrics["parts"]["test"] == {"replies": len(parts["test"]), "conversations": 4, "stock": 0}
    assert "null" not in json.dumps(metrics)
