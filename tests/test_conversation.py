"""Merging joins what one speaker said in a row, and only that."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from twin.conversation import Role, Turn, merge

START = datetime(2024, 1, 1, tzinfo=UTC)


def turns(*said: tuple[Role, str]) -> list[Turn]:
    return [Turn(f"t{n}", role, text, START + timedelta(minutes=n)) for n, (role, text) in enumerate(said)]


def test_consecutive_turns_of_one_speaker_become_one_with_the_id_and_time_of_the_first() -> None:
    merged = merge(turns(("partner", "a"), ("person", "b"), ("person", "c"), ("partner", "d")))
    assert [(turn.id, turn.content) for turn in merged] == [("t0", "a"), ("t1", "b\nc"), ("t3", "d")]
    assert merged[1].created_at == START + timedelta(minutes=1)


def test_nothing_merges_to_nothing() -> None:
    assert merge([]) == []


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from(["person", "partner"]), st.text(max_size=4)), max_size=12))
def test_merged_turns_alternate_keep_every_word_and_do_not_merge_again(said: list[tuple[Role, str]]) -> None:
    merged = merge(turns(*said))
    assert all(one.role != two.role for one, two in pairwise(merged))
    assert "\n".join(turn.content for turn in merged) == "\n".join(text for _, text in said)
    assert merge(merged) == merged


@settings(max_examples=50)
@given(st.lists(st.sampled_from(["person", "partner"]), min_size=2, max_size=12), st.data())
def test_the_part_before_a_reply_merges_as_the_whole_does(roles: list[Role], data: st.DataObject) -> None:
    whole = merge(turns(*[(role, f"{n}") for n, role in enumerate(roles)]))
    position = data.draw(st.integers(0, len(whole) - 1))
    first = int(whole[position].id[1:])
    assert merge(turns(*[(role, f"{n}") for n, role in enumerate(roles)])[:first]) == whole[:position]
