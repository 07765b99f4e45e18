"""An export is read exactly as it stands, or refused with file, line, column, value and the next move."""

import csv
import gzip
import io
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from twin.errors import ConfigError, DataError
from twin.export.columns import ALIASES, match
from twin.export.manifest import ExportFile, Manifest, check_name, edited, read_manifest, write_manifest
from twin.export.records import columns
from twin.export.roles import counts_text, override
from twin.export.rows import Row, read
from twin.files import sha256_file

HEADER = "id,conversation_id,role,content,created_at\n"
TIME = "2026-01-02 03:04:05.678+00"
LINE = f"a,c,user,hello,{TIME}\n"
OBJECT = {"id": "a", "conversation_id": "c", "role": "user", "content": "hello", "created_at": "2026-01-02T03:04:05Z"}
SECRET = "sk-" + "ant-api03-q7Wm2Zk9Lx4Tn8Vb1Rc5"
Write = Callable[[str, str | bytes], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    monkeypatch.chdir(tmp_path)

    def write_file(name: str, data: str | bytes) -> Path:
        path = Path(name)
        path.write_bytes(data if isinstance(data, bytes) else data.encode("utf-8"))
        return path

    return write_file


def jsonl(*objects: dict[str, Any]) -> str:
    return "".join(json.dumps(value) + "\n" for value in objects)


def saying(content: str) -> str:
    return HEADER + LINE.replace("hello", content)


def at(time: str) -> str:
    return HEADER + LINE.replace(TIME, time)


def only(path: Path) -> Row:
    (row,) = read(path)
    return row


def test_one_turn_reads_the_same_from_every_format(write: Write) -> None:
    cells = dict(OBJECT, content='say "no",\nthen\u2028 é 👍', trajectory_depth=3, salience_score=0.25, phase=None)
    table = io.StringIO()
    writer = csv.DictWriter(table, list(cells))
    writer.writeheader()
    writer.writerow(cells)
    text, line = table.getvalue(), jsonl(cells)
    paths = [
        write("e.csv", text),
        write("bom.csv", b"\xef\xbb\xbf" + text.encode()),
        write("e.csv.gz", gzip.compress(text.encode())),
        write("e.jsonl", line),
        write("bom.ndjson", b"\xef\xbb\xbf" + line.encode()),
        write("e.jsonl.gz", gzip.compress(line[:40].encode()) + gzip.compress(line[40:].encode())),
    ]
    rows = [only(path) for path in paths]
    assert len({row._replace(file="", line=0) for row in rows}) == 1
    assert rows[0].content == cells["content"]
    assert (rows[0].salience, rows[0].phase, rows[0].depth) == (0.25, None, 3)
    assert [row.line for row in rows] == [2, 2, 2, 1, 1, 1]


def test_every_alias_is_accepted(write: Write) -> None:
    for column, aliases in ALIASES.items():
        for alias in aliases:
            names = {"id": "id", "conversation_id": "session_id", "role": "role", "content": "text"}
            names |= {"created_at": "timestamp", column: alias.upper()}
            assert match(list(names.values()), "x").names[column] == alias.upper()


def test_a_row_is_placed_at_the_line_where_it_begins(write: Write) -> None:
    path = write("e.csv", HEADER + 'a,c,user,"one\n\ntwo\r\nthree",2026-01-02T03:04:05Z\n\n' + LINE)
    assert [row.place for row in read(path)] == ["e.csv:2", "e.csv:7"]


def test_user_text_that_looks_like_null_stays_text(write: Write) -> None:
    for text in ("NULL", "null", "NA", "NaN", "None", "\\N"):
        assert only(write("e.csv", HEADER + LINE.replace("hello", text))).content == text
    assert only(write("e.csv", HEADER + LINE.replace("hello", '""'))).content == ""
    assert only(write("e.jsonl", jsonl(OBJECT | {"content": None}))).content == ""


def test_content_is_trimmed_and_its_line_ends_are_lf(write: Write) -> None:
    assert only(write("e.csv", HEADER + LINE.replace("hello", '"  a\r\nb\rc \n"'))).content == "a\nb\nc"


def test_a_cell_larger_than_the_csv_modules_limit_is_read(write: Write) -> None:
    assert len(only(write("e.csv", HEADER + LINE.replace("hello", "x" * 300_000))).content) == 300_000


def test_a_role_is_lower_case_and_null_has_a_name(write: Write) -> None:
    assert only(write("e.csv", HEADER + LINE.replace("user", " User "))).role == "user"
    assert only(write("e.jsonl", jsonl(OBJECT | {"role": None}))).role == "none"


def test_numeric_ids_are_text(write: Write) -> None:
    assert only(write("e.jsonl", jsonl(OBJECT | {"id": 17}))).id == "17"


@pytest.mark.parametrize(
    "text",
    ["2026-01-02 03:04:05+00", "2026-01-02T03:04:05Z", "2026-01-02 08:34:05+05:30", "2026-01-01T22:04:05.000-0500"],
)
def test_times_of_every_writer_become_utc(write: Write, text: str) -> None:
    assert only(write("e.jsonl", jsonl(OBJECT | {"created_at": text}))).created_at == datetime(
        2026, 1, 2, 3, 4, 5, tzinfo=UTC
    )


BAD_CSV = {
    "header only": (HEADER, r" has no rows below its header\. Export again\.$"),
    "only blank lines": ("\n\n", r" is empty: it has neither header nor rows"),
    "wrong columns": (
        "uuid,thread_id,role,body\n1,2,3,4\n",
        r":1: missing columns: id or turn_id or message_id; content_text or content or text or message; "
        r'created_at or timestamp\. The file has: "uuid", "thread_id", "role", "body"\.',
    ),
    "semicolons": (HEADER.replace(",", ";") + LINE.replace(",", ";"), r":1: .* not separated by commas"),
    "duplicated columns": ("message_id," + HEADER + "x," + LINE, r":1: the columns message_id and id both mean id"),
    "open quote": (
        HEADER + LINE + 'b,c,user,"never closed,2026',
        r":3: a quoted cell .* never closed: the file is cut",
    ),
    "short last row": (
        HEADER + LINE + "b,c,us",
        r":3: row has 3 fields, the header has 5\. It is the last row: .* cut",
    ),
    "short row": (HEADER + "b,c,user,x\n" + LINE, r":2: row has 4 fields, the header has 5\. Fix the row"),
    "long row": (saying("a,b"), r":2: row has 6 fields, the header has 5\. Fix the row"),
    "quote in quotes": (saying('"a "b" c"'), r":2: not valid CSV .* every quote is doubled"),
    "lone carriage return": ((HEADER + LINE).replace("\n", "\r"), r":1: a carriage return stands outside quotes"),
    "no zone": (at(TIME[:-3]), r':2: created_at is "2026-01-02 03:04:05\.678", which has no zone'),
    "no time": (at("soon"), r':2: created_at is "soon"; it must be ISO'),
    "infinite time": (at("infinity"), r'.* is "infinity"; it must be'),
    "time out of range": (at("0001-01-01T00:00+10:00"), r".* ISO 8601"),
    "empty time": (at(""), r":2: created_at is empty"),
    "no id": (HEADER + LINE.replace("a,c", ",c"), r":2: id is empty\. Give every row one\.$"),
    "salience": (
        HEADER.replace("\n", ",salience_score\n") + LINE.replace("\n", ",high\n"),
        r':2: salience_score is "high"; it must be a finite number',
    ),
    "depth": (
        HEADER.replace("\n", ",trajectory_depth\n") + LINE.replace("\n", ",1.5\n"),
        r':2: trajectory_depth is "1\.5"; it must be a whole number',
    ),
    "nul": (saying("a\0b"), r":2: byte 11 of the line is NUL"),
}


@pytest.mark.parametrize("case", BAD_CSV)
def test_a_bad_csv_names_line_column_value_and_next_move(write: Write, case: str) -> None:
    text, message = BAD_CSV[case]
    with pytest.raises(DataError, match=rf"^e\.csv{message}"):
        list(read(write("e.csv", text)))


BAD_JSONL = {
    "only blank lines": ("\n \n", r" has no rows\. Export again"),
    "cut last line": (jsonl(OBJECT) + jsonl(OBJECT)[:30], r":2: the last line is not whole JSON .* looks cut"),
    "broken line": (jsonl(OBJECT)[:30] + "\n" + jsonl(OBJECT), r":1: not JSON \(.*character \d+\)"),
    "array file": ("[\n" + jsonl(OBJECT) + "]", r":1: the file is a JSON array, not JSONL.*jq -c"),
    "array line": (jsonl(OBJECT) + "[1]\n", r":2: the line is an array, not a JSON object"),
    "text line": ('"x"\n', r":1: the line is a str, not a JSON object"),
    "nan": (jsonl(OBJECT | {"salience": float("nan")}), r":1: NaN is not JSON"),
    "huge number": (jsonl(OBJECT)[:-2] + ', "salience": 1e999}', r':1: salience is "inf"; it must be a finite'),
    "huge integer": ('{"id": ' + "9" * 5000 + "}\n", r":1: Exceeds the limit"),
    "deep": ('{"id": ' + "[" * 100_000, r":1: (nested too deep|the last line is not whole)"),
    "key twice": ('{"id": 1, "id": 2}\n', r":1: a key stands twice in one object"),
    "missing key": (jsonl(OBJECT, {"id": "b"}), r':2: missing columns: conversation_id or .* has: "id"\.'),
    "two names": (jsonl(OBJECT | {"text": "x"}), r":1: the columns content and text both mean content"),
    "surrogate": (jsonl(OBJECT | {"content": "\ud83d"}), r":1: content holds half of a surrogate pair"),
    "nul": (jsonl(OBJECT | {"content": "a\0"}), r":1: content holds a NUL"),
    "list content": (jsonl(OBJECT | {"content": [1]}), r":1: content is a list, not text"),
    "true id": (jsonl(OBJECT | {"id": True}), r":1: id is true or false, not text"),
    "epoch": (jsonl(OBJECT | {"created_at": 1767323045}), r':1: created_at is "1767323045"; it must be ISO 8601 text'),
}


@pytest.mark.parametrize("case", BAD_JSONL)
def test_a_bad_jsonl_names_line_column_value_and_next_move(write: Write, case: str) -> None:
    text, message = BAD_JSONL[case]
    with pytest.raises(DataError, match=rf"^e\.jsonl{message}"):
        list(read(write("e.jsonl", text)))


GZIPPED = gzip.compress((HEADER + LINE * 50).encode())
BAD_BYTES = {
    "empty": ("e.csv", b"", r" is empty \(0 bytes\)"),
    "empty gz": ("e.csv.gz", gzip.compress(b""), r" is empty"),
    "cut gz": ("e.csv.gz", GZIPPED[:-12], r": the gzip data ends too early: the file is cut"),
    "damaged gz": ("e.csv.gz", GZIPPED[:-8] + b"00000000", r": the gzip data is damaged"),
    "not gz": ("e.csv.gz", (HEADER + LINE).encode(), r" is named \.gz but is not gzip"),
    "latin-1": ("e.csv", saying("café").encode("latin-1"), r":2: byte 13 of the line is 0xe9"),
    "utf-16": ("e.csv", (HEADER + LINE).encode("utf-16"), r":1: the file is UTF-16"),
    "format": ("e.xlsx", b"PK", r": its format is not known by its name\. Export \.csv"),
    "parquet in gz": ("e.parquet.gz", b"PAR1", r": Parquet is compressed inside\. Unpack it"),
}


@pytest.mark.parametrize("case", BAD_BYTES)
def test_bad_bytes_are_refused(write: Write, case: str) -> None:
    name, data, message = BAD_BYTES[case]
    with pytest.raises(DataError, match=rf"^{re.escape(name)}{message}"):
        list(read(write(name, data)))


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nothing\.csv is missing"):
        list(read(tmp_path / "nothing.csv"))
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DataError, match=r"folder\.csv cannot be read \(Is a directory\)"):
        list(read(tmp_path / "folder.csv"))


def test_no_message_shows_a_secret_or_much_of_a_cell(write: Write) -> None:
    for text in (SECRET, "word " * 100 + SECRET):
        shifted = LINE.replace("2026-01-02 03:04:05.678+00", text)
        for data in (HEADER + shifted, shifted * 2):
            with pytest.raises(DataError, match=r"^e\.csv:\d") as caught:
                list(read(write("e.csv", data)))
            assert SECRET[:12] not in str(caught.value)
            assert len(str(caught.value)) < 500
            assert caught.value.__cause__ is None
            assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_columns_are_those_of_the_header_or_of_the_first_object(write: Write) -> None:
    assert columns(write("e.csv", "embedding," + HEADER))[:2] == ("embedding", "id")
    assert columns(write("e.jsonl", jsonl(OBJECT))) == tuple(OBJECT)


def folder_with(tmp_path: Path, **changes: Any) -> tuple[Path, Manifest]:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "e.csv").write_text(HEADER + LINE)
    file = ExportFile("e.csv", sha256_file(folder / "e.csv"), (folder / "e.csv").stat().st_size, 1)
    manifest = Manifest((file,), ("id",), **changes)
    write_manifest(folder, manifest)
    return folder, manifest


def test_a_manifest_reads_back_as_it_was_written(tmp_path: Path) -> None:
    folder, manifest = folder_with(tmp_path, synthetic=True)
    assert read_manifest(folder) == manifest
    assert not edited(folder, manifest)
    (folder / "e.csv").write_text(HEADER + LINE.replace("hello", "bye"))
    assert edited(folder, manifest)


def test_a_folder_must_hold_exactly_what_its_manifest_names(tmp_path: Path) -> None:
    folder, _ = folder_with(tmp_path)
    (folder / "README.md").write_text("About this export.")
    (folder / "labels.csv").write_text("id,act\na,go\n")
    read_manifest(folder)
    for data in (b"", gzip.compress(jsonl(OBJECT).encode())):
        (folder / "more.jsonl.gz").write_bytes(data)
        with pytest.raises(DataError, match=r"more\.jsonl\.gz is not in manifest\.json, so it would not be read"):
            read_manifest(folder)
    (folder / "more.jsonl.gz").unlink()
    (folder / "e.csv").unlink()
    with pytest.raises(DataError, match=r"e\.csv is missing, though manifest\.json names it.*dvc checkout"):
        read_manifest(folder)


@pytest.mark.parametrize(
    "text", ["[]", "{}", '{"files": [], "columns": []}', '{"files": [{"name": "../e.csv"}], "columns": []}']
)
def test_what_is_no_manifest_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(DataError, match=r"manifest\.json is not a manifest\. Bring the export again"):
        read_manifest(tmp_path)


def test_a_missing_folder_names_what_is_there(tmp_path: Path) -> None:
    folder_with(tmp_path)
    with pytest.raises(DataError, match=r"twin bring PATH --as nono.*-S ingest\.source=…: mine\.$"):
        read_manifest(tmp_path / "nono")


@pytest.mark.parametrize("name", ["", "A", "../x", "a b", "_a", "a/b", "a.b"])
def test_a_folder_name_is_plain(name: str) -> None:
    check_name("memory_turns-2", "--as")
    with pytest.raises(ConfigError, match=r"^--as is .* use lower-case letters"):
        check_name(name, "--as")


def test_the_role_override_is_one_that_hydra_can_parse() -> None:
    assert override("developer", "drop", known=False) == "-S '+ingest.roles.developer=drop'"
    assert override("user", "person", known=True) == "-S ingest.roles.user=person"
    assert override("jim lovell", "person", known=False).startswith('the line "jim lovell": person below roles:')


def test_counts_per_role_show_the_commonest_and_no_secret() -> None:
    assert counts_text({"b": 1, "a": 1200}) == "a 1,200, b 1"
    assert counts_text({f"r{n:02}": 1 for n in range(15)}).endswith("r11 1, and 3 more roles")
    assert SECRET[:12] not in counts_text({SECRET.lower(): 3})
