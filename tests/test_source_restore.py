"""Dumps of INSERT statements and pg_dump's archives give the table back, row for row, and nothing of them is run.

The dumps are real: written by pg_dump from a table of odd text; each cut and each change is told with its line.
"""

import io
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.postgres import Server, binaries, running
from twin.errors import ConfigError, DataError
from twin.export.canonical import ROWS
from twin.source import postgres, restore
from twin.source.restore import archive, inserts, script

TABLE = r"""
create table other (id text, content text);
insert into other values ('1', E';\nINSERT INTO public.memory_turns VALUES (''x'');\n\\.\n$$'), (E'/* -- '' " \\', '');
create function f() returns text language sql as $f$ select ';INSERT INTO memory_turns VALUES (1)'::text; $f$;
create table memory_turns (
    id uuid primary key, "Odd; ""(name)" int[], conversation_id text default 'a,b(c', role text, salience_score real,
    trajectory_depth int check (trajectory_depth < 1000000), created_at timestamptz, content_text text,
    content_hash text, hidden bool, metadata jsonb, serial int generated always as identity
);
insert into memory_turns values
 ('00000000-0000-4000-8000-000000000001', '{1,2}', 'c', 'user', 0.5, 1, '2026-01-01 00:00:00.5+00',
  E'-- not a comment\n''quoted'' /* */ E''x'' $$ $a$\n-- more;\n);\nINSERT INTO "public"."memory_turns" VALUES (1);',
  '', true, '{"a": "it''s"}'),
 ('00000000-0000-4000-8000-000000000002', null, null, null, null, null, '2026-01-02', null, null, null, null),
 ('00000000-0000-4000-8000-000000000003', '{}', 'c', 'assistant', -1e-7, -3, '2026-01-03', '', 'NULL', false, '[]'),
 ('00000000-0000-4000-8000-000000000004', '{}', 'c', 'tool', 1e30, 0, '2026-01-04',
  E'tab\t\r\n back\\slash \\. \\n '' '''' \u2028 \U0001F469\u200D\U0001F4BB \u0001', 'DEFAULT', false, '""'),
 ('00000000-0000-4000-8000-000000000005', '{}', 'c', 'user', 0, 0, '2026-01-05', repeat('x'',''', 250000),
  '', false, 'null');
"""
NOW = datetime(2027, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def dumped(postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path, list[Any]]]:
    """The server, a folder for dumps, and the rows as the live source reads them."""
    postgres.run("create database dumped")
    postgres.run(TABLE, db="dumped")
    yield postgres, tmp_path_factory.mktemp("dumps"), live(postgres)
    postgres.run("drop database dumped with (force)")


def live(server: Server) -> list[dict[str, Any]]:
    with postgres.open("memory_turns", {"DATABASE_URL": server.url(db="dumped")}) as source:
        return pa.Table.from_batches(source.batches(None, NOW), ROWS).to_pylist()


def dump(server: Server, to: Path, *options: str) -> Path:
    if not (server.bin / "pg_dump").exists():
        pytest.skip(f"no pg_dump in {server.bin}")
    subprocess.run([server.bin / "pg_dump", "-f", to, *options, server.url(db="dumped")], check=True)
    return to


def rows(path: Path, table: str = "memory_turns") -> list[dict[str, Any]]:
    found = pa.Table.from_batches(restore.batches(path, table), ROWS).to_pylist()
    return sorted(found, key=lambda row: row["created_at"])


def read(text: str | bytes, table: str = "memory_turns") -> list[dict[str, Any]]:
    stream = io.BytesIO(text.encode() if isinstance(text, str) else text)
    return pa.Table.from_batches(inserts.batches(stream, "x.sql", table), ROWS).to_pylist()


@pytest.mark.parametrize(
    "options",
    [
        ["--data-only", "--quote-all-identifiers", "--column-inserts", "--rows-per-insert=100000"],
        ["--inserts"],
        ["--inserts", "--rows-per-insert=3", "--on-conflict-do-nothing"],
        ["--column-inserts"],
        ["--data-only"],
        ["-Fc"],
        ["-Fc", "--inserts"],
        ["-Fd"],
        ["-Ft"],
    ],
    ids=" ".join,
)
def test_every_form_of_a_dump_gives_the_table_back(dumped: tuple[Server, Path, list[Any]], options: list[str]):
    server, folder, expected = dumped
    path = dump(server, folder / "".join(options).replace("-", "_"), *options)
    path = path if path.is_dir() or "-F" in options[0] else path.rename(path.with_suffix(".sql"))
    assert len(expected) == 5 and rows(path) == expected
    assert rows(path, "public.memory_turns") == expected


@pytest.mark.parametrize("chunk", [1, 7, 64, 1021])
def test_where_the_file_is_cut_into_chunks_makes_no_difference(
    dumped: tuple[Server, Path, list[Any]], monkeypatch: pytest.MonkeyPatch, chunk: int
):
    server, folder, expected = dumped
    text = dump(server, folder / "chunks.sql", "--inserts").read_bytes().replace(b"x'',''" * 250000, b"x'',''")

    class Slow(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(min(size or -1, chunk))

    found = pa.Table.from_batches(inserts.batches(Slow(text), "x.sql", "memory_turns"), ROWS).to_pylist()
    assert [row["content"] for row in found[:4]] == [row["content"] for row in expected[:4]]
    assert found[4]["content"] == "x','"


def test_an_archive_of_a_newer_version_says_what_to_do(
    dumped: tuple[Server, Path, list[Any]], monkeypatch: pytest.MonkeyPatch
):
    folder = dumped[1]
    programs = sorted((archive._version(path / "pg_restore"), path / "pg_restore") for path in binaries())
    programs = [found for found in programs if found[0]]
    newer = [path for path in binaries() if archive._version(path / "pg_dump") > programs[0][0]]
    if not newer or programs[0][0][0] >= 16:
        pytest.skip(f"no two majors of pg_dump and pg_restore with other archives: {programs}")
    with running(newer[0]) as other:
        other.run("create table memory_turns (id text)")
        path = folder / "newer.dump"
        subprocess.run([newer[0] / "pg_dump", "-Fc", "-f", path, other.url()], check=True)
    monkeypatch.setattr(archive, "newest", lambda: programs[0][1])
    with pytest.raises(ConfigError, match=r"newer PostgreSQL than the newest pg_restore here \(15.*--use-copy"):
        rows(path)


def test_without_pg_restore_the_error_names_the_better_export(
    dumped: tuple[Server, Path, list[Any]], monkeypatch: pytest.MonkeyPatch
):
    server, folder, _ = dumped
    path = dump(server, folder / "none.dump", "-Fc")
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(archive, "FOLDERS", ())
    with pytest.raises(ConfigError, match="none is installed.*supabase db dump --data-only --use-copy"):
        rows(path)


def test_an_archive_that_is_cut_or_lacks_the_table_is_an_error(dumped: tuple[Server, Path, list[Any]]):
    server, folder, _ = dumped
    path = dump(server, folder / "whole.dump", "-Fc")
    with pytest.raises(DataError, match='no rows of "turns".* It has: "public.memory_turns", "public.other"'):
        rows(path, "turns")
    data = path.read_bytes()
    for part in (len(data) // 2, len(data) - 2000, 40):
        (folder / "cut.dump").write_bytes(data[:part])
        with pytest.raises(DataError, match="cut.dump: pg_restore could not read the archive .*Copy or dump it again"):
            rows(folder / "cut.dump")


def test_a_reader_that_leaves_early_leaves_no_process(dumped: tuple[Server, Path, list[Any]]):
    server, folder, _ = dumped
    stream = restore.batches(dump(server, folder / "early.dump", "-Fc"), "memory_turns")
    next(stream)
    stream.close()  # type: ignore[attr-defined]


HEAD = "INSERT INTO memory_turns (id, conversation_id, role, content, created_at) VALUES\n"


def row(content: str) -> str:
    return f"('1', 'c', 'user', {content}, '2026-01-01 00:00:00+00')"


@pytest.mark.parametrize(
    ("literal", "content"),
    [
        ("'it''s'", "it's"),
        (r"'a\nb'", r"a\nb"),
        (r"E'a\nb\'c''d\\'", "a\nb'c'd\\"),
        (r"e'\x41\101\u00e9\U0001F600\ud83d\ude00'", "AAé😀😀"),
        ("$$it's$$", "it's"),
        ("$a$x$$y$b$a$", "x$$y$b"),
        ("'x'::text", "x"),
        ("'x'::character varying(20)", "x"),
        ("NULL", ""),
        ("null", ""),
        ("TRUE", "true"),
        ("-1.5e+3", "-1.5e+3"),
        ("/* a */ 'x' -- b\n", "x"),
        ("''", ""),
        ("'); -- '", "); --"),
    ],
)
def test_every_literal_means_what_postgres_means_by_it(literal: str, content: str):
    assert [found["content"] for found in read(f"{HEAD}{row(literal)};")] == [content]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), min_size=1, max_size=4))
def test_any_text_comes_back(texts: list[str]):
    values = ",\n".join(row("'" + text.replace("'", "''") + "'") for text in texts)
    expected = read(f"{HEAD}{values};\n")
    assert len(expected) == len(texts)
    escaped = ",\n".join(row("E'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'") for text in texts)
    assert read(f"{HEAD}{escaped};\n") == expected


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (f"\n{HEAD}{row('now()')};", r'x.sql:3: "now\(\), .* is not a literal value.*nothing of a dump is run'),
        (f"{HEAD}{row('ARRAY[1]')};", r'x.sql:2: "ARRAY\[1\].* is not a literal'),
        (f"{HEAD}{row('U&' + chr(39) + 'x' + chr(39))};", "is not a literal"),
        (f"{HEAD}{row(chr(39) + 'a' + chr(39) + ' || lower(1)')};", r'"\|\| lower\(1\).*is not a literal'),
        (f"{HEAD}{row('(select 1)')};", r'"\(select 1\).*is not a literal'),
        (f"{HEAD}{row('DEFAULT')};", "x.sql:2: content is DEFAULT, which only the server knew. Dump with `pg_dump"),
        (f"{HEAD}{row(repr('x'))},\n{row(repr('x') + ', 1')};", "x.sql:3: a row has more values than the 5 columns"),
        (f"{HEAD}('1', 'c');", "x.sql:2: a row has 2 values for the 5 columns"),
        (f"{HEAD}{row(repr('x'))},", "x.sql:1: the file ends within the INSERT that begins here: it is cut"),
        (f"{HEAD}{row(repr('x'))}", "the file ends within the INSERT that begins here: it is cut"),
        (f"{HEAD}('1', 'c", "the file ends within the INSERT that begins here: it is cut"),
        ("INSERT INTO other VALUES ('", "x.sql:1: the file ends within the statement that begins here: it is cut"),
        ("COPY other (a) FROM stdin;\n1\n", "the file ends within the COPY block that begins here"),
        ("INSERT INTO memory_turns VALUES (1);", "names no columns and no CREATE TABLE.*--column-inserts"),
        ("INSERT INTO memory_turns SELECT 1;", "has no VALUES; a query is not run"),
        ("INSERT INTO a.turns VALUES (1);", 'no INSERT has rows of memory_turns. It inserts into: "a.turns"'),
        ("INSERT INTO memory_turns (a) VALUES (1);", "x.sql:1: missing columns: id or turn_id"),
        ("SET standard_conforming_strings = off;", "x.sql:1: the dump writes strings in the old way"),
        ("SET client_encoding = 'LATIN1';", "x.sql:1: the dump is not UTF-8"),
        (f"{HEAD}{row(repr('x'))};COPY memory_turns (id) FROM stdin;\n\\.\n", "x.sql:2: memory_turns also stands as"),
        (
            f"{HEAD.replace('memory', 'a.memory')}{row(repr('x'))};{HEAD.replace('memory', 'b.memory')}",
            "two tables are named memory_turns: a.memory_turns and b.memory_turns",
        ),
        (f"{HEAD}{row(repr('x')).replace('+00', '')};", "x.sql:2: created_at .* which has no zone"),
        (f"{HEAD}".encode() + row("'\xff'").encode("latin-1") + b";", "x.sql:2: content is not UTF-8 .byte 1.*0xff"),
        (HEAD.encode("utf-16"), "x.sql:1: the file is UTF-16"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_exactly_is_refused_with_its_line(text: str | bytes, match: str):
    with pytest.raises(DataError, match=match):
        read(text)


@pytest.mark.parametrize(
    "before",
    [
        "-- INSERT INTO memory_turns VALUES (1);\n",
        "/* ; /* nested */ INSERT INTO memory_turns VALUES (1); */",
        "SELECT ';INSERT INTO memory_turns VALUES (1);' AS \"a;'\";\n",
        "DO $x$ BEGIN INSERT INTO memory_turns VALUES (1); $$;$$ END $x$;",
        r"SELECT E'\';INSERT INTO memory_turns VALUES (1);--';",
        "COPY other (a) FROM stdin;\nINSERT INTO memory_turns VALUES (1);\n'\n\\.\n\n",
        '\\restrict abc\'def\n\\connect "x;"\n',
        "INSERT INTO memory_turns_old VALUES (1, '--', \"x\");",
        'INSERT INTO "Memory_turns" VALUES (1);',
        "CREATE TABLE a$b$c (x text);",
        ";;",
    ],
)
def test_text_that_looks_like_a_statement_within_another_is_not_one(before: str):
    assert len(read(f"{before}{HEAD}{row(repr('x'))};\n\\unrestrict abc")) == 1


def test_columns_come_from_the_create_table_when_the_insert_names_none():
    create = """CREATE TABLE "public"."memory_turns" (
        "id" uuid DEFAULT 'a,b'::text NOT NULL, -- one, two
        extra numeric(10,2), conversation_id text, ROLE text CHECK ((role = ANY (ARRAY['a', 'b']))), content text,
        created_at timestamptz, CONSTRAINT x CHECK ((extra > 1)), PRIMARY KEY (id, role)
    );"""
    found = read(f"{create}INSERT INTO public.memory_turns VALUES ('1', 2.50, 'c', 'user', 'x', '2026-01-01 00:00Z');")
    assert [(each["id"], each["role"], each["content"]) for each in found] == [("1", "user", "x")]


def test_a_statement_longer_than_a_batch_comes_in_several(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(inserts, "BATCH_BYTES", 1000)
    monkeypatch.setattr(script, "CHUNK_BYTES", 500)
    text = HEAD + ",\n".join(row(f"'{number}'") for number in range(200)) + ";"
    made = list(inserts.batches(io.BytesIO(text.encode()), "x.sql", "memory_turns"))
    assert len(made) > 5
    assert [content for batch in made for content in batch["content"].to_pylist()] == [str(n) for n in range(200)]
