"""Proves the reading of blind ratings: malformed rows are named by line, and which sessions are void and why."""

import json
from pathlib import Path
from typing import Any

import pytest

import twin.ratings
from tests.rating import KEY, Row, session, write_session
from twin.errors import DataError
from twin.files import sha256_text
from twin.ratings import left_items, read_sessions, void


def read(folder: Path, rows: list[Row]) -> Any:
    write_session(folder / "one.jsonl", rows)
    return read_sessions(folder)[0]


def test_no_folder_an_empty_folder_and_a_readme_are_no_ratings(tmp_path: Path) -> None:
    assert read_sessions(tmp_path / "nowhere") == []
    (tmp_path / "README.md").write_text("Not a session.")
    assert read_sessions(tmp_path) == []


def test_sessions_come_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        write_session(tmp_path / f"{name}.jsonl", session(["X"], id=name))
    assert [one.id for one in read_sessions(tmp_path)] == ["a", "b", "c"]


def test_a_session_is_read_with_the_arm_behind_each_answer(tmp_path: Path) -> None:
    found = read(tmp_path, session(["X", "B1", None]))
    assert [one.chosen for one in found.answers if one.counts] == ["X", "B1", None]
    assert void(found) is None


@pytest.mark.parametrize("mode", ["pairs", "identify", "protocol"])
def test_a_whole_session_of_every_kind_is_valid(tmp_path: Path, mode: str) -> None:
    found = read(tmp_path, session([3] * 20 if mode == "protocol" else ["X"] * 20, mode=mode))
    assert void(found) is None
    assert sum(one.counts for one in found.answers) == 20


@pytest.mark.parametrize(
    ("line", "change", "message"),
    [
        (0, {"kind": "sitting"}, r"one\.jsonl:1: the kind is 'sitting', expected 'session'"),
        (0, {"version": 2}, r"one\.jsonl:1: version is 2, expected 1"),
        (0, {"mode": ["pairs"]}, r"one\.jsonl:1: mode is \['pairs'\]"),
        (0, {"key_sha256": "abc"}, r"one\.jsonl:1: key_sha256 is 'abc', expected 64 hex digits"),
        (0, {"rater": ""}, r"one\.jsonl:1: rater is ''"),
        (1, {"item": 99}, r"one\.jsonl:2: item is 99, expected 0 to"),
        (1, {"item": True}, r"one\.jsonl:2: item is True"),
        (1, {"arms": {"left": "X"}}, r"one\.jsonl:2: arms is .* an arm for each of left, right"),
        (1, {"arms": {"left": "X", "right": "X"}}, r"one\.jsonl:2: arms is .* none twice"),
        (1, {"answer": "X"}, r"one\.jsonl:2: answer is 'X', expected left, right or cant_tell"),
        (1, {"answer": 2}, r"one\.jsonl:2: answer is 2, expected left, right or cant_tell"),
        (1, {"catch": "no"}, r"one\.jsonl:2: catch is 'no', expected true or false"),
        (1, {"catch": True}, r"one\.jsonl:2: right is None, expected the answer that is right"),
        (1, {"seconds": float("nan")}, r"one\.jsonl:2: seconds is nan"),
        (2, {"repeat_of": 7}, r"one\.jsonl:3: repeat_of is 7, expected an earlier item"),
        (2, {"repeat_of": "x"}, r"one\.jsonl:3: repeat_of is 'x', expected an item or null"),
        (-1, {"key": "xyz"}, r"one\.jsonl:\d+: key is 'xyz', expected hex digits"),
    ],
)
def test_a_malformed_row_is_named_by_file_line_and_value(tmp_path: Path, line: int, change: Row, message: str) -> None:
    rows = session(["X"] * 3)
    rows[line] |= change
    with pytest.raises(DataError, match=message):
        read(tmp_path, rows)


def test_a_score_is_a_whole_number_from_0_to_3(tmp_path: Path) -> None:
    for bad in (4, -1, 2.5, True, "left"):
        rows = session([2], mode="protocol")
        rows[1]["answer"] = bad
        with pytest.raises(DataError, match=r"one\.jsonl:2: answer is .*, expected a score from 0 to 3"):
            read(tmp_path, rows)


@pytest.mark.parametrize("missing", ["repeat_of", "arms", "seconds", "answer"])
def test_a_missing_field_is_named(tmp_path: Path, missing: str) -> None:
    rows = session(["X"])
    del rows[1][missing]
    with pytest.raises(DataError, match=rf"one\.jsonl:2: {missing} is (None|missing)"):
        read(tmp_path, rows)


@pytest.mark.parametrize("text", ["", "{", "[1]\n", '{"kind": "session"}\n{"kind"'])
def test_what_is_no_json_object_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "one.jsonl").write_text(text)
    with pytest.raises(DataError, match=r"one\.jsonl:[12]: "):
        read_sessions(tmp_path)


def test_one_id_in_two_files_is_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_session(tmp_path / f"{name}.jsonl", session(["X"], id="same"))
    with pytest.raises(DataError, match=r"b\.jsonl:1: the session same is in .*a\.jsonl too"):
        read_sessions(tmp_path)


def test_a_session_that_was_not_ended_is_void(tmp_path: Path) -> None:
    assert void(read(tmp_path, session(["X"])[:-1])) == "it was not ended"


def test_an_end_that_counts_other_answers_is_void(tmp_path: Path) -> None:
    rows = session(["X"] * 3)
    assert "declares" in str(void(read(tmp_path, [*rows[:2], *rows[3:]])))


def test_a_key_other_than_the_one_committed_to_is_void(tmp_path: Path) -> None:
    rows = session(["X"])
    rows[0]["key_sha256"] = sha256_text("00")
    assert void(read(tmp_path, rows)) == "its key is not the one committed to before the first answer"


def test_sides_changed_after_the_answers_are_void(tmp_path: Path) -> None:
    rows = session(["X"])
    rows[1]["arms"] = dict(zip(("left", "right"), reversed(rows[1]["arms"].values()), strict=True))
    assert void(read(tmp_path, rows)) == "the sides of item 0 are not those of its key"


def test_an_item_answered_twice_is_void(tmp_path: Path) -> None:
    rows = session(["X", "X"])
    rows[2]["item"] = 0
    assert void(read(tmp_path, rows)) == "item 0 is answered twice"


@pytest.mark.parametrize(("changed", "valid"), [(0, True), (3, True), (4, False)])
def test_repeats_must_agree_in_seven_of_ten(tmp_path: Path, changed: int, valid: bool) -> None:
    found = void(read(tmp_path, session(["X"] * 50, repeats=10, changed=changed)))
    assert found == (None if valid else "6 of 10 repeats were answered alike; 70% are needed")


@pytest.mark.parametrize(("missed", "valid"), [(0, True), (1, True), (2, False)])
def test_one_catch_item_may_be_missed_and_two_may_not(tmp_path: Path, missed: int, valid: bool) -> None:
    found = void(read(tmp_path, session(["X"] * 20, catches=4, missed=missed)))
    assert found == (None if valid else "2 of 4 catch items were missed; 1 may be")


def test_cant_tell_misses_a_catch_item_and_agrees_with_itself(tmp_path: Path) -> None:
    assert void(read(tmp_path, session([None] * 20))) is None
    rows = session(["X"] * 20, catches=2)
    for row in [row for row in rows if row.get("catch")]:
        row["answer"] = "cant_tell"
    assert void(read(tmp_path, rows)) == "2 of 2 catch items were missed; 1 may be"


def test_a_session_without_repeats_or_catch_items_proves_nothing_about_its_rater(tmp_path: Path) -> None:
    assert "0 repeats are too few" in str(void(read(tmp_path, session(["X"] * 20, repeats=0))))
    assert "0 catch items are too few" in str(void(read(tmp_path, session(["X"] * 20, catches=0))))


def test_scores_one_point_apart_agree_and_two_points_do_not(tmp_path: Path) -> None:
    for again, valid in ((2, True), (1, False)):
        rows = session([3] * 10, mode="protocol")
        for row in [row for row in rows if row.get("repeat_of") is not None]:
            row["answer"] = again
        assert (void(read(tmp_path, rows)) is None) is valid


def test_the_key_puts_either_arm_left_equally_often_and_another_key_elsewhere() -> None:
    assert len(left_items(KEY, 80)) == 40
    assert left_items(KEY, 80) == left_items(KEY, 80) != left_items("00" * 16, 80)


def test_the_format_is_the_one_its_docstring_shows() -> None:
    text = (twin.ratings.__doc__ or "").partition("\n    ")[2].partition("\n- ")[0].replace("…", "0").strip()
    decoder, shown = json.JSONDecoder(), []
    while text:
        row, end = decoder.raw_decode(text)
        shown.append((row["kind"], set(row)))
        text = text[end:].strip()
    written = session(["X"])
    assert shown == [(row["kind"], set(row)) for row in (written[0], written[1], written[-1])]
