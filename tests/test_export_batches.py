"""Batches of every format hold what the exact reader reads, or both refuse; damage is one clear error."""

import gzip
import json
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from twin.errors import DataError
from twin.export import blocks, fast_objects, parquet, streams
from twin.export.batches import batches
from twin.export.canonical import ROWS
from twin.export.records import columns, is_csv, is_export, place, unterminated
from twin.export.rows import read

NAMES: Final = ("id", "conversation_id", "role", "content_text", "created_at", "salience_score", "trajectory_depth")
TEXTS: Final = (
    "", "hello", 'say "no",\nthen\u2028 é 👍', "  a\r\nb\rc \n", "NULL", "NaN", "\\N", "\\.", "#", "a:b\": {\"c\": 1}",
    "\x85edge\u3000", "\x1funit", "\ufeffmark", "x" * 3000, '"', '""', ",", "=1+1", "C:\\", "half … done...", "\ud7ff",
)  # fmt: skip
TIME: Final = "2026-01-02 03:04:05.678+00"
GOOD: Final = dict(zip(NAMES, ("a", "c", "user", "hello", TIME, 0.5, 3), strict=True))
Row = dict[str, Any]
Write = Callable[[str, bytes], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    monkeypatch.chdir(tmp_path)

    def write_file(name: str, data: bytes) -> Path:
        Path(name).write_bytes(data)
        return Path(name)

    return write_file


def fast(path: Path, zone: Any = None) -> list[Row]:
    found = list(batches(path, zone))
    assert all(batch.schema == ROWS and len(batch) for batch in found)
    for batch in found:
        batch.validate(full=True)
    return list(chain.from_iterable(batch.to_pylist() for batch in found))


def exact(path: Path, zone: Any = None) -> list[Row]:
    return [{name: getattr(row, name) for name in ROWS.names} for row in read(path, zone)]


def outcome(read_file: Callable[[Path], list[Row]], path: Path) -> list[Row] | str:
    try:
        return read_file(path)
    except DataError as error:
        return "refused" if str(path) in str(error) else f"says not where: {error}"


def as_csv(rows: list[Row], ends: str = "\n") -> bytes:
    lines = [rows[0].keys(), *([row[name] for name in rows[0]] for row in rows)]
    return "".join(",".join(map(as_cell, line)) + ends for line in lines).encode()


def as_cell(value: Any) -> str:
    text = "" if value is None else str(value)
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in '",\r\n') else text


def as_jsonl(rows: list[Row]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def as_json(rows: list[Row]) -> bytes:
    return json.dumps(rows, indent=1, ensure_ascii=False).encode()


def as_parquet(rows: list[Row]) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows), sink, write_page_checksum=True)
    return bytes(sink.getvalue().to_pybytes())


def zst(data: bytes) -> bytes:
    return bytes(pa.compress(data, codec="zstd", asbytes=True))


FORMATS: Final[dict[str, Callable[[list[Row]], bytes]]] = {
    "csv": as_csv,
    "jsonl": as_jsonl,
    "json": as_json,
    "parquet": as_parquet,
    "csv.gz": lambda rows: gzip.compress(as_csv(rows, "\r\n")),
    "csv.zst": lambda rows: zst(as_csv(rows)),
    "jsonl.gz": lambda rows: gzip.compress(as_jsonl(rows)),
    "jsonl.zst": lambda rows: zst(as_jsonl(rows)),
    "json.gz": lambda rows: gzip.compress(as_json(rows)),
    "ndjson.zst": lambda rows: zst(as_jsonl(rows)),
    "json.zst": lambda rows: zst(as_json(rows)),
}
ROW: Final = st.fixed_dictionaries(
    {
        "id": st.uuids().map(str),
        "conversation_id": st.sampled_from(["c", " d ", "e-1"]),
        "role": st.sampled_from(["user", " Assistant", "", "ÉTAT", "tool"]),
        "content_text": st.sampled_from(TEXTS)
        | st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=30),
        "created_at": st.datetimes(timezones=st.just(UTC)).map(lambda moment: moment.isoformat(" ")),
        "salience_score": st.floats(allow_nan=False, allow_infinity=False),
        "trajectory_depth": st.integers(0, 2**31 - 1),
    }
)
MANY: Final = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)


@pytest.mark.parametrize("kind", FORMATS)
def test_one_table_reads_the_same_from_every_format(write: Write, kind: str) -> None:
    rows = [GOOD | {"id": str(number), "content_text": text} for number, text in enumerate(TEXTS)]
    path = write(f"e.{kind}", FORMATS[kind](rows))
    assert is_export(path) and is_csv(path) == kind.startswith("csv")
    assert columns(path) == NAMES
    found = fast(path)
    assert found == exact(path) == fast(write("e.csv", as_csv(rows)))
    assert [row["id"] for row in found] == [row["id"] for row in rows]


@MANY
@given(rows=st.lists(ROW, min_size=1, max_size=12), kind=st.sampled_from([*FORMATS]), data=st.data())
def test_fast_and_exact_agree_on_valid_files(
    write: Write, monkeypatch: pytest.MonkeyPatch, rows: list[Row], kind: str, data: st.DataObject
) -> None:
    small = data.draw(st.integers(1, 400))
    with monkeypatch.context() as patched:
        patched.setattr(streams.blocks, "__defaults__", (small,))
        patched.setattr("twin.export.batches.LINES_BYTES", small)
        path = write(f"e.{kind}", FORMATS[kind](rows))
        assert fast(path) == exact(path)
        assert len(fast(path)) == len(rows)


DAMAGE: Final = ("cut", "byte", "insert", "double", "drop", "swap", "splice")


def damaged(data: st.DataObject, raw: bytes) -> bytes:
    """One or two faults of the kinds that copying, editing and broken disks make."""
    for _ in range(data.draw(st.integers(1, 2))):
        kind, at = data.draw(st.sampled_from(DAMAGE)), data.draw(st.integers(0, max(0, len(raw) - 1)))
        lines = raw.split(b"\n")
        line = at % len(lines)
        if kind == "cut":
            raw = raw[:at]
        elif kind == "byte":
            raw = raw[:at] + bytes([data.draw(st.integers(0, 255))]) + raw[at + 1 :]
        elif kind == "insert":
            raw = raw[:at] + data.draw(st.sampled_from(INSERTED)) + raw[at:]
        elif kind == "double":
            raw = b"\n".join(lines[: line + 1] + lines[line:])
        elif kind == "drop":
            raw = b"\n".join(lines[:line] + lines[line + 1 :])
        elif kind == "swap":
            raw = b"\n".join(lines[line:] + lines[:line])
        else:
            raw = raw[:at] + raw[at // 2 :]
    return raw


INSERTED: Final = (
    b'"', b'""', b",", b"\n", b"\r", b"\r\n", b"\0", b"\xff", b"\xe9", b"\xef\xbb\xbf", b"\\", b"{", b"}", b"[", b"]",
    b":", b" ", b"NaN", b'"id": 1, ', b'"id" :2,', b"1e999", b"9" * 30, b"\\ud83d", b"0x1F", b"\xc2\xa0", b"null",
)  # fmt: skip


@settings(MANY, max_examples=700)
@given(
    rows=st.lists(ROW, min_size=1, max_size=5),
    kind=st.sampled_from([*FORMATS]),
    data=st.data(),
)
def test_a_damaged_file_ends_in_the_exact_rows_or_in_one_error(
    write: Write, monkeypatch: pytest.MonkeyPatch, rows: list[Row], kind: str, data: st.DataObject
) -> None:
    inside, small = data.draw(st.booleans()), data.draw(st.integers(1, 300))
    bare, _, packed = kind.partition(".")
    if packed and inside:
        pack = gzip.compress if packed == "gz" else zst
        raw = pack(damaged(data, FORMATS[bare if bare != "ndjson" else "jsonl"](rows)))
    else:
        raw = damaged(data, FORMATS[kind](rows))
    with monkeypatch.context() as patched:
        patched.setattr(streams.blocks, "__defaults__", (small,))
        patched.setattr("twin.export.batches.LINES_BYTES", small)
        path = write(f"e.{kind}", raw)
        found = outcome(fast, path)
        assert found == outcome(exact, path)


BAD: Final[dict[str, tuple[str, bytes, str]]] = {
    "an empty array": ("e.json", b"[ ]\n", r" has no rows\. Export again"),
    "a cut array": ("e.json", as_json([GOOD, GOOD])[:-2], r": object 2: the array does not end after it: .* cut"),
    "a cut object": ("e.json", as_json([GOOD, GOOD])[:-40], r": object 1: the array does not end after it: .* cut"),
    "rubbish after": ("e.json", as_json([GOOD]) + b"x", r": something stands after the array's end\. Remove it"),
    "two arrays": ("e.json", as_json([GOOD]) * 2, r": something stands after the array's end"),
    "no comma": ("e.json", b"[" + as_jsonl([GOOD]) * 2 + b"]", r": object 1: no comma follows it"),
    "comma at the end": ("e.json", b"[" + as_jsonl([GOOD]) + b",]", r": object 2: it is not an object"),
    "an object": ("e.json", as_jsonl([GOOD]), r": it begins with an object, not .* \.jsonl; .*jq \.NAME"),
    "a number": ("e.json", b"[1]", r": object 1: it is not an object"),
    "text": ("e.json", b"<html>", r": not JSON: a \.json export is an array of objects"),
    "a key twice": ("e.json", b'[{"id": 1, "id": 2}]', r": object 1: a key stands twice in one object"),
    "a key twice inside": ("e.json", b'[{"x": {"a": 1, "a": 2}}]', r": object 1: a key stands twice"),
    "nan": ("e.json", b'[{"id": NaN}]' + b" " * 20, r": object 1: NaN is not JSON"),
    "broken": ("e.json", b'[{"id": 01}' + b" " * 20 + b"]", r": object 1: not JSON \(.*character 9 of it\)"),
    "a bad time": (
        "e.json", as_json([GOOD, GOOD | {"created_at": "soon"}]), r': object 2: created_at is "soon"; it must'
    ),
    "half a pair": (
        "e.json", json.dumps([GOOD | {"content_text": "\ud83d"}]).encode(), r": object 1: .* surrogate pair"
    ),
    "latin-1": ("e.json", '[{"id": "é"}]'.encode("latin-1"), r": about byte 10 is 0xe9, which is not UTF-8"),
    "cut in a letter": ("e.json", '[{"id": "é'.encode()[:-1], r": about byte 11 is 0xc3, which is not UTF-8"),
    "nul": ("e.json", b'[{"id": "a\0b"}]', r": about byte 11 is NUL"),
    "utf-16": ("e.json", as_json([GOOD]).decode().encode("utf-16"), r":1: the file is UTF-16"),
    "an array in jsonl": ("e.jsonl", as_json([GOOD]), r":1: the file is a JSON array, not JSONL.*\.json file"),
    "jsonl key twice": ("e.jsonl", as_jsonl([GOOD]) + b'{"id":1,"id":2}\n', r":2: a key stands twice"),
    "jsonl key twice, spaced": ("e.jsonl", b'{"id" :1,"id":2}\n', r":1: a key stands twice"),
    "jsonl key twice, hidden": ("e.jsonl", b'{"a\\\\":1,"b":":","b":2}\n', r":1: a key stands twice"),
    "jsonl key twice inside": ("e.jsonl", b'{"x":[{"a":1,"a":2}]}\n', r":1: a key stands twice"),
    "jsonl cut": ("e.jsonl", as_jsonl([GOOD, GOOD])[:-9], r":2: the last line is not whole JSON .* looks cut"),
    "cut in quotes": ("e.csv", as_csv([GOOD] * 9) + b'b,c,user,"never', r":11: a quoted cell .* never closed"),
    "cut between fields": ("e.csv", as_csv([GOOD] * 9) + b"b,c,us", r":11: row has 3 fields, .* last row: .* cut"),
    "text after quotes": ("e.csv", as_csv([GOOD]).replace(b"hello", b'"a"b'), r":2: not valid CSV"),
    "two headers": ("e.csv", as_csv([GOOD]) * 2, r':3: (salience_score|created_at) is "'),
    "latin-1 in what means nothing": (
        "e.csv", as_csv([GOOD | {"x": "é"}]).decode().encode("latin-1"), r":2: byte .* 0xe9"
    ),
    "a bad line deep in a block": (
        "e.csv",
        as_csv([GOOD] * 400 + [GOOD | {"content_text": "a\n\nb"}] * 2 + [GOOD | {"created_at": "2026-01-02 03:04"}]),
        r':408: created_at is "2026-01-02 03:04", which has no zone',
    ),
    "hexadecimal": (
        "e.csv", as_csv([GOOD | {"trajectory_depth": "0x1F"}]), r':2: trajectory_depth is "0x1F"; it must'
    ),
    "gz inside csv": ("e.csv", gzip.compress(as_csv([GOOD])), r" holds \.gz data .* Rename it to e\.csv\.gz"),
    "zst inside gz": (
        "e.csv.gz", zst(as_csv([GOOD])), r" holds \.zst data .* Rename it to e\.csv\.zst|is named \.gz but"
    ),
    "plain named zst": ("e.csv.zst", as_csv([GOOD]), r" is named \.zst but is not zstd data"),
    "cut zst": ("e.csv.zst", zst(as_csv([GOOD] * 99))[:-3], r": the zstd data ends too early: the file is cut"),
    "damaged zst": (
        "e.jsonl.zst", zst(as_jsonl([GOOD]))[:9] + b"\xff" * 30, r": the zstd data (is damaged|ends too)"
    ),
    "zst and rubbish": ("e.jsonl.zst", zst(as_jsonl([GOOD])) + b"abcde", r": the zstd data is damaged"),
    "empty zst": ("e.csv.zst", zst(b""), r" is empty: nothing is in it"),
    "cut gz member": (
        "e.csv.gz", gzip.compress(as_csv([GOOD])) + gzip.compress(b"b,c")[:9], r": the gzip data ends too"
    ),
    "a mark alone": ("e.csv", b"\xef\xbb\xbf", r" is empty: nothing is in it"),
    "zip": ("e.csv", b"PK\x03\x04" + b"x" * 30, r" is a zip archive\. Unpack it"),
    "parquet named csv": ("e.csv", as_parquet([GOOD]), r" is Parquet data\. Rename it to end in \.parquet"),
    "csv named parquet": ("e.parquet", as_csv([GOOD]), r" is named \.parquet but is not Parquet data"),
    "cut parquet": ("e.parquet", as_parquet([GOOD])[:-9], r": the Parquet data is cut or damaged \("),
    "parquet of nothing": ("e.parquet", as_parquet([GOOD])[:4], r": the Parquet data is cut or damaged \("),
    "parquet of something else": (
        "e.parquet", as_parquet([{"id": "a"}]), r": missing columns: role|: missing columns: "
    ),
    "naive parquet": (
        "e.parquet", as_parquet([GOOD, GOOD | {"created_at": "2026-01-02"}]), r": row 2: created_at is"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_is_cut_or_malformed_is_refused_with_its_place_and_the_next_move(write: Write, case: str) -> None:
    name, data, message = BAD[case]
    path = write(name, data)
    for road in (fast, exact):
        with pytest.raises(DataError, match=rf"^{name.replace('.', '[.]')}({message})") as caught:
            road(path)
        assert len(str(caught.value)) < 500


def test_user_text_that_looks_like_something_else_stays_text(write: Write) -> None:
    rows = [GOOD | {"content_text": text} for text in TEXTS]
    for kind in ("csv", "jsonl", "json", "parquet"):
        found = [row["content"] for row in fast(write(f"e.{kind}", FORMATS[kind](rows)))]
        assert found[TEXTS.index("NULL")] == "NULL" and found[TEXTS.index("\\N")] == "\\N"
        assert found[TEXTS.index("\x1funit")] == "\x1funit" and found[TEXTS.index("\ufeffmark")] == "\ufeffmark"
        assert found[3] == "a\nb\nc" and found[0] == ""


def test_a_letter_like_a_byte_order_mark_at_the_start_of_a_block_stays(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams.blocks, "__defaults__", (1,))
    path = write("e.csv", b"content,id,session_id,role,created_at\n" + f"\ufeffmark,a,c,user,{TIME}\n".encode())
    assert fast(path) == exact(path)
    assert fast(path)[0]["content"] == "\ufeffmark"


@pytest.mark.parametrize("kind", ["csv", "jsonl", "json"])
def test_cells_larger_than_any_block_are_read(write: Write, kind: str) -> None:
    rows = [GOOD, GOOD | {"content_text": 'long, "long"\n' * 400_000}, GOOD]
    found = fast(write(f"e.{kind}", FORMATS[kind](rows)))
    assert [len(row["content"]) for row in found] == [5, 13 * 400_000 - 1, 5]


def test_several_members_and_frames_are_read_on(write: Write) -> None:
    text = as_jsonl([GOOD, GOOD])
    for name, pack in (("e.jsonl.gz", gzip.compress), ("e.jsonl.zst", zst)):
        assert len(fast(write(name, pack(text[:50]) + pack(text[50:])))) == 2
    assert len(fast(write("f.jsonl.zst", b"\x50\x2a\x4d\x18\x04\0\0\0skip" + zst(text)))) == 2


def test_objects_of_several_layouts_and_huge_integers_are_read_exactly(write: Write) -> None:
    huge = 2**70
    rows = [
        GOOD,
        GOOD | {"id": 17},
        GOOD | {"id": huge, "domain": "x"},
        dict(reversed(GOOD.items())) | {"meta": {"a": [1]}},
    ]
    for kind in ("jsonl", "json"):
        found = fast(write(f"e.{kind}", FORMATS[kind](rows)))
        assert [row["id"] for row in found] == ["a", "17", str(huge), "a"]
        assert [row["domain"] for row in found] == [None, None, "x", None]


def test_ids_that_are_all_integers_are_text(write: Write) -> None:
    assert [row["id"] for row in fast(write("e.jsonl", as_jsonl([GOOD | {"id": number} for number in (1, 2)])))] == [
        "1",
        "2",
    ]


def test_times_without_a_zone_take_the_configured_one(write: Write) -> None:
    rows = [GOOD | {"created_at": "2026-07-01 12:00:00"}]
    for kind in ("csv", "jsonl", "json", "parquet"):
        path = write(f"e.{kind}", FORMATS[kind](rows))
        assert fast(path, ZoneInfo("Europe/Paris"))[0]["created_at"] == datetime(2026, 7, 1, 10, tzinfo=UTC)
        with pytest.raises(DataError, match=r"created_at is \"2026-07-01 12:00:00\", which has no zone"):
            fast(path)


MOMENT: Final = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
SOME_UUID: Final = uuid.UUID("0f0e0d0c-0b0a-4908-8706-050403020100")


def typed(**changes: pa.Array) -> pa.Table:
    return pa.table({name: pa.array([GOOD[name]] * 2) for name in NAMES} | changes)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", None])
def test_parquet_times_of_every_unit_and_zone_become_utc(write: Write, unit: str, zone: str | None) -> None:
    moment = MOMENT.replace(microsecond=0) if unit == "s" else MOMENT
    naive = pa.array([moment.replace(tzinfo=None)] * 2, pa.timestamp(unit))
    column = naive.cast(pa.timestamp(unit, zone)) if zone else naive
    pq.write_table(typed(created_at=column), "e.parquet")
    if zone is None:
        with pytest.raises(DataError, match=r"^e\.parquet: row 1: created_at is .*2026-01-02.* no zone"):
            fast(Path("e.parquet"))
    assert [row["created_at"] for row in fast(Path("e.parquet"), UTC)] == [moment, moment]


def test_nanoseconds_are_cut_to_microseconds(write: Write) -> None:
    column = pa.array([1_767_323_045_678_000_123, 1_767_323_045_678_000_999]).cast(pa.timestamp("ns", "UTC"))
    pq.write_table(typed(created_at=column), "e.parquet")
    assert [row["created_at"] for row in fast(Path("e.parquet"))] == [MOMENT, MOMENT]


def test_an_infinite_time_is_refused(write: Write) -> None:
    for unit, value in (("us", 2**63 - 1), ("s", 2**40), ("us", -(2**62))):
        pq.write_table(typed(created_at=pa.array([value] * 2).cast(pa.timestamp(unit, "UTC"))), "e.parquet")
        for road in (fast, exact):
            with pytest.raises(DataError, match=r"^e\.parquet: row 1: created_at is .* it must be ISO 8601"):
                road(Path("e.parquet"))


def test_parquet_types_of_ids_and_texts_read_the_same(write: Write) -> None:
    plain = fast(write("e.parquet", as_parquet([GOOD | {"id": str(SOME_UUID)}] * 2)))
    bytes_ = pa.array([SOME_UUID.bytes] * 2, pa.binary(16))
    ids = [bytes_, pa.ExtensionArray.from_storage(pa.uuid(), bytes_), pa.array([str(SOME_UUID)] * 2, pa.large_string())]
    texts = [
        pa.array(["hello"] * 2, pa.large_string()),
        pa.array(["hello"] * 2).dictionary_encode(),
        pa.array([b"hello"] * 2, pa.binary()),
        pa.array(["hello"] * 2, pa.string_view()),
    ]
    for column in ids:
        for text in texts:
            pq.write_table(typed(id=column, content_text=text), "e.parquet")
            assert fast(Path("e.parquet")) == exact(Path("e.parquet")) == plain


def test_uuids_are_written_as_python_writes_them() -> None:
    found = [uuid.UUID(int=number * 0x1234567_89ABCDEF) for number in range(50)]
    column = pa.array([*(one.bytes for one in found), None], pa.binary(16))
    assert parquet.uuid_texts(column).to_pylist() == [*map(str, found), None]
    assert parquet.uuid_texts(column.slice(7, 3)).to_pylist() == list(map(str, found[7:10]))
    assert parquet.uuid_texts(column.slice(0, 0)).to_pylist() == []


def test_parquet_text_that_is_not_utf8_is_refused_with_its_row(write: Write) -> None:
    bad = pa.array([b"fine", b"caf\xe9"], pa.binary()).view(pa.string())
    pq.write_table(typed(content_text=bad), "e.parquet")
    with pytest.raises(DataError, match=r"^e\.parquet: row 2: content_text is not UTF-8\. Export it as text\.$"):
        fast(Path("e.parquet"))


def test_columns_that_mean_nothing_are_not_read(write: Write) -> None:
    odd = [GOOD | {"embedding": "[" + "0.1," * 50 + "0.2]", "metadata": "[object Object]"}]
    for kind in ("csv", "jsonl", "json", "parquet"):
        assert fast(write(f"e.{kind}", FORMATS[kind](odd))) == fast(write(f"f.{kind}", FORMATS[kind]([GOOD])))


def test_a_row_is_placed_by_line_object_or_row(write: Write) -> None:
    rows = [GOOD | {"content_text": "a\nb"}, GOOD]
    places = {"csv": "e.csv:4", "jsonl": "e.jsonl:2", "json": "e.json: object 2", "parquet": "e.parquet: row 2"}
    for kind, expected in places.items():
        assert place(write(f"e.{kind}", FORMATS[kind](rows)), 1) == expected
    path = write("e.csv", as_csv(rows))
    assert [place(path, row) for row in (0, 1)] == [row.place for row in read(path)]


def test_only_a_csv_that_ends_its_rows_with_lf_is_told_to_be_unterminated(write: Write) -> None:
    text = as_csv([GOOD, GOOD])
    assert not unterminated(write("e.csv", text))
    assert unterminated(write("e.csv", text[:-1]))
    assert unterminated(write("e.csv.gz", gzip.compress(text[:-1])))
    assert not unterminated(write("e.csv", as_csv([GOOD, GOOD], "\r\n")[:-2]))
    assert not unterminated(write("e.jsonl", as_jsonl([GOOD])[:-1]))


def test_the_fast_road_is_taken_for_what_postgres_papa_parse_and_rest_write(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("twin.export.batches.batch_of", lambda *_: pytest.fail("read cell by cell"))
    monkeypatch.setattr("twin.export.objects.line_objects", lambda *_: iter([]))
    rows = [GOOD | {"content_text": text, "metadata": {"a": [{"b": 1}]}} for text in TEXTS]
    for path in (
        write("e.csv", as_csv(rows)),
        write("f.csv", as_csv(rows, "\r\n")),
        write("e.jsonl", as_jsonl(rows)),
        write("e.json", as_json(rows)),
    ):
        assert len(fast(path)) == len(rows)


def test_the_bytes_of_parquet_follow_from_the_rows_alone(tmp_path: Path) -> None:
    rows = pa.RecordBatch.from_pylist(
        [
            {"id": str(number), "role": "user", "content": f"text {number}" * (number % 7), "created_at": MOMENT}
            | {"depth": number, "sibling": 0, "conversation_id": None if number % 5 else "c"}
            for number in range(1000)
        ],
        ROWS,
    )
    first = tmp_path / "first.parquet"
    assert parquet.write_batches(first, [rows], group_rows=300) == 1000
    for step in (1, 7, 299, 300, 301, 999):
        pieces = [rows.slice(at, step) for at in range(0, 1000, step)]
        parquet.write_batches(tmp_path / "again.parquet", iter(pieces), group_rows=300)
        assert (tmp_path / "again.parquet").read_bytes() == first.read_bytes()
    assert pq.ParquetFile(first).metadata.num_row_groups == 4
    assert fast(first) == rows.to_pylist()
    parquet.write_batches(first, [])
    assert pq.read_table(first).num_rows == 0


def test_a_fault_while_batches_are_written_leaves_the_older_file(tmp_path: Path) -> None:
    path = tmp_path / "e.parquet"
    path.write_bytes(b"old")

    def failing() -> Any:
        yield pa.RecordBatch.from_pylist([], ROWS)
        raise DataError("e.csv:2: bad")

    with pytest.raises(DataError, match=r"^e\.csv:2: bad$"):
        parquet.write_batches(path, failing())
    assert [one.read_bytes() for one in tmp_path.iterdir()] == [b"old"]


def test_a_part_is_sound_only_if_every_reader_of_csv_agrees_on_it() -> None:
    for sound in (b"", b"a,b\n", b'"a""b",c\r\n', b'"a\rb\r\n",c\n', b'"",""\n', b'"a"', b'""""\n', "é\n".encode()):
        assert blocks.is_sound(sound), sound
    for unsound in (b'a"b"c\n', b'"a"b\n', b'"a\n', b"a\rb\n", b"a\r", b"a\0", b"\xff\n", b' "a"\n', b'"a" ,b\n'):
        assert not blocks.is_sound(unsound), unsound


def test_keys_are_counted_or_doubted() -> None:
    count = fast_objects._keys_counted
    assert count(b'{"a":1,"b":"x: \\"y\\": z"}\n{"a": "http://"}') == 3
    for odd in (b'{"a" :1}', b'{"a"\t:1}', b'{"a\\\\":1}'):
        assert count(odd) is None
