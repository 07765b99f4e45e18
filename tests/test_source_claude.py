"""Claude's account export gives what was said in its order, without attachments, tools and branches that were left.

The exports are made here in the shapes that public descriptions give; no live one was at hand.
"""

import json
import zipfile
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from twin.errors import DataError
from twin.export.canonical import ROWS
from twin.source.accounts import kind
from twin.source.claude import batches

TIME = "2026-02-14T10:04:22.123456Z"
ROOT = "00000000-0000-4000-8000-000000000000"


def message(uuid: str, sender: str, text: str, **more: Any) -> dict[str, Any]:
    said = {"uuid": uuid, "text": text, "sender": sender, "created_at": TIME, "attachments": [], "files": []}
    return said | more


def talk(*messages: Any, **more: Any) -> dict[str, Any]:
    return {"uuid": "c1", "name": "A talk", "created_at": TIME, "chat_messages": list(messages)} | more


def export(folder: Path, *conversations: Any, text: str | None = None) -> Path:
    path = folder / "conversations.json"
    path.write_text(json.dumps(conversations) if text is None else text)
    return path


def rows(path: Path, left_out: Counter[str] | None = None) -> list[dict[str, Any]]:
    made = list(batches(path, left_out=left_out))
    assert all(batch.schema == ROWS for batch in made)
    return [row for batch in made for row in batch.to_pylist()]


def fails(path: Path, match: str) -> None:
    with pytest.raises(DataError, match=match):
        rows(path)


def test_a_message_becomes_a_row_with_the_sender_as_its_role(tmp_path: Path) -> None:
    first, second = rows(export(tmp_path, talk(message("m1", "human", "Hi\r\n"), message("m2", "assistant", "Yes"))))
    assert (first["id"], first["conversation_id"], first["role"], first["content"]) == ("m1", "c1", "human", "Hi")
    assert first["created_at"] == datetime(2026, 2, 14, 10, 4, 22, 123456, tzinfo=UTC)
    assert (second["role"], second["depth"]) == ("assistant", 1)


def test_blocks_of_text_are_what_was_said_and_others_are_counted(tmp_path: Path) -> None:
    blocks = [
        {"type": "thinking", "thinking": "hm"},
        {"type": "text", "text": "one"},
        {"type": "tool_use", "name": "search", "input": {}},
        {"type": "tool_result", "content": [{"type": "text", "text": "found"}]},
        {"type": "text", "text": "two"},
        {"type": "token_budget"},
    ]
    counts: Counter[str] = Counter()
    messages = [
        message("m1", "assistant", "one\n```This block is not supported.```\ntwo", content=blocks),
        message("m2", "human", "older", content=[]),
        message("m3", "human", "never mind", content=[{"type": "text", "text": ""}]),
        message("m4", "human", None),  # type: ignore[arg-type]
    ]
    assert [row["content"] for row in rows(export(tmp_path, talk(*messages)), counts)] == [
        "one\n\ntwo",
        "older",
        "",
        "",
    ]
    assert +counts == {"thinking": 1, "tool_call": 2, "other_block": 1}


def test_the_text_of_an_attachment_is_not_the_persons_voice(tmp_path: Path) -> None:
    attached = {
        "attachments": [{"file_name": "a.txt", "extracted_content": "pasted"}] * 2,
        "files": [{"file_name": "b"}],
    }
    counts: Counter[str] = Counter()
    assert [row["content"] for row in rows(export(tmp_path, talk(message("m", "human", "", **attached))), counts)] == [
        ""
    ]
    assert +counts == {"attachment": 2, "file": 1}


def test_the_branch_of_the_last_message_is_the_conversation(tmp_path: Path) -> None:
    messages = [
        message("q", "human", "question", parent_message_uuid=ROOT),
        message("a1", "assistant", "first", parent_message_uuid="q"),
        message("b1", "human", "on the first", parent_message_uuid="a1"),
        message("a2", "assistant", "second", parent_message_uuid="q"),
    ]
    counts: Counter[str] = Counter()
    assert [row["id"] for row in rows(export(tmp_path, talk(*messages)), counts)] == ["q", "a2"]
    assert +counts == {"side_branch": 2}
    path = export(tmp_path, talk(*messages, current_leaf_message_uuid="b1"))
    assert [row["id"] for row in rows(path)] == ["q", "a1", "b1"]


def test_times_never_step_back(tmp_path: Path) -> None:
    times = [None, "2026-02-14T10:00:05Z", "2026-02-14T10:00:01+00:00", "2026-02-14T12:00:06+02:00", ""]
    counts: Counter[str] = Counter()
    messages = [message(f"m{number}", "human", "x", created_at=time) for number, time in enumerate(times)]
    found = rows(export(tmp_path, talk(*messages)), counts)
    assert [row["created_at"].second for row in found] == [5, 5, 5, 6, 6]
    assert +counts == {"no_time": 2, "early_time": 1}
    fails(export(tmp_path, talk(messages[0], created_at=None)), "nor one of its messages has a created_at")


def test_an_archive_reads_the_same(tmp_path: Path) -> None:
    path = export(tmp_path, talk(message("m1", "human", "Hi")))
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        archive.write(path, "conversations.json")
        archive.writestr("users.json", "[]")
    assert rows(tmp_path / "data.zip") == rows(path)
    assert kind(tmp_path / "data.zip") == kind(path) == "claude"


def test_an_export_of_more_than_one_batch_is_whole(tmp_path: Path) -> None:
    messages = [message(f"m{number}", "human", str(number)) for number in range(5000)]
    path = export(tmp_path, *(talk(*messages, uuid=f"c{number}") for number in range(4)))
    made = list(batches(path))
    assert [len(batch) for batch in made] == [8192, 8192, 3616]
    assert made[-1].to_pylist()[-1]["content"] == "4999"


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"uuid": 3}, r"json: conversation 1 \(\"A talk\"\), message \"1\": uuid is \"3\"; it must be a text"),
        ({"sender": 3}, r"message \"m1\": sender is \"3\", not text"),
        ({"text": 3}, r"message \"m1\": text is \"3\", not text"),
        ({"content": "x"}, r"message \"m1\": content is \"x\", not a list"),
        ({"content": ["x"]}, r"message \"m1\": a block of its content is \"x\""),
        ({"content": [{"type": "text", "text": []}]}, r"message \"m1\": content\.text is \"\[\]\", not text"),
        ({"attachments": "x"}, r"message \"m1\": attachments is \"x\", not a list"),
        ({"created_at": "2026-02-14T10:00"}, r"message \"m1\": created_at is .*which has no zone.*--zone"),
        ({"created_at": 3}, r"message \"m1\": created_at is \"3\"; it must be ISO 8601"),
        ({"parent_message_uuid": 3}, r"message \"m1\": parent_message_uuid is \"3\""),
        ({"parent_message_uuid": "m1"}, r"message \"m1\": its parents go round in a circle"),
    ],
)
def test_a_message_that_is_not_usable_is_named(tmp_path: Path, change: dict[str, Any], match: str) -> None:
    fails(export(tmp_path, talk(message("m1", "human", "x") | change)), match)


@pytest.mark.parametrize(
    ("conversation", "match"),
    [
        (
            talk(chat_messages=None),
            r"conversation 1 \(\"A talk\"\): `chat_messages` is \"None\".*Is it an export of Claude",
        ),
        (talk(3), r"message 1 is \"3\", not an object"),
        (talk(message("m", "human", "x"), uuid=None), r"uuid is \"None\"; it must be a text"),
        (talk(*[message("m", "human", "x")] * 2), r"message \"m\": two messages have this uuid"),
        (
            talk(message("m", "human", "x", parent_message_uuid=None), current_leaf_message_uuid="gone"),
            r"current_leaf_message_uuid is \"gone\", which is no message",
        ),
        (talk(), r"holds no message"),
    ],
)
def test_a_conversation_that_is_not_usable_is_named(tmp_path: Path, conversation: Any, match: str) -> None:
    fails(export(tmp_path, conversation), match)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_export_ends_in_rows_or_one_error(tmp_path: Path, data: st.DataObject) -> None:
    blocks = [{"type": "text", "text": "x"}]
    messages = [message("m1", "human", "x", content=blocks), message("m2", "assistant", "y", parent_message_uuid="m1")]
    text = json.dumps([talk(*messages)] * 2)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text) - 1))
        piece = data.draw(
            st.sampled_from(["", "{", "}", "[", "]", '"', "\\", "3", "null,", ",", "\0", "\\ud800", "e99"])
        )
        text = text[:at] + piece + text[at + data.draw(st.integers(0, 8)) :]
    path = export(tmp_path, text=text)
    told = ""
    try:
        assert all(row["id"] for row in rows(path))
    except DataError as error:
        told = str(error)
    assert not told or "conversation" in told
