"""Every answerable reply becomes one row, and a row knows nothing of its reply or of what came later."""

import dataclasses
import itertools
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages import augment as stage
from tests.augmenting import augment
from tests.test_prompt import CONFIG, EMBED
from twin import turns
from twin.conversation import Role, Turn
from twin.errors import DataError
from twin.files import read_json, read_jsonl
from twin.prompt import PromptRecipe, prompt
from twin.turns import Conversation

START = datetime(2024, 1, 1, tzinfo=UTC)
Said = list[tuple[Role, str]]

SAID: Said = [
    ("partner", "The deploy failed. Shall I retry?"),
    ("person", "no"),
    ("person", "logs first"),
    ("partner", "Here are the logs."),
    ("person", "ok retry"),
    ("partner", "Done, it is green."),
    ("person", "ship it"),
]


def conversation(said: Said, name: str = "c") -> Conversation:
    made = [Turn(f"{name}{n}", role, text, START + timedelta(minutes=n)) for n, (role, text) in enumerate(said)]
    return Conversation(name, made)


def test_a_row_holds_the_prompt_of_the_turns_before_and_the_merged_reply() -> None:
    rows, _ = augment([conversation(SAID)], CONFIG)
    assert [(row["id"], row["position"], row["messages"][-1]["content"]) for row in rows] == [
        ("c1", 1, "no\nlogs first"),
        ("c4", 3, "ok retry"),
        ("c6", 5, "ship it"),
    ]
    recipe = PromptRecipe.from_config(CONFIG)
    for row in rows:
        before = conversation(SAID).turns[: int(row["id"][1:])]
        shown = prompt(before, recipe, EMBED)
        assert row["messages"][:-1] == shown.messages
        assert row["tag"] == shown.tag
    assert rows[0]["reading"] is None
    assert rows[1]["reading"]["regime"] in row["tag"]
    assert rows[1]["created_at"] == "2024-01-01T00:04:00.000000+00:00"
    assert rows[1]["conversation_started_at"] == "2024-01-01T00:00:00.000000+00:00"


said = st.lists(st.tuples(st.sampled_from(["person", "partner"]), st.text(max_size=8)), min_size=3, max_size=14)


@settings(max_examples=60, deadline=None)
@given(said, st.text(max_size=8), st.data())
def test_changing_a_reply_or_any_later_turn_never_changes_its_prompt(
    before: Said, other: str, data: st.DataObject
) -> None:
    spoken: Said = [("partner", "start"), *before, ("person", "end")]
    place = data.draw(st.integers(1, len(spoken) - 1))
    mutated = [
        *spoken[:place],
        (spoken[place][0], f"{other}!"),
        *spoken[place + 1 :][:: data.draw(st.sampled_from([1, -1]))],
    ]
    old, new = (
        {row["id"]: row for row in augment([conversation(each)], CONFIG)[0]} for each in (spoken, mutated + SAID)
    )
    shared = [key for key in old.keys() & new.keys() if int(key[1:]) <= place]
    for key in shared:
        assert new[key]["messages"][:-1] == old[key]["messages"][:-1]
        assert (new[key]["tag"], new[key]["reading"]) == (old[key]["tag"], old[key]["reading"])


@settings(max_examples=60, deadline=None)
@given(said, st.data())
def test_what_follows_a_reply_may_be_deleted_without_a_change_to_its_row(before: Said, data: st.DataObject) -> None:
    spoken: Said = [("partner", "start"), *before, ("person", "end")]
    place = data.draw(st.integers(1, len(spoken)))
    kept = [*spoken[:place], ("partner", "close")]
    whole, cut = (
        {row["id"]: row for row in augment([conversation(each + SAID)], CONFIG)[0]} for each in (spoken, kept)
    )
    # A reply that goes on over several turns has ended where the partner speaks again.
    roles = [role for role, _ in spoken + SAID]
    settled = [key for key in whole if "partner" in roles[int(key[1:]) : place + 1]]
    assert settled == [key for key in cut if int(key[1:]) < place and "partner" in roles[int(key[1:]) : place + 1]]
    for key in settled:
        assert cut[key]["messages"][:-1] == whole[key]["messages"][:-1]
        assert (cut[key]["tag"], cut[key]["reading"]) == (whole[key]["tag"], whole[key]["reading"])


def test_the_mutation_test_would_see_a_leak() -> None:
    """A turn before the reply does change the tag, so an unchanged tag means something."""
    tags = [
        augment([conversation([*SAID[:3], ("partner", text), *SAID[4:]])], CONFIG)[0][1]["tag"] for text in ("x", "y")
    ]
    assert tags[0] != tags[1]


def test_everything_is_counted() -> None:
    silent: Said = [("person", "hello"), ("partner", "hi"), ("person", "  ")]
    control: Said = [("partner", "say it"), ("person", "<|im_end|>")]
    talks = [conversation(said, name) for said, name in ((SAID, "a"), (silent, "b"), (control, "c"))]
    metrics = augment(talks, CONFIG)[1].metrics()
    means, regimes, acts = (metrics.pop(name) for name in ("mean", "regimes", "acts"))
    by_act = metrics.pop("regimes_by_act")
    assert metrics == {
        "conversations": 3,
        "turns": 12,
        "merged_turns": 11,
        "replies": 6,
        "examples": 4,
        "cold_start": 2,
        "neutralised": 1,
        "dropped": {"no_context": 1, "held": 0, "empty": 1},
    }
    assert sum(regimes.values()) == 2 == sum(sum(row.values()) for row in by_act.values())
    assert sum(acts.values()) == metrics["examples"]
    assert set(means) == {scalar.name for scalar in CONFIG.scalars}


def test_a_reply_held_back_is_context_and_no_example() -> None:
    talk = conversation(SAID)
    held = [replace(turn, held=turn.id == "c2") for turn in talk.turns]
    rows, tally = augment([Conversation("c", held)], CONFIG)
    assert [row["id"] for row in rows] == ["c4", "c6"]
    assert rows[0]["messages"] == augment([talk], CONFIG)[0][1]["messages"]
    assert +tally.dropped == {"held": 1}


def test_replies_without_a_reading_leave_no_mean_behind() -> None:
    metrics = augment([conversation([("partner", "a"), ("person", "b")])], CONFIG)[1].metrics()
    assert metrics["mean"] == {}
    json.dumps(metrics, allow_nan=False)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (
            [("partner", "a"), ("partner", "b")],
            "none of 2 turns is the person's. Name the person's role in ingest.roles",
        ),
        ([("person", "a")], "of 1 in 1 conversations 1 open their conversation, 0 were held back by ingest and 0 are"),
        (
            [("partner", "a"), ("person", "")],
            "of 1 in 1 conversations 0 open their conversation, 0 were held back by ingest and 1 are",
        ),
    ],
)
def test_data_without_a_reply_to_learn_from_are_refused(said: Said, words: str) -> None:
    with pytest.raises(DataError, match=words):
        augment([conversation(said)], CONFIG)


def table(rows: list[dict[str, Any]]) -> pa.Table:
    kinds = {"position": pa.int64(), "created_at": pa.timestamp("us", "UTC")}
    names = ["id", "conversation_id", "position", "role", "content", "created_at", "held"]
    return pa.Table.from_pylist(rows, pa.schema([(name, kinds.get(name, pa.string())) for name in names]))


def rows_of(talk: Conversation) -> list[dict[str, Any]]:
    return [
        vars(turn) | {"conversation_id": talk.id, "position": n, "held": "quoted" if turn.held else None}
        for n, turn in enumerate(talk.turns)
    ]


def test_a_turns_file_is_read_back_across_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    talks = [conversation(SAID, name) for name in "abc"]
    talks[1].turns[2] = replace(talks[1].turns[2], held=True)
    pq.write_table(table([row for talk in talks for row in rows_of(talk)]), tmp_path / "turns.parquet")
    monkeypatch.setattr(turns, "BATCH_ROWS", 5)
    assert list(turns.read_turns(tmp_path / "turns.parquet")) == talks


def test_a_damaged_turns_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "turns.parquet"
    with pytest.raises(DataError, match=r"turns\.parquet is missing\. Bring it back"):
        list(turns.read_turns(path))
    path.write_bytes(b"PAR1 not really")
    with pytest.raises(DataError, match=r"turns\.parquet is not a readable Parquet file"):
        list(turns.read_turns(path))
    rows = rows_of(conversation(SAID))
    pq.write_table(table(rows).drop_columns(["role", "content"]), path)
    with pytest.raises(DataError, match="has no column content, role"):
        list(turns.read_turns(path))
    pq.write_table(table([rows[0] | {"role": "system"}]), path)
    with pytest.raises(DataError, match="turn c0 has the role 'system'"):
        list(turns.read_turns(path))
    pq.write_table(table([rows[0], rows[1] | {"conversation_id": "d"}, rows[2]]), path)
    with pytest.raises(DataError, match="conversation c is not in one piece"):
        list(turns.read_turns(path))


def test_the_stage_writes_rows_recipe_and_metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stage, "load", lambda section: CONFIG)
    stage.TURNS.parent.mkdir(parents=True)
    pq.write_table(table(list(itertools.chain(*(rows_of(conversation(SAID, name)) for name in "ab")))), stage.TURNS)
    stage.main()
    assert len(read_jsonl(stage.EXAMPLES)) == 6
    assert read_json(stage.METRICS)["examples"] == 6
    assert PromptRecipe.from_json(read_json(stage.RECIPE)) == PromptRecipe.from_config(CONFIG)
    first = stage.EXAMPLES.read_bytes()
    stage.main()
    assert stage.EXAMPLES.read_bytes() == first


def test_untagged_rows_keep_their_reading() -> None:
    config = dataclasses.replace(CONFIG, tags=type(CONFIG.tags).none)
    tagged, untagged = (augment([conversation(SAID)], each)[0] for each in (CONFIG, config))
    assert [row["reading"] for row in untagged] == [row["reading"] for row in tagged]
    assert all(row["messages"][0]["content"] == CONFIG.persona for row in untagged)


def test_the_placebo_deals_every_reading_once_and_nobody_their_own() -> None:
    talks = [conversation([*SAID, ("partner", f"and {n}?"), ("person", f"yes {n}")], f"c{n}") for n in range(7)]
    shuffled = dataclasses.replace(CONFIG, tags=type(CONFIG.tags).shuffled)
    own, dealt = (augment(talks, each)[0] for each in (CONFIG, shuffled))
    warm = [place for place, row in enumerate(own) if row["reading"]]
    assert sorted(json.dumps(dealt[place]["reading"]) for place in warm) == sorted(
        json.dumps(own[place]["reading"]) for place in warm
    )
    moved = [place for place in warm if dealt[place]["reading"] != own[place]["reading"]]
    assert len(moved) > len(warm) / 2
    for before, after in zip(own, dealt, strict=True):
        assert before["messages"][1:] == after["messages"][1:]
        assert after["tag"] in after["messages"][0]["content"]
        assert (before["reading"] is None) == (after["reading"] is None)
    other = augment(talks, dataclasses.replace(shuffled, shuffle_seed=1))[0]
    assert [row["tag"] for row in other] != [row["tag"] for row in dealt]
    assert augment(talks, shuffled)[0] == dealt
