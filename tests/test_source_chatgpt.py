"""ChatGPT's account export gives the branch that was kept, in its order, and counts what is no part of it.

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
from twin.source.accounts import array, kind
from twin.source.chatgpt import batches

SECRET = "sk-" + "ant-api03-q7Wm2Zk9Lx4Tn8Vb1Rc5"


def message(role: str, *parts: Any, time: Any = 1.0, kind: str = "text", **more: Any) -> dict[str, Any]:
    content = {"content_type": kind, "parts": list(parts)}
    return {"author": {"role": role, "name": None}, "create_time": time, "content": content, "metadata": {}} | more


def tree(*nodes: tuple[str, str | None, dict[str, Any] | None], leaf: str = "", **more: Any) -> dict[str, Any]:
    mapping = {
        node: {"id": node, "message": said, "parent": parent, "children": [n for n, p, _ in nodes if p == node]}
        for node, parent, said in nodes
    }
    leaf = leaf or nodes[-1][0]
    return {"title": "A talk", "create_time": 1.0, "mapping": mapping, "current_node": leaf, "id": "c1"} | more


def chain(*messages: dict[str, Any] | None, **more: Any) -> dict[str, Any]:
    nodes = [("root", None, None)]
    for number, said in enumerate(messages):
        nodes.append((f"m{number}", nodes[-1][0], said))  # type: ignore[arg-type]
    return tree(*nodes, **more)


def export(folder: Path, *conversations: Any, text: str | bytes | None = None) -> Path:
    path = folder / "conversations.json"
    data = json.dumps(conversations) if text is None else text
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def rows(path: Path, left_out: Counter[str] | None = None) -> list[dict[str, Any]]:
    made = list(batches(path, left_out=left_out))
    assert all(batch.schema == ROWS for batch in made)
    return [row for batch in made for row in batch.to_pylist()]


def said(path: Path) -> list[str]:
    return [row["content"] for row in rows(path)]


def fails(path: Path, match: str) -> None:
    with pytest.raises(DataError, match=match):
        rows(path)


def test_a_message_becomes_a_row(tmp_path: Path) -> None:
    talk = chain(message("user", "Hi\r\n", time=1706745600.123456), message("assistant", "Yes", time=1706745601))
    first, second = rows(export(tmp_path, talk | {"conversation_id": "c-7"}))
    assert (first["id"], first["conversation_id"], first["role"], first["content"]) == ("m0", "c-7", "user", "Hi")
    assert first["created_at"] == datetime(2024, 2, 1, 0, 0, 0, 123456, tzinfo=UTC)
    assert (first["depth"], second["depth"], first["author"]) == (0, 1, None)


def test_only_the_branch_of_the_current_node_is_the_conversation(tmp_path: Path) -> None:
    nodes = (
        ("root", None, None),
        ("q", "root", message("user", "question")),
        ("a1", "q", message("assistant", "first try")),
        ("b1", "a1", message("user", "on the first try")),
        ("a2", "q", message("assistant", "second try")),
        ("empty", "q", None),
    )
    counts: Counter[str] = Counter()
    assert [row["id"] for row in rows(export(tmp_path, tree(*nodes, leaf="a2")), counts)] == ["q", "a2"]
    assert +counts == {"side_branch": 2}


def test_what_nobody_said_is_left_out_and_counted(tmp_path: Path) -> None:
    hidden = {"metadata": {"is_visually_hidden_from_conversation": True}}
    code = {"content": {"content_type": "code", "text": "print(1)"}, "recipient": "python"}
    output = {"content": {"content_type": "execution_output", "text": "1"}}
    talk = chain(
        message("system", "", **hidden),
        message("user", "I am a cook", kind="user_editable_context"),
        message("user", "hidden words", **hidden),
        message("user", "sum?"),
        message("assistant", kind="thoughts"),
        message("assistant", **code),
        message("tool", **output),
        message("assistant", "search", recipient="browser"),
        message("assistant", "1", recipient="all"),
        message("user", "", recipient="browser"),
    )
    counts: Counter[str] = Counter()
    found = [(row["role"], row["content"]) for row in rows(export(tmp_path, talk), counts)]
    assert found == [("user", "sum?"), ("tool", "1"), ("assistant", "1"), ("user", "")]
    assert +counts == {"hidden": 3, "thinking": 1, "tool_call": 2}


def test_the_text_beside_a_picture_is_kept_and_the_picture_counted(tmp_path: Path) -> None:
    picture = {"content_type": "image_asset_pointer", "asset_pointer": "file-service://x"}
    spoken = {"content_type": "audio_transcription", "text": "aloud", "direction": "in"}
    sound = {"content_type": "real_time_user_audio_video_asset_pointer"}
    talk = chain(
        message("user", picture, "what is it?", kind="multimodal_text"),
        message("user", picture, picture, kind="multimodal_text"),
        message("user", sound, spoken, kind="multimodal_text"),
        message("user", "one", None, "two"),
        message("user", content=None),
    )
    counts: Counter[str] = Counter()
    found = [row["content"] for row in rows(export(tmp_path, talk), counts)]
    assert found == ["what is it?", "", "aloud", "one\ntwo", ""]
    assert +counts == {"image": 3, "attachment": 1}


def test_times_never_step_back_along_a_branch(tmp_path: Path) -> None:
    times = [None, 5.0, None, 3.0, 0, 6.5, "1970-01-01T00:00:08Z"]
    counts: Counter[str] = Counter()
    talk = chain(*(message("user", "x", time=time) for time in times))
    found = rows(export(tmp_path, talk), counts)
    assert [row["created_at"].timestamp() for row in found] == [5, 5, 5, 5, 5, 6.5, 8]
    assert [row["depth"] for row in found] == [0, 1, 2, 3, 4, 5, 6]
    assert +counts == {"no_time": 3, "early_time": 1}
    assert rows(export(tmp_path, chain(message("user", "x", time=None))))[0]["created_at"].timestamp() == 1
    fails(export(tmp_path, chain(message("user", "x", time=None), create_time=None)), "nor one of .* has a create_time")


def test_an_archive_a_folder_and_several_files_read_the_same(tmp_path: Path) -> None:
    talks = [chain(message("user", f"talk {number}"), id=f"c{number}") for number in range(3)]
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    export(tmp_path / "whole", *talks)
    for number, order in ((0, 0), (2, 1), (10, 2)):
        (tmp_path / "parts" / f"conversations-{number}.json").write_text(json.dumps([talks[order]]))
    for name in ("whole", "parts"):
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("x/user.json", "{}")
            archive.writestr("x/old/conversations.json", "[")
            for file in sorted((tmp_path / name).iterdir(), reverse=True):
                archive.write(file, f"x/{file.name}")
    paths = [tmp_path / name for name in ("whole", "parts", "whole.zip", "parts.zip", "whole/conversations.json")]
    assert [said(path) for path in paths] == [["talk 0", "talk 1", "talk 2"]] * 5
    assert {kind(path) for path in paths} == {"chatgpt"}


def test_an_export_is_told_by_its_first_conversation(tmp_path: Path) -> None:
    assert kind(export(tmp_path, {"uuid": "u", "chat_messages": []})) == "claude"
    for text in ("", "[]", "[{}]", "[1]", "{", '{"mapping": {}}', "id,role\n", "[{"):
        assert kind(export(tmp_path, text=text)) is None
    assert kind(tmp_path / "missing.json") is None
    assert kind(tmp_path) is None


def test_an_array_is_read_the_same_whatever_the_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    talks = [chain(message("user", f'é "👍" \\ {number} ' + "x" * number)) for number in range(20)]
    paths = [export(tmp_path, *talks), tmp_path / "indented.json"]
    paths[1].write_text("\ufeff " + json.dumps(talks, indent=2, ensure_ascii=False) + "\n")
    texts = [talk["mapping"]["m0"]["message"]["content"]["parts"][0].strip() for talk in talks]
    for chunk in (1, 7, 100, 1 << 20):
        monkeypatch.setattr(array, "CHUNK_BYTES", chunk)
        assert said(paths[0]) == said(paths[1]) == texts


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"mapping": None}, r"conversation 2 \(\"A talk\"\): `mapping` is \"None\".*Is it an export of ChatGPT\?"),
        ({"id": None}, r"conversation 2 .*conversation_id is \"None\"; it must be a text"),
        ({"current_node": "gone"}, r"current_node is \"gone\", which is not in `mapping`"),
        ({"title": f"my {SECRET}", "mapping": []}, r"conversation 2 \(\"my <SECRET_1>\"\)"),
        ({"mapping": {"m": 3}}, r"message \"m\": the node is \"3\""),
        ({"mapping": {"m": {"message": "x"}}}, r"message \"m\": it is \"x\", not an object"),
        ({"mapping": {"m": {"parent": "gone"}}, "current_node": "m"}, r"message \"m\": parent is \"gone\""),
        ({"mapping": {"m": {"parent": "m"}}, "current_node": "m"}, r"message \"m\": its parents go round in a circle"),
        ({"create_time": "soon"}, r"conversation 2 \(\"A talk\"\): create_time is \"soon\"; it must be ISO"),
        ({"create_time": 1e30}, r"create_time is \"1e\+30\"; it must be seconds since 1970"),
        ({"create_time": True}, r"create_time is \"True\""),
    ],
)
def test_a_conversation_that_is_not_usable_is_named(tmp_path: Path, change: dict[str, Any], match: str) -> None:
    good = chain(message("user", "x"))
    fails(export(tmp_path, good, good | change), match)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"author": None}, r"conversations\.json: conversation 1 \(\"A talk\"\), message \"m0\": author is \"None\""),
        ({"author": {"role": 3}}, r"message \"m0\": author\.role is \"3\", not text"),
        ({"content": "x"}, r"message \"m0\": content is \"x\", not an object"),
        ({"content": {"parts": "x"}}, r"message \"m0\": content\.parts is \"x\", not a list"),
        ({"content": {"parts": [3]}}, r"message \"m0\": a part of its content is \"3\""),
        ({"content": {"parts": [{"text": 3}]}}, r"message \"m0\": content\.parts\.text is \"3\", not text"),
        ({"content": {"parts": ["\ud800"]}}, r"message \"m0\": content holds half of a surrogate pair"),
        ({"content": {"parts": ["a\0b"]}}, r"message \"m0\": content holds a NUL"),
        ({"create_time": []}, r"message \"m0\": create_time is \"\[\]\""),
    ],
)
def test_a_message_that_is_not_usable_is_named(tmp_path: Path, change: dict[str, Any], match: str) -> None:
    fails(export(tmp_path, chain(message("user", "x") | change)), match)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", r"begins with \"\", not with the \["),
        ('{"a": 1}', r"begins with \"{\", not with the \[ of an array"),
        ("[]", "holds no message"),
        ('[{"mapping": {}, "id": "c"}]', "holds no message"),
        ('[{"mapping": {}, "id": "c"}', r"conversation 1: the file ends here\. The file is cut"),
        ('[{"a": "b', r"conversation 1: the file ends within it\. The file is cut"),
        ("[{}, ", r"conversation 1 .*`mapping`"),
        ('[{"a": nul, "b": "                          "}]', r"conversation 1: not JSON \(Expecting value\)"),
        ('[{"a": NaN}]', "conversation 1: NaN is not JSON"),
        ('[{"a": 1, "a": 2}]', "conversation 1: a key stands twice"),
        ("[" * 200_000, "conversation 1: it is nested too deep"),
        ("[3]", r"conversation 1 is \"3\", not an object"),
        ('["' + SECRET + '"]', r"conversation 1 is \"<SECRET_1>\""),
        (b"[\xff]", "is not UTF-8"),
    ],
)
def test_a_file_that_is_not_an_array_of_conversations_is_refused(tmp_path: Path, text: str | bytes, match: str) -> None:
    fails(export(tmp_path, text=text), match)


def test_what_follows_the_array_is_refused(tmp_path: Path) -> None:
    whole = json.dumps([chain(message("user", "x"))])
    for text, match in ((whole + "x", '"x" follows the array'), (whole[:-1] + " 3", '"3" follows it, not a comma')):
        fails(export(tmp_path, text=text), match)


def test_an_archive_that_is_damaged_or_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "export.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("user.json", "{}")
    fails(path, r"export\.zip holds no conversations\.json")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("conversations.json", json.dumps([chain(message("user", "hello " * 99))]))
    data = bytearray(path.read_bytes())
    data[60] ^= 0xFF
    path.write_bytes(data)
    fails(path, r"export\.zip:conversations\.json: the zip data is damaged")
    fails(tmp_path / "missing.json", r"missing\.json is missing")
    assert kind(path) is None


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_export_ends_in_rows_or_one_error(tmp_path: Path, data: st.DataObject) -> None:
    text = json.dumps([chain(message("user", "x"), message("assistant", "y", 3 * "z"))] * 2)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text) - 1))
        piece = data.draw(
            st.sampled_from(["", "{", "}", "[", "]", '"', "\\", "3", "null,", ",", "\0", "\\ud800", "e99"])
        )
        text = text[:at] + piece + text[at + data.draw(st.integers(0, 8)) :]
    path = export(tmp_path, text=text)
    assert kind(path) in ("chatgpt", "claude", None)
    told = ""
    try:
        assert all(row["id"] for row in rows(path))
    except DataError as error:
        told = str(error)
    assert not told or "conversation" in told
