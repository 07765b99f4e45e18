"""Parts share no conversation and no reply worth memorising, follow time, and say when they are too weak."""

import dataclasses
import os
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rapidfuzz.fuzz import ratio

from stages import split as stage
from stages.split.parts import PARTS
from tests.split_rows import CONFIG, LONG, Parts, Row, numbered, parted, rows, said
from twin.errors import ConfigError, DataError, StorageError
from twin.files import read_json, read_jsonl, write_jsonl
from twin.text import normalise

LOOSE = dataclasses.replace(CONFIG, purge_share_max=1.0)
SOUND = {"conversations_in_two_parts": 0, "near_duplicates_left": 0, "time_order": True, "stock_tags_wrong": 0}


def sizes(parts: Parts) -> list[int]:
    return [len(parts[name]) for name in PARTS]


def ids(part: list[Row]) -> list[str]:
    return list(dict.fromkeys(row["conversation_id"] for row in part))


def test_the_shares_are_of_replies_oldest_first() -> None:
    parts, metrics = parted(numbered(100), CONFIG)
    assert sizes(parts) == [80, 5, 7, 8]
    assert ids(parts["train"])[0] == "c000"
    assert ids(parts["test"])[-1] == "c099"
    assert metrics["proofs"] == SOUND


def test_equal_start_times_are_ordered_by_id_whatever_the_order_of_rows() -> None:
    examples = rows(*[[f"reply {n}"] for n in range(20)], minutes=[0] * 20)
    parts, metrics = parted(examples[::-1], CONFIG)
    assert [ids(parts[name]) for name in PARTS] == [
        [f"c{n:03}" for n in range(start, stop)] for start, stop in ((0, 16), (16, 17), (17, 19), (19, 20))
    ]
    assert metrics["proofs"]["time_order"] is True


def test_order_is_that_of_first_turns_and_not_of_the_file() -> None:
    parts, _ = parted(rows(*[[f"reply {n}"] for n in range(10)], minutes=list(range(9, -1, -1))), CONFIG)
    assert ids(parts["test"]) == ["c000"]
    assert ids(parts["train"])[0] == "c009"


@pytest.mark.parametrize("place", [0, 5, 9])
def test_one_huge_conversation_stays_whole_and_no_part_is_empty(place: int) -> None:
    texts = [[f"reply {n}"] for n in range(10)]
    texts[place] = [f"huge {m}" for m in range(500)]
    parts, metrics = parted(rows(*texts), CONFIG)
    assert min(sizes(parts)) > 0
    assert sum(f"c{place:03}" in ids(part) for part in parts.values()) == 1
    assert metrics["proofs"]["conversations_in_two_parts"] == 0


def test_ten_replies_split_and_every_weakness_is_flagged() -> None:
    parts, metrics = parted(numbered(10), CONFIG)
    assert sizes(parts) == [6, 1, 2, 1]
    assert metrics["strength"] == {"train": False, "valid": False, "cal": False, "test": False}
    assert metrics["halves"] == {"fit": 1, "cut": 1}


def test_a_large_set_is_strong_and_a_test_of_few_conversations_is_not() -> None:
    _, metrics = parted(numbered(400, 8), CONFIG)
    assert metrics["strength"] == {"train": True, "valid": True, "cal": True, "test": True}
    _, metrics = parted(numbered(40, 80), CONFIG)
    assert metrics["strength"] == {"train": True, "valid": True, "cal": True, "test": False}


def test_cal_is_halved_by_conversation_into_halves_of_like_size() -> None:
    parts, metrics = parted(numbered(200, 7), CONFIG)
    halves: dict[str, set[str]] = {"fit": set(), "cut": set()}
    for row in parts["cal"]:
        halves[row["half"]].add(row["conversation_id"])
    assert not halves["fit"] & halves["cut"]
    assert metrics["halves"] == {"fit": 49, "cut": 49}
    assert not any("half" in row for name in ("train", "valid", "test") for row in parts[name])


def test_copies_of_judging_replies_leave_train_and_are_counted_by_kind() -> None:
    texts = [[f"reply {n}"] for n in range(20)]
    texts[0] = ["Ship The Fix!", LONG + " now", "short one"]
    texts[1] = ["keep me"]
    texts[17], texts[19] = ["ship the fix"], [LONG, "short ones"]
    parts, metrics = parted(rows(*texts), CONFIG)
    learned = [said(row) for row in parts["train"]]
    assert "Ship The Fix!" not in learned
    assert LONG + " now" not in learned
    assert {"short one", "keep me"} <= set(learned)
    assert metrics["dropped"] == {"prompt_too_long": 0, "reply_too_long": 0, "equal": 1, "similar": 1}
    assert metrics["purge_share"] == round(2 / (len(learned) + 2), 6)
    assert [said(row) for row in parts["test"]] == [LONG, "short ones"]


def test_stock_phrases_are_kept_and_tagged_everywhere() -> None:
    texts = [[f"reply {n}"] for n in range(20)]
    for n in (0, 1, 2, 19):
        texts[n] = ["Yes.", f"other {n}"]
    for n in (3, 4, 19):
        texts[n] = [*texts[n], "Twice only"]
    parts, metrics = parted(rows(*texts), CONFIG)
    tagged = {name: [said(row) for row in parts[name] if row["stock"]] for name in PARTS}
    assert tagged == {"train": ["Yes."] * 3, "valid": [], "cal": [], "test": ["Yes."]}
    assert "Twice only" not in [said(row) for row in parts["train"]]
    assert [metrics["parts"][name]["stock"] for name in PARTS] == [3, 0, 0, 1]


def test_a_phrase_said_often_in_one_conversation_is_not_stock() -> None:
    texts = [[f"reply {n}"] for n in range(20)]
    texts[0], texts[19] = ["again"] * 4, ["again"]
    parts, metrics = parted(rows(*texts), CONFIG)
    assert metrics["dropped"]["equal"] == 4
    assert not parts["test"][0]["stock"]


def test_data_that_repeat_themselves_are_refused() -> None:
    texts = [[f"reply {n % 10}", f"unique {n}"] for n in range(20)]
    with pytest.raises(
        DataError, match=r"\d+ of 32 replies of train \(\d+%\) equal or resemble.*purge_share_max is 5%"
    ):
        parted(rows(*texts), dataclasses.replace(CONFIG, purge_share_max=0.05, stock_conversations=9))


def test_a_train_part_that_is_purged_whole_is_refused() -> None:
    with pytest.raises(DataError, match=r"8 of 8 replies of train \(100%\)"):
        parted(rows(*[["the same"]] * 12), dataclasses.replace(LOOSE, stock_conversations=20, train=0.75, valid=0.1))


def test_replies_that_are_too_long_are_dropped_and_counted() -> None:
    texts = [[f"reply {n}", "x" * 201, f"{n:010}" + "y" * 190] for n in range(20)]
    parts, metrics = parted(rows(*texts), LOOSE)
    assert metrics["dropped"]["reply_too_long"] == 20
    assert max(len(said(row)) for part in parts.values() for row in part) == 200


def test_replies_to_prompts_beyond_the_bound_are_dropped_and_counted() -> None:
    examples = rows(*[[f"reply {n}", f"other {n}"] for n in range(20)])
    longest = max(sum(len(message["content"]) for message in row["messages"][:-1]) for row in examples)
    examples[3]["messages"][-2]["content"] += "x" * longest
    _, metrics = parted(examples, dataclasses.replace(LOOSE, prompt_characters_max=longest))
    assert metrics["dropped"]["prompt_too_long"] == 1
    assert sum(part["replies"] for part in metrics["parts"].values()) == len(examples) - 1


@pytest.mark.parametrize("conversations", [0, 1, 4])
def test_too_few_conversations_for_four_parts_are_refused(conversations: int) -> None:
    with pytest.raises(DataError, match=f"{conversations} replies in {conversations} conversations leave a part empty"):
        parted(numbered(conversations), CONFIG)


def test_shares_that_do_not_sum_to_one_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"train \+ valid \+ cal \+ test is 0.9; the four shares must sum to 1"):
        parted(numbered(10), dataclasses.replace(CONFIG, train=0.7))


LOOKALIKE = "pleаse rerun the whole migrаtion on stаging"  # the Cyrillic letters are other letters: equal it is not
WIDE = "ｐｌｅａｓｅ rerun the whole migration on staging"  # NFKC: the same text
phrases = ("yes", "Yes.", "ship it", "no", "?", "…", "?!", " ", "ß", "SS", "İ" * 31, "👍", "é" * 30, "e\u0301" * 30)
copies = (LONG, LONG + "!", LONG + " now", LONG + " please", "please " + LONG + " now", LOOKALIKE, WIDE, "x" * 201)
words = st.sampled_from(phrases + copies)
talk = st.lists(words | st.text("ab ", min_size=1, max_size=40), min_size=1, max_size=6)
huge = st.lists(words | st.text("ab ", min_size=1, max_size=40), min_size=60, max_size=80)


def near(one: str, two: str) -> bool:
    return one == two or (min(len(one), len(two)) >= 30 and ratio(one, two) >= 90)


def check(examples: list[Row], parts: Parts, metrics: Row) -> None:
    """Hold the parts against every promise, by routes that share nothing with the stage."""
    assert metrics["proofs"] == SOUND
    written = [row["id"] for part in parts.values() for row in part]
    assert len(set(written)) == len(written) == metrics["rows"]["written"]
    assert metrics["rows"]["examples"] == len(examples) == len(written) + sum(metrics["dropped"].values())
    gone = [row for row in examples if row["id"] not in set(written)]
    assert metrics["dropped"]["reply_too_long"] == sum(len(said(row)) > 200 for row in gone)
    judging = {normalise(said(row)) for name in PARTS[1:] for row in parts[name]}
    assert metrics["dropped"]["equal"] == sum(len(said(row)) <= 200 and normalise(said(row)) in judging for row in gone)
    learned = {normalise(said(row)) for row in parts["train"] if not row["stock"]}
    assert not [one for one in learned for two in judging if near(one, two)]
    for row in gone:
        assert len(said(row)) > 200 or any(near(normalise(said(row)), two) for two in judging)
    spans = [[(row["conversation_started_at"], row["conversation_id"]) for row in parts[name]] for name in PARTS]
    assert all(max(older) < min(newer) for older, newer in pairwise(spans))
    places = Counter(text for text, _ in {(normalise(said(row)), row["conversation_id"]) for row in parts["train"]})
    assert all(row["stock"] == (places[normalise(said(row))] >= 3) for part in parts.values() for row in part)
    assert min(sizes(parts)) > 0
    assert set(Counter(row["half"] for row in parts["cal"])) == {"fit", "cut"}
    for name, part in parts.items():
        assert all(sum(metrics["parts"][name][mix].values()) == len(part) for mix in ("acts", "lengths"))


@settings(max_examples=120, deadline=None)
@given(st.lists(talk, min_size=5, max_size=16), st.data())
def test_adversarial_data_never_break_a_promise(texts: list[list[str]], data: st.DataObject) -> None:
    if data.draw(st.booleans(), "one huge conversation"):
        texts[data.draw(st.integers(0, len(texts) - 1))] = data.draw(huge)
    minutes = data.draw(st.lists(st.integers(0, 3), min_size=len(texts), max_size=len(texts)))
    examples = rows(*texts, minutes=minutes)
    try:
        parts, metrics = parted(data.draw(st.permutations(examples)), LOOSE)
    except DataError as error:
        # Duplicates everywhere may leave nothing to learn, and replies that are all too long no conversation.
        assert "(100%)" in str(error) or "leave a part empty" in str(error)  # noqa: PT017
        return
    check(examples, parts, metrics)


@settings(max_examples=40, deadline=None)
@given(st.lists(talk, min_size=5, max_size=12), st.data())
def test_the_order_of_conversations_in_the_file_changes_nothing(texts: list[list[str]], data: st.DataObject) -> None:
    groups = [rows(*[[]] * n, one, minutes=[data.draw(st.integers(0, 2))] * (n + 1)) for n, one in enumerate(texts)]
    shuffled = data.draw(st.permutations(groups))
    try:
        before = parted([row for group in groups for row in group], LOOSE)
    except DataError:
        return
    assert parted([row for group in shuffled for row in group], LOOSE) == before


def test_a_chain_of_near_duplicates_is_cut_where_it_touches_a_judging_reply_and_no_further() -> None:
    chain = [LONG + " abcdefg" * links for links in range(5)]
    links = [near(one, chain[-1]) for one in chain]
    assert links == [False, False, False, True, True]
    assert all(map(near, chain, chain[1:]))
    texts = [[f"reply {n}"] for n in range(20)]
    texts[0], texts[19] = chain[:-1], [chain[-1]]
    parts, metrics = parted(rows(*texts))
    assert [said(row) for row in parts["train"]][:3] == chain[:3]
    assert metrics["dropped"]["similar"] == 1


def test_a_lookalike_in_another_script_is_no_copy_and_a_wide_one_is() -> None:
    texts = [[f"reply {n}"] for n in range(20)]
    texts[0], texts[19] = ["раураl", "ｐａｙｐａｌ", "fine"], ["paypal"]
    parts, metrics = parted(rows(*texts))
    assert [said(row) for row in parts["train"]][:2] == ["раураl", "fine"]
    assert metrics["dropped"]["equal"] == 1


def test_marks_alone_are_replies_of_their_own() -> None:
    texts = [[f"reply {n}"] for n in range(20)]
    texts[0], texts[19] = ["?", "…", "!"], ["…"]
    parts, metrics = parted(rows(*texts))
    assert [said(row) for row in parts["train"]][:2] == ["?", "!"]
    assert metrics["dropped"]["equal"] == 1


def test_the_mix_of_acts_and_lengths_is_counted_by_part_and_a_row_without_an_act_is_unknown() -> None:
    examples = rows(*[["yes do", "one two three", "w " * 20, "w " * 21] for _ in range(20)])
    for row in examples[::4]:
        row["act"] = "approval"
    for row in examples[1::4]:
        row["act"] = None
    _, metrics = parted(examples, dataclasses.replace(LOOSE, stock_conversations=2))
    assert metrics["parts"]["test"]["acts"] == {"approval": 1, "unknown": 3}
    assert metrics["parts"]["train"]["lengths"] == dict.fromkeys(
        ("up_to_2_words", "3_to_8_words", "9_to_20_words", "over_20_words"), 16
    )


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project to run the stage in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stage, "load", lambda section: CONFIG)
    return tmp_path


def test_the_stage_writes_its_files_and_its_proofs(place: Path) -> None:
    write_jsonl(stage.EXAMPLES, numbered(50, 2))
    stage.main()
    parts = {name: read_jsonl(stage.SPLIT / f"{name}.jsonl") for name in PARTS}
    assert sorted(path.name for path in stage.SPLIT.iterdir()) == sorted(
        f"{name}.jsonl" for name in (*PARTS, "canaries")
    )
    assert sum(sizes(parts)) == 100
    assert all(row["split"] == name for name, part in parts.items() for row in part)
    metrics = read_json(stage.METRICS)
    assert metrics["parts"]["test"] == {
        "replies": len(parts["test"]),
        "conversations": 4,
        "stock": 0,
        "acts": {"unknown": 8},
        "lengths": {"up_to_2_words": 0, "3_to_8_words": 8, "9_to_20_words": 0, "over_20_words": 0},
    }


def test_a_row_is_written_as_it_was_read_but_for_its_marks(place: Path) -> None:
    examples = numbered(10)
    examples[0]["messages"][0]["content"] = 'line\u2028sep "q" \U0001f44d \x7f é'
    examples[0] |= {"reading": {"novelty": 0.1 + 0.2, "tiny": 1e-300}}
    write_jsonl(stage.EXAMPLES, examples)
    stage.main()
    first = (stage.SPLIT / "train.jsonl").read_bytes().split(b"\n")[0]
    write_jsonl(place / "same.jsonl", [examples[0] | {"split": "train", "stock": False}])
    assert first + b"\n" == (place / "same.jsonl").read_bytes()


def test_a_run_that_fails_midway_leaves_the_four_old_files(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_jsonl(stage.EXAMPLES, numbered(50))
    stage.main()
    before = {path.name: path.read_bytes() for path in stage.SPLIT.iterdir()}
    write_jsonl(stage.EXAMPLES, numbered(60))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(stage, "prove", full)
    with pytest.raises(StorageError, match="data/split could not be written.*Free some space"):
        stage.main()
    assert {path.name: path.read_bytes() for path in stage.SPLIT.iterdir()} == before
    assert [path.name for path in stage.SPLIT.parent.iterdir() if path.name.startswith(".")] == []


def test_a_missing_or_broken_file_is_named_with_its_line(place: Path) -> None:
    with pytest.raises(DataError, match=r"data/augment/examples.jsonl is missing. Bring it back"):
        stage.main()
    write_jsonl(stage.EXAMPLES, numbered(10))
    whole = stage.EXAMPLES.read_bytes()
    stage.EXAMPLES.write_bytes(whole + b'\n{"id": \n')
    with pytest.raises(DataError, match=r"examples.jsonl:12: not JSON \("):
        stage.main()
    stage.EXAMPLES.write_bytes(whole + b'"\xff"\n')
    with pytest.raises(DataError, match=r"examples.jsonl:11: byte 1 is not UTF-8"):
        stage.main()


def test_a_row_that_is_lost_on_the_way_is_our_mistake_and_stops_the_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    marked = stage._marked
    monkeypatch.setattr(stage, "_marked", lambda *inputs: list(marked(*inputs))[1:] or list(marked(*inputs)))
    with pytest.raises(AssertionError, match="examples=50"):
        parted(numbered(50))


def test_importing_the_stage_loads_no_learning_library() -> None:
    probe = "import sys, stages.split; print(sorted({'sklearn', 'scipy', 'pandas'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout.strip() == "[]"
