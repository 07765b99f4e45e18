r"""A dump in COPY form is read exactly as Postgres means it, whatever the values hold, or refused with its line.

Real pg_dump output is compared with the table it was made of; text made at random goes through the documented escapes
and, in one test, through a real server.
"""

import gzip
import hashlib
import io
import os
import random
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from twin.errors import DataError
from twin.export.canonical import ROWS
from twin.export.cells import content as canonical_content
from twin.source.dump import batches, form, is_dump, opened
from twin.source.dump import script as script_module

if TYPE_CHECKING:
    from tests.postgres import Server

COLUMNS = ("id", "conversation_id", "role", "created_at", "content_text")
HEAD = "COPY public.memory_turns (id, conversation_id, role, created_at, content_text) FROM stdin;\n"
TIME = "2026-01-02 03:04:05.678+00"
ROW = f"a\tc\tuser\t{TIME}\thello\n"
DUMP = HEAD + ROW + "\\.\n"
LETTERS = {"\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}
NASTY = (
    "", "\\", "\\\\n", "\\.", "\\N", "N", "a\\.b", "tab\there", "two\nlines", "\\.\n\\.", "cr\rlf\r\n", "\b\f\v",
    "end\\", "end\\\n", "-- not a comment", 'COPY public.memory_turns ("id") FROM stdin;', "'; drop table x; --", "$$",
    '"', "é 👍 \u2028 \ufeff", "\ufeff", "\\x41", "\\101", "line\n--\nCOPY x (y) FROM stdin;\n1\t2\n\\.\n", "\x7f\x1f",
    "x" * 9000,
)  # fmt: skip
SETTINGS = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
TEXT = st.text(
    st.one_of(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), st.sampled_from("\\\t\nnN."))
)


def rows(dump: str | bytes, table: str = "memory_turns", **more: Any) -> list[dict[str, Any]]:
    stream = io.BytesIO(dump if isinstance(dump, bytes) else dump.encode())
    made = list(batches(stream, "d.sql", table, **more))
    assert all(batch.schema == ROWS for batch in made)
    return [row for batch in made for row in batch.to_pylist()]


def contents(dump: str | bytes, table: str = "memory_turns") -> list[str]:
    return [row["content"] for row in rows(dump, table)]


def escaped(text: str) -> str:
    return "".join(LETTERS.get(letter, letter) for letter in text)


def saying(*cells: str) -> str:
    return HEAD + "".join(f"{number}\tc\tuser\t{TIME}\t{cell}\n" for number, cell in enumerate(cells)) + "\\.\n"


def fails(dump: str | bytes, message: str, table: str = "memory_turns") -> None:
    with pytest.raises(DataError, match=message):
        rows(dump, table)


def test_a_row_has_its_values_and_null_is_not_the_text_n() -> None:
    dump = (
        'COPY "public"."memory_turns" ("id", "extra", "session_id", "role", "created_at", "content", "phase", '
        '"salience_score", "trajectory_depth") FROM stdin;\n'
        f"a\t\\N\tc\tUser\t{TIME}\thi\t\\N\t0\t3\n"
        f"b\tx\t\\N\t\\N\t{TIME}\t\\N\t\\\\N\t\\N\t\\N\n\\.\n"
    )
    first, second = rows(dump)
    assert (first["id"], first["conversation_id"], first["role"], first["content"]) == ("a", "c", "user", "hi")
    assert (first["phase"], first["salience"], first["depth"]) == (None, 0.0, 3)
    assert first["created_at"].isoformat() == "2026-01-02T03:04:05.678000+00:00"
    assert (second["conversation_id"], second["role"], second["content"]) == (None, "none", "")
    assert (second["phase"], second["salience"], second["depth"]) == ("\\N", None, 0)


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (r"a\\b", "a\\b"), (r"a\nb", "a\nb"), (r"a\tb\vc\fd\be", "a\tb\vc\fd\be"), (r"\101\x41\x4a", "AAJ"),
        (r"\1012", "A2"), (r"\x414", "A4"), (r"\303\251", "é"), (r"\xc3\xa9", "é"), (r"\q\.\"", 'q."'),
        (r"a\xg", "axg"),
        (r"a\89", "a89"), (r"\\n", "\\n"), (r"\\\n.", "\\\n."), (r"\\\\n", "\\\\n"), (r"a\\", "a\\"), (r"\\.", "\\."),
        (r"a\Nb", "aNb"), ("a\\\tb", "a\tb"), ("a\\\\\\\tb", "a\\\tb"), ("\ufeffa", "\ufeffa"), ("a\\r\\nb", "a\nb"),
    ],
)  # fmt: skip
def test_every_escape_means_what_the_documentation_of_copy_says(cell: str, text: str) -> None:
    assert contents(saying("x", cell, "y")) == ["x", text, "y"]


def test_a_byte_order_mark_within_the_first_cell_of_a_block_stays() -> None:
    assert rows(saying("x").replace("\n0\t", "\n\ufeff0\t"))[0]["id"] == "\ufeff0"
    assert contents("\ufeff" + DUMP) == ["hello"]


@SETTINGS
@given(st.lists(TEXT, min_size=1, max_size=20), st.integers(1, 400))
def test_any_text_comes_back_from_the_documented_escapes_whatever_the_chunks(texts: list[str], chunk: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(script_module, "CHUNK_BYTES", chunk)
        assert contents(saying(*map(escaped, texts))) == [canonical_content(text) for text in texts]


def dumped(server: "Server", *options: str, db: str = "postgres") -> bytes:
    done = subprocess.run(
        [server.bin / "pg_dump", "-d", server.url(db=db), *options], capture_output=True, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def filled(server: "Server", db: str, texts: Iterable[str]) -> None:
    server.run(f"drop database if exists {db}")
    server.run(f"create database {db}")
    literals = ",".join(f"({number}, $q${text}$q$)" for number, text in enumerate(texts))
    server.run(
        'create schema "Odd ""schema"; create table public.other (note text); '
        "insert into other values (E'COPY public.memory_turns (id) FROM stdin;\\n--\\n\\\\.'), ('\\.'), (null);"
        "create function f() returns text language sql as $f$ select 'x;\n"
        "COPY public.memory_turns (id) FROM stdin;\n\\.\n' $f$;\n"
        "comment on table other is E'a;\\nCOPY public.memory_turns (id) FROM stdin;\\n';"
        "create table memory_turns (id int primary key, conversation_id uuid, role text, created_at timestamptz, "
        "embedding float8[], content_text text);"
        f"insert into memory_turns select n, case when n % 7 > 0 then gen_random_uuid() end, 'user', "
        f"'2026-01-01Z'::timestamptz + n * interval '1.000001 s', array[n, 0.5], t from (values {literals}) v(n, t);"
        'create table "Odd ""schema"."My ""turns" as select id as turn_id, * from memory_turns where id < 3;'
        'alter table "Odd ""schema"."My ""turns" drop column id;'
        "create view v as select * from memory_turns;",
        db=db,
    )


def test_a_real_dump_equals_its_table(postgres: "Server") -> None:
    filled(postgres, "dump_real", NASTY)
    for options in ((), ("--data-only", "--quote-all-identifiers"), ("-t", "memory_turns"), ("--encoding=UTF8",)):
        found = rows(dumped(postgres, *options, db="dump_real"))
        assert [row["content"] for row in found] == [canonical_content(text) for text in NASTY]
        ids = postgres.run("select id, conversation_id from memory_turns order by id", db="dump_real")
        assert [f"{row['id']}|{row['conversation_id'] or ''}" for row in found] == ids.split()
        assert found[3]["created_at"].isoformat() == "2026-01-01T00:00:03.000003+00:00"
    odd = rows(dumped(postgres, db="dump_real"), '"Odd ""schema"."My ""turns"')
    assert [row["id"] for row in odd] == ["0", "1", "2"]


def test_text_made_at_random_comes_back_through_the_real_server(postgres: "Server") -> None:
    rng = random.Random(4)
    letters = "\\\\\\\t\n\r\b\f\vnNtrx.019 aé👍\u2028'\"-;"
    texts = ["".join(rng.choices(letters, k=rng.randint(0, 30))) for _ in range(3000)]
    postgres.run(
        "create table random_turns (id serial, conversation_id text default 'c', role text default 'user', "
        "created_at timestamptz default '2026-01-01Z', content_text text);\n"
        + "COPY random_turns (content_text) FROM stdin;\n"
        + "".join(escaped(text) + "\n" for text in texts)
        + "\\.\n"
    )
    hashes = postgres.run("select md5(content_text) from random_turns order by id").split()
    assert hashes == [hashlib.md5(text.encode()).hexdigest() for text in texts]
    found = rows(dumped(postgres, "-t", "random_turns"), "random_turns")
    found.sort(key=lambda row: int(row["id"]))
    assert [row["content"] for row in found] == [canonical_content(text) for text in texts]


def test_a_dump_is_told_by_its_form(postgres: "Server", tmp_path: Path) -> None:
    filled(postgres, "dump_forms", ("a", "b"))
    plain = dumped(postgres, db="dump_forms")
    (tmp_path / "plain.sql").write_bytes(plain)
    (tmp_path / "plain.sql.gz").write_bytes(gzip.compress(plain))
    (tmp_path / "insert.txt").write_bytes(dumped(postgres, "--column-inserts", db="dump_forms"))
    (tmp_path / "custom").write_bytes(dumped(postgres, "-Fc", db="dump_forms"))
    (tmp_path / "tar").write_bytes(dumped(postgres, "-Ft", db="dump_forms"))
    dumped(postgres, "-Fd", "-f", str(tmp_path / "folder"), db="dump_forms")
    with pa.CompressedOutputStream(str(tmp_path / "plain.sql.zst"), "zstd") as out:
        out.write(plain)
    (tmp_path / "export.csv").write_text("id,conversation_id,role,content,created_at\n")
    (tmp_path / "empty.csv").write_text("")
    expected = {
        "plain.sql": "copy", "plain.sql.gz": "copy", "plain.sql.zst": "copy", "insert.txt": "insert",
        "custom": "custom", "tar": "custom", "folder": "directory", "export.csv": None, "empty.csv": None,
        "missing": None, ".": None,
    }  # fmt: skip
    assert {name: form(tmp_path / name, "memory_turns") for name in expected} == expected
    assert {name for name in expected if is_dump(tmp_path / name)} == {name for name, kind in expected.items() if kind}
    assert form(tmp_path / "plain.sql", "absent") is None
    assert form(tmp_path / "plain.sql") == "copy"
    for name in ("plain.sql", "plain.sql.gz", "plain.sql.zst"):
        with opened(tmp_path / name) as stream:
            assert sum(map(len, batches(stream, name, "memory_turns"))) == 2
    fails((tmp_path / "insert.txt").read_bytes(), r"d\.sql:\d+: public\.memory_turns stands as INSERT .*--use-copy")


def test_several_blocks_of_the_table_are_read_and_others_are_not_decoded() -> None:
    other = b"COPY public.other (x) FROM stdin;\nnot\ta row \xff\n\\.\n"
    wanted = DUMP.encode()
    dump = b"\\restrict t0k\n" + other + wanted + other + wanted + b"\\unrestrict t0k\n"
    assert contents(dump) == ["hello", "hello"]
    assert contents(dump, "public.memory_turns") == ["hello", "hello"]


@pytest.mark.parametrize(
    "before",
    [
        "-- COPY public.memory_turns (id) FROM stdin;\n",
        "/* COPY public.memory_turns (id) FROM stdin; */\n",
        "SELECT 'a;\nCOPY public.memory_turns (id) FROM stdin;\n';\n",
        "SELECT E'it\\'s;\nCOPY public.memory_turns (id) FROM stdin;\n''\\'';\n",
        "DO $a$ begin; $$;\nCOPY public.memory_turns (id) FROM stdin;\n$$ end $a$;\n",
        'COMMENT ON TABLE "a;\nCOPY public.memory_turns (id) FROM stdin;\n" IS NULL;\n',
        "BEGIN; SET x = 1; ",
        "select a$b$c from t;\n",
        "INSERT INTO public.other VALUES ('it''s', 'x;\nINSERT INTO public.memory_turns VALUES (1);\n');\n",
    ],
)
def test_what_stands_in_quotes_and_comments_is_no_statement(before: str) -> None:
    assert contents(before + DUMP) == ["hello"]


def test_a_quoted_column_may_hold_anything() -> None:
    head = HEAD.replace("(id", '(id, "a ""b"" (c), d;"')
    assert contents(head + ROW.replace("a\t", "a\tz\t") + "\\.\n") == ["hello"]


@pytest.mark.parametrize(
    ("dump", "message"),
    [
        (HEAD + ROW, r"d\.sql:3: the file ends within the rows of a COPY block.*cut"),
        (HEAD + ROW[:-3], r"d\.sql:2: the file ends within the rows"),
        (HEAD[:40], r"d\.sql:1: the file ends within the statement"),
        (DUMP + "SELECT 'x", r"d\.sql:4: the file ends within the statement"),
        (HEAD + ROW + "a\tb\n\\.\n", r"d\.sql:3: the row has 2 fields, its COPY statement names 5 columns"),
        (HEAD + ROW + "\n\\.\n", r"d\.sql:3: the row has 1 fields"),
        (HEAD + ROW + ROW.replace("c\t", "c\td\t") + "\\.\n", r"d\.sql:3: the row has 6 fields"),
        (HEAD + ROW + "\\.x\n", r"d\.sql:3: a line begins with `\\\.` and goes on"),
        (DUMP.replace("\n", "\r\n"), r"d\.sql:2: a carriage return stands in a COPY block.*tr -d"),
        (DUMP.replace("\\.\n", "\\.\r\n"), r"d\.sql:3: a carriage return"),
        (DUMP.replace("hello", "he\rllo"), r"d\.sql:2: a carriage return"),
        (saying("x", "bad\\"), r"d\.sql:3: the line ends within an escape"),
        (saying("x", "bad\\377"), r"d\.sql:3: content is not UTF-8.*--encoding=UTF8"),
        (saying("x", "bad").encode().replace(b"bad", b"b\xe9d"), r"d\.sql:3: content is not UTF-8"),
        (saying("x", "bad\\000"), r"d\.sql:3: content_text holds a NUL"),
        (saying("x", "bad\0 \\\\"), r"d\.sql:3: content_text holds a NUL"),
        (DUMP.replace(TIME, "2026-01-02 03:04"), r"d\.sql:2: created_at is \"2026-01-02 03:04\", which has no zone"),
        ("SET client_encoding = 'LATIN1';\n" + DUMP, r"d\.sql:1: .*LATIN1.*--encoding=UTF8"),
        (DUMP.encode("utf-16"), r"d\.sql:1: the file is UTF-16.*iconv"),
        (HEAD + "\\.\n", r"d\.sql: memory_turns has no rows.*row-level security"),
        ("CREATE TABLE public.memory_turns (id int);\n", r"definition and no data.*--schema-only"),
        ("", r"d\.sql: no table memory_turns. The dump has: none"),
        (DUMP.replace("memory_turns", "turns"), r"no table memory_turns. The dump has: \"public\.turns\"\. Name one"),
        (DUMP + DUMP.replace("public", "old"), r"two schemas: old\.memory_turns, public\.memory_turns\. Name the one"),
        ("INSERT INTO memory_turns VALUES (1);\n", r"d\.sql:1: memory_turns stands as INSERT statements"),
        (DUMP.replace("FROM stdin", "FROM stdin WITH CSV"), r"d\.sql:1: .*options \"WITH CSV\""),
        (re.sub(r" \(.*\)", "", DUMP), r"d\.sql:1: COPY public\.memory_turns names no columns"),
        (DUMP.replace("content_text", "other"), r"d\.sql:1: missing columns: content_text or content"),
    ],
)
def test_a_dump_that_is_not_whole_or_not_usable_is_refused_with_its_line(dump: str | bytes, message: str) -> None:
    fails(dump, message)


def test_the_schema_settles_which_of_two_tables_is_meant() -> None:
    assert contents(DUMP + DUMP.replace("public", "old").replace("hello", "old"), "old.memory_turns") == ["old"]
    assert contents(DUMP.replace("memory_turns", '"My.Turns"'), 'public."My.Turns"') == ["hello"]
    assert contents(DUMP.replace("memory_turns", '"My turns"'), "public.My turns") == ["hello"]
    assert contents(DUMP.replace("memory_turns", '"My ""turns"'), 'public.My "turns') == ["hello"]
    assert contents(DUMP.replace("memory_turns", '"Memory_Turns"'), "Memory_Turns") == ["hello"]


def test_compressed_data_that_is_cut_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "d.sql.gz"
    path.write_bytes(gzip.compress(saying(*(os.urandom(50).hex() for _ in range(99))).encode())[:-30])
    with opened(path) as stream, pytest.raises(DataError, match="gzip data ends too early"):
        list(batches(stream, "d", "memory_turns"))
    with gzip.open(path) as pipe, pytest.raises(DataError, match="d: the compressed data ends too early"):
        list(batches(pipe, "d", "memory_turns"))  # type: ignore[arg-type]


def test_the_line_of_a_fault_far_into_the_file_is_right() -> None:
    lines = saying(*(f"text {number} " + "x" * 200 for number in range(30_000))).splitlines(keepends=True)
    lines[25_000] = lines[25_000].replace("user", "user\tuser")
    fails("-- a\n\n" + "".join(lines), r"d\.sql:25003: the row has 6 fields")
    lines[25_000] = lines[25_000].replace("user\tuser", "user").replace(TIME, "soon")
    fails("-- a\n\n" + "".join(lines), r"d\.sql:25003: created_at is \"soon\"")


@SETTINGS
@given(st.data())
def test_a_damaged_dump_ends_in_rows_or_one_error(data: st.DataObject) -> None:
    raw = bytearray(("\\restrict x\nSET a = 'b';\n" + saying("one", "two\\n", "\\\\")).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        piece = data.draw(
            st.sampled_from([b"", b"\n", b"\t", b"\\", b"'", b";", b"\xff", b"\0", b"\r", b"\\.\n", b"$$"])
        )
        raw[at : at + data.draw(st.integers(0, 3))] = piece
    told = ""
    try:
        assert all(row["id"] for row in rows(bytes(raw)))
    except DataError as error:
        told = str(error)
    assert not told or told.startswith("d.sql")
