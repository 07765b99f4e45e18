"""Every row becomes a turn or is counted; the export alone decides order, roles and bytes; bad input has one error."""

import hashlib
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from stages.ingest import write_turns
from stages.ingest.turns import SCHEMA
from tests.exports import CONFIG, NOON, PAIR, ROLES, SECRET, ids, ingest, row
from twin.config.ingest import Damaged, Speaker
from twin.errors import ConfigError, DataError
from twin.export.rows import Row


def test_a_pair_of_turns_becomes_a_reply() -> None:
    result = ingest(PAIR, CONFIG)
    assert [(turn.role, turn.content, turn.position) for turn in result.turns] == [
        ("partner", "Shall I?", 0),
        ("person", "go", 1),
    ]
    assert result.tally.replies == 1


def test_every_reason_of_a_drop_is_counted_once() -> None:
    rows = [
        *PAIR,
        PAIR[0]._replace(line=9),
        row("4", "system", ""),
        row("5", "assistant", "", 2),
        row("6", "user", "[Request interrupted by user for tool use]", 3),
    ]
    result = ingest(rows, CONFIG)
    assert ids(result) == ["1", "2"]
    assert result.tally.dropped == {"duplicate": 1, "role": 1, "empty": 1, "interrupted": 1}
    assert result.tally.roles == {"assistant": 3, "user": 2, "system": 1}
    assert result.tally.rows == 6


def test_an_interruption_that_says_more_is_kept() -> None:
    more = "[Request interrupted by user] no, the other one"
    assert ingest([PAIR[0], PAIR[1]._replace(content=more)], CONFIG).turns[1].content == more


def test_rows_of_one_id_that_differ_are_an_error_with_both_places() -> None:
    other = PAIR[1]._replace(content="stop", line=7)
    with pytest.raises(DataError, match=r'^e\.csv:7: id "2" stands at e\.csv:4 too, with another content\. Keep the'):
        ingest([*PAIR, other], CONFIG)


def test_conversations_are_ordered_by_their_first_turn_and_turns_by_time() -> None:
    rows = [
        row("1", "user", minute=9, chat="late"),
        row("2", "assistant", minute=8, chat="late"),
        row("3", "user", minute=5, chat="early"),
        row("4", "assistant", minute=4, chat="early"),
        row("5", "assistant", minute=4, chat="a-tie"),
    ]
    result = ingest(rows, CONFIG)
    assert ids(result) == ["5", "4", "3", "2", "1"]
    assert [turn.position for turn in result.turns] == [0, 0, 1, 0, 1]


def test_a_dropped_first_row_does_not_date_a_conversation() -> None:
    rows = [row("1", "system", minute=0, chat="b"), row("2", "assistant", minute=3, chat="b")]
    result = ingest([*rows, row("3", "assistant", minute=1, chat="a"), row("4", "user", minute=2, chat="a")], CONFIG)
    assert ids(result) == ["3", "4", "2"]


def test_turns_of_one_instant_keep_depth_then_sibling_then_file_order() -> None:
    rows = [
        row("z1", "assistant", depth=0, sibling=1),
        row("y2", "user", depth=1),
        row("x3", "assistant", depth=0),
        row("b4", "user", depth=2),
        row("a5", "assistant", depth=2),
    ]
    assert ids(ingest(rows, CONFIG)) == ["x3", "z1", "y2", "b4", "a5"]


@pytest.mark.parametrize(
    ("roles", "message"),
    [
        ({"user": "person"}, r"names no partner\. ROWS .*'\+ingest\.roles\.assistant=partner'"),
        ({"assistant": "partner", "user": "drop"}, r"names no person\. ROWS .* -S ingest\.roles\.user=person"),
        ({"system": "drop", "user": "person"}, r"names no partner\. ROWS .*'\+ingest\.roles\.assistant=partner'"),
        ({"bob": "person", "assistant": "partner"}, r"does not say what user 1 is\. ROWS .*'\+ingest\.roles\.user="),
        ({"user": "person", "User ": "partner"}, r'names "User " twice'),
    ],
)
def test_a_role_map_that_does_not_fit_shows_the_counts_and_the_override(roles: dict[str, str], message: str) -> None:
    config = replace(CONFIG, roles={role: Speaker[speaker] for role, speaker in roles.items()})
    message = message.replace("ROWS", r"Rows per role: assistant 1, user 1\.")
    with pytest.raises(ConfigError, match=rf"^params\.yaml: ingest\.roles {message}"):
        ingest(PAIR, config)


@pytest.mark.parametrize(
    "rows",
    [
        [row("1", "assistant"), row("2", "assistant")],
        [row("1", "user"), row("2", "user")],
        [row("1", "user", minute=0), row("2", "assistant", minute=1)],
        [row("1", "assistant", chat="a"), row("2", "user", chat="b")],
        [row("1", "assistant"), row("2", "user", "")],
    ],
)
def test_no_reply_of_the_person_is_an_error_with_the_counts(rows: list[Row]) -> None:
    with pytest.raises(
        DataError, match=r"never replies .* Rows per role: .*; dropped: .*Say who is who: .*ingest\.roles"
    ):
        ingest(rows, CONFIG)


def test_replies_are_runs_of_the_person_after_the_partner() -> None:
    roles = ["user", "assistant", "user", "user", "assistant", "assistant", "user"]
    rows = [row(str(minute), role, minute=minute) for minute, role in enumerate(roles)]
    assert ingest(rows, CONFIG).tally.replies == 2


def test_secrets_leave_every_column_and_are_counted_by_kind() -> None:
    rows = [
        row("1@mail.org", "assistant", f"use {SECRET} or a@x.org", chat="me@x.org/1", domain="a@x.org"),
        row("2", "user", f"{SECRET} no b@x.org", 1, chat="me@x.org/1", phase=SECRET),
        row("3", "user", "b@x.org", 2, chat="you@x.org/1"),
    ]
    result = ingest(rows, CONFIG)
    text = repr(result.turns)
    assert "@" not in text
    assert SECRET not in text
    assert [turn.content for turn in result.turns] == [
        "use <SECRET_1> or <EMAIL_1>",
        "<SECRET_1> no <EMAIL_2>",
        "<EMAIL_1>",
    ]
    assert [turn.conversation_id for turn in result.turns] == ["<EMAIL_1>/1", "<EMAIL_1>/1", "<EMAIL_2>/1"]
    assert result.tally.scrubbed == {"email": 8, "sk_key": 3}


def test_turns_parquet_has_its_columns_and_the_same_bytes_again(tmp_path: Path) -> None:
    rows = [row("1", "assistant", phase="planning", salience=0.0, domain="ops"), row("2", "user", minute=1)]
    turns = ingest(rows, CONFIG).turns
    write_turns(tmp_path / "a.parquet", turns)
    write_turns(tmp_path / "b.parquet", list(turns))
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    table = pq.read_table(tmp_path / "a.parquet")
    assert table.schema.equals(SCHEMA)
    assert table.schema.metadata is None
    assert table.to_pylist()[0] == {
        "id": "1", "conversation_id": "c", "position": 0, "role": "partner", "content": "text", "created_at": NOON,
        "phase": "planning", "salience": 0.0, "domain": "ops", "held": None, "long_form": False, "act": None,
    }  # fmt: skip


def test_buckets_on_disk_give_the_same_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    dice = random.Random(7)
    rows = [
        row(str(n), dice.choice(["user", "assistant"]), f"text {n} " * 9, dice.randrange(99), chat=f"c{n % 17}")
        for n in range(400)
    ]
    rows += rows[5:40]
    whole = ingest(rows)
    monkeypatch.setattr("stages.ingest.order.PIECE_BYTES", 1024)
    monkeypatch.setattr("stages.ingest.order.PIECES", 3)
    parts = ingest(rows)
    assert parts.turns == whole.turns
    assert parts.tally == whole.tally
    assert parts.tally.dropped == {"duplicate": 35}


def test_a_row_without_a_conversation_is_dropped_and_counted() -> None:
    result = ingest([*PAIR, row("3", "user", minute=2)._replace(conversation_id=None)])
    assert (ids(result), result.tally.dropped) == (["1", "2"], {"no_conversation": 1})


def test_in_a_group_chat_the_author_decides() -> None:
    rows = [row("1", "user", minute=0, author="Fred"), row("2", "user", minute=1, author="Jim")]
    rows.append(row("3", "user", minute=2, author=None))
    authors = {"jim": Speaker.person, "*": Speaker.partner}
    result = ingest(rows, replace(CONFIG, authors=authors))
    assert [turn.role for turn in result.turns] == ["partner", "person", "partner"]
    with pytest.raises(ConfigError, match=r"ingest\.authors does not say what fred 1, none 1 is"):
        ingest(rows, replace(CONFIG, authors={"Jim": Speaker.person, "Ken": Speaker.partner}))


def test_a_star_stands_for_every_other_role() -> None:
    rows = [*PAIR, row("3", "critic", minute=2)]
    result = ingest(rows, replace(CONFIG, roles=ROLES | {"*": Speaker.drop}))
    assert (ids(result), result.tally.dropped) == (["1", "2"], {"role": 1})


CUT = "x" * 10_240 + "..."


def test_a_cell_that_the_dashboard_cut_is_refused_dropped_or_kept() -> None:
    rows = [*PAIR, row("3", "assistant", CUT, 2)]
    with pytest.raises(DataError, match=r"^e\.csv:5: the text ends like a cell that .* -S ingest\.damaged=drop"):
        ingest(rows)
    dropped = ingest(rows, replace(CONFIG, damaged=Damaged.drop))
    assert (ids(dropped), dropped.tally.dropped) == (["1", "2"], {"truncated": 1})
    kept = ingest(rows, replace(CONFIG, damaged=Damaged.keep))
    assert (ids(kept), kept.tally.damaged) == (["1", "2", "3"], {"truncated": 1})


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_a_text_that_its_hash_does_not_know_is_refused() -> None:
    rows = [PAIR[0]._replace(content_hash=digest("Shall I?")), PAIR[1]._replace(content_hash=digest("stay"))]
    with pytest.raises(DataError, match=r"^e\.csv:4: the text is not the one that content_hash was taken of"):
        ingest(rows)
    assert ingest(rows, replace(CONFIG, damaged=Damaged.keep)).tally.damaged == {"hash": 1}


def test_the_hash_tells_a_cut_from_a_text_that_ends_so() -> None:
    whole, marked = "é" * 6000, "é" * 6000 + "..."
    rows = [PAIR[0], PAIR[1]._replace(content=CUT, content_hash=digest(CUT))]
    rows.append(row("3", "assistant", marked, 2, content_hash=digest(whole)))
    result = ingest(rows)
    assert [turn.content for turn in result.turns][1:] == [CUT, whole]
    assert result.tally.mended == 1


@pytest.mark.parametrize(
    ("forget", "left"),
    [
        ({"conversations": ["c"]}, ["3", "4"]),
        ({"authors": ["bob"]}, ["1", "2", "4"]),
        ({"dates": ["2026-01-01/2026-01-01"]}, ["3", "4"]),
        ({"dates": ["2025-12-31/2025-12-31", "2026-01-03/2026-01-09"]}, ["1", "2", "3", "4"]),
    ],
)
def test_who_and_what_is_to_be_forgotten_leaves_no_trace(forget: dict[str, list[str]], left: list[str]) -> None:
    other: dict[str, Any] = {"chat": "d", "minute": 24 * 60}
    rows = [*PAIR, row("3", "assistant", "And?", author="Bob", **other), row("4", "user", "no", **other)]
    if left == ["1", "2", "4"]:
        rows.append(row("5", "assistant", "say", author="bob", **other))
    result = ingest(rows, replace(CONFIG, forget=replace(CONFIG.forget, **forget)))
    assert ids(result) == left
    assert result.tally.dropped["forgotten"] == len(rows) - len(left)
    assert not result.tally.examples


def test_a_forgotten_interval_is_two_days() -> None:
    for dates in ("2026-01-01", "2026-02-30/2026-03-01", "2026-01-02/2026-01-01"):
        with pytest.raises(ConfigError, match=r"ingest\.forget\.dates has .*; write FIRST/LAST"):
            ingest(PAIR, replace(CONFIG, forget=replace(CONFIG.forget, dates=[dates])))


def test_a_turn_held_back_stays_as_context_and_is_counted() -> None:
    log = "\n".join(f"2026-01-01 12:00:{n:02} ERROR worker {n} failed with code 17" for n in range(20))
    result = ingest([*PAIR, row("3", "assistant", "What now?", 2), row("4", "user", log, 3)])
    assert [turn.held for turn in result.turns] == [None, None, None, "machine_text"]
    assert result.tally.held == {"machine_text": 1}
    assert (result.tally.replies, result.tally.replies_held) == (1, 1)
    (example,) = result.tally.lines()
    assert (example["reason"], example["row"]) == ("machine_text", "4")
