"""Batches of every format hold what the exact reader reads, or both refuse; damage is one clear error, never silence."""

import csv
import gzip
import io
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
        assert str(path) in str(error)
        return "refused"


def as_csv(rows: list[Row], ends: str = "\n") -> bytes:
    table = io.StringIO()
    writer = csv.DictWriter(table, list(rows[0]) if rows else NAMES, lineterminator=ends)
    writer.writeheader()
    writer.writerows(rows)
    return table.getvalue().encode()


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
        "content_text": st.sampled_from(TEXTS) | st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=30),
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
    b":", b" ", b"NaN", b'"id": 1, ', b'"id" :2,', b"1e999", b"9" * 30, b"\\ud83d", b"0x1F", b"\xc2\xa0", b"null", b"1.0",
)  # fmt: skip


@settings(MANY, max_examples=700)
@given(
    rows=st.lists(ROW, min_size=1, max_size=5),
    kind=st.sampled_from([*FORMATS]),
    inside=st.booleans(),
    small=st.integers(1, 300),
    data=st.data(),
)
def test_a_damaged_file_ends_in_the_exact_rows_or_in_one_error(
    write: Write, monkeypatch: pytest.MonkeyPatch, rows: list[Row], kind: str, inside: bool, small: int, data: st.DataObject
) -> None:
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
