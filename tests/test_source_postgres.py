"""A live Postgres is read whole, in order, from one snapshot, over both libraries; nothing of a credential shows.

Real servers, real roles and policies, TLS with a made CA, and PgBouncer where there is one.
"""

import shutil
import subprocess
import sys
import traceback
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.postgres import Server, binaries, pooled, running, tried
from twin.errors import ConfigError, DataError, TwinError
from twin.export.canonical import ROWS
from twin.source import postgres as source
from twin.source.postgres.address import named_in
from twin.source.postgres.table import name_of
from twin.source.postgres.ways import BATCH_BYTES, session

NOW = datetime(2026, 6, 1, tzinfo=UTC)
TABLE = """
create type kind as enum ('user', 'assistant');
create table memory_turns (
    id uuid primary key, conversation_id uuid, role kind, phase text, salience_score numeric,
    trajectory_depth int, trajectory_sibling_order smallint, created_at timestamptz, content_text text,
    content_hash text, tags text[], metadata jsonb, embedding float8[]
);
insert into memory_turns values
 ('00000000-0000-4000-8000-000000000004', '10000000-0000-4000-8000-000000000001', 'user', null, 0.5, 2, 0,
  '2026-01-01 00:00:01.000001+00', E'a\\r\\nb, "c"\\n\\\\.\\n', null, '{a,b}', '{"x":1}', '{1,2}'),
 ('00000000-0000-4000-8000-000000000003', '10000000-0000-4000-8000-000000000001', 'assistant', '', 0, 1, 1,
  '2026-01-01 00:00:01.000001+00', '', '', null, null, null),
 ('00000000-0000-4000-8000-000000000002', null, 'user', 'NULL', null, 1, 0,
  '2026-01-01 00:00:01.000001+00', null, null, null, null, null),
 ('00000000-0000-4000-8000-000000000001', '10000000-0000-4000-8000-000000000001', null, 'planning', 1, null, null,
  '2025-12-31 23:00:00-05', E'\\u2028 NULL \\U0001F469\\u200D\\U0001F4BB \\ufeff', 'ab', null, null, null),
 ('00000000-0000-4000-8000-000000000005', '10000000-0000-4000-8000-000000000002', 'user', null, 1, 0, 0,
  '2026-05-01', 'later', null, null, null, null);
"""


@pytest.fixture(params=["adbc", "psycopg"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "psycopg":
        monkeypatch.setitem(sys.modules, "adbc_driver_postgresql", None)
    return str(request.param)


@pytest.fixture(scope="module")
def nasty(postgres: Server) -> Iterator[str]:
    postgres.run("create database nasty")
    postgres.run(TABLE, db="nasty")
    yield "nasty"
    postgres.run("drop database nasty with (force)")


@pytest.fixture
def fresh(postgres: Server) -> Iterator[str]:
    postgres.run("create database fresh")
    yield "fresh"
    postgres.run("drop database fresh with (force)")


def rows(
    url: str, table: str = "memory_turns", after: datetime | None = None, until: datetime = NOW, **more: Any
) -> list[dict[str, Any]]:
    with source.open(table, {"DATABASE_URL": url}, **more) as live:
        return pa.Table.from_batches(live.batches(after, until), ROWS).to_pylist()


def simple(server: Server, db: str, *values: str, columns: str = "created_at timestamptz") -> None:
    server.run(
        f"create table memory_turns (id text, conversation_id text, role text, content text, {columns});"
        + "".join(f"insert into memory_turns values ({value});" for value in values),
        db=db,
    )


def test_nasty_rows_come_whole_and_in_order_of_time_depth_sibling_and_id(postgres: Server, nasty: str, way: str):
    found = rows(postgres.url(db=nasty))
    assert [row["id"][-1] for row in found] == ["2", "3", "4", "1", "5"]
    assert [row["content"] for row in found] == ["", "", 'a\nb, "c"\n\\.', "NULL 👩\u200d💻 \ufeff", "later"]
    assert found[0]["created_at"] == datetime(2026, 1, 1, 0, 0, 1, 1, tzinfo=UTC)
    assert found[3]["created_at"] == datetime(2026, 1, 1, 4, tzinfo=UTC)
    by_id = {row["id"][-1]: row for row in found}
    assert by_id["2"]["conversation_id"] is None and by_id["2"]["phase"] == "NULL" and by_id["2"]["salience"] is None
    assert by_id["1"]["role"] == "none" and by_id["1"]["depth"] == 0 and by_id["3"]["salience"] == 0.0
    assert by_id["3"]["phase"] is None and by_id["1"]["content_hash"] == "ab"


def test_both_libraries_yield_the_same_bytes(postgres: Server, nasty: str, monkeypatch: pytest.MonkeyPatch):
    by_adbc = rows(postgres.url(db=nasty))
    monkeypatch.setitem(sys.modules, "adbc_driver_postgresql", None)
    assert rows(postgres.url(db=nasty)) == by_adbc


def test_a_range_is_open_below_and_closed_above(postgres: Server, nasty: str, way: str):
    moment = datetime(2026, 1, 1, 4, tzinfo=UTC)
    url = postgres.url(db=nasty)
    assert [row["id"][-1] for row in rows(url, until=moment)] == ["2", "3", "4", "1"]
    assert [row["id"][-1] for row in rows(url, after=moment)] == ["5"]
    assert rows(url, after=NOW) == []


def test_rows_without_a_time_are_counted_though_they_have_no_place_in_time(postgres: Server, fresh: str, way: str):
    simple(postgres, fresh, "'a', 'c', 'user', 'x', '2026-01-01Z'", "'b', 'c', 'user', 'x', null")
    with source.open("memory_turns", {"DATABASE_URL": postgres.url(db=fresh)}) as live:
        assert (live.count(None), live.count(NOW), live.count(datetime(2025, 1, 1, tzinfo=UTC))) == (2, 1, 0)


@pytest.mark.parametrize("time", ["infinity", "-infinity"])
def test_an_infinite_time_is_an_error_and_not_a_missing_row(postgres: Server, fresh: str, way: str, time: str):
    simple(postgres, fresh, f"'the one', 'c', 'user', 'x', '{time}'", "'b', 'c', 'user', 'x', '2026-01-01Z'")
    with pytest.raises(DataError, match=f'row with id "the one" has created_at {time}, which has no place in time'):
        rows(postgres.url(db=fresh))


def test_a_time_without_zone_needs_one_and_is_read_and_cut_in_it(postgres: Server, fresh: str, way: str):
    simple(
        postgres, fresh, "'a', 'c', 'user', 'x', '2026-01-01 00:00'", "'b', 'c', 'user', 'x', '2026-01-01 02:00'",
        columns="created_at timestamp",
    )  # fmt: skip
    url, zone = postgres.url(db=fresh), timezone(timedelta(hours=2))
    with pytest.raises(DataError, match="timestamp without time zone.*--zone UTC"):
        rows(url)
    found = rows(url, zone=zone, until=datetime(2025, 12, 31, 23, tzinfo=UTC))
    assert [(row["id"], row["created_at"]) for row in found] == [("a", datetime(2025, 12, 31, 22, tzinfo=UTC))]
    assert [row["id"] for row in rows(url, zone=zone, after=datetime(2025, 12, 31, 22, tzinfo=UTC))] == ["b"]


def test_a_cell_that_cannot_be_used_is_named_by_its_row(postgres: Server, fresh: str, way: str):
    simple(
        postgres, fresh, "'a', 'c', 'user', 'x', '2026-01-01Z', 1", "'b', 'c', 'user', 'x', '2026-01-01Z', 'NaN'",
        columns="created_at timestamptz, salience float8",
    )  # fmt: skip
    with pytest.raises(DataError, match='public.memory_turns: row with id "b": salience is "(?i:nan)".*finite'):
        rows(postgres.url(db=fresh))


@pytest.mark.parametrize(
    ("columns", "match"),
    [
        ("created_at text", "created_at is text, not timestamptz.*Make a view"),
        ("made timestamptz", "missing columns: created_at or timestamp"),
    ],
)
def test_a_table_that_is_none_of_turns_is_refused(postgres: Server, fresh: str, way: str, columns: str, match: str):
    simple(postgres, fresh, columns=columns)
    with pytest.raises(DataError, match=match):
        rows(postgres.url(db=fresh))


def test_content_that_is_not_text_is_refused(postgres: Server, fresh: str):
    postgres.run(
        "create table t (id int, conversation_id int, role text, content jsonb, created_at timestamptz)", db=fresh
    )
    with pytest.raises(DataError, match="content is jsonb, not text. Make a view"):
        rows(postgres.url(db=fresh), "t")


def test_batches_stay_small_and_a_reader_may_leave_early(postgres: Server, fresh: str, way: str):
    simple(postgres, fresh)
    postgres.run(
        "insert into memory_turns select n, n / 9, 'user', repeat('x', 400), '2026-01-01Z' from "
        "generate_series(1, 60000) n",
        db=fresh,
    )
    with source.open("memory_turns", {"DATABASE_URL": postgres.url(db=fresh)}) as live:
        sizes = [batch.nbytes for batch in live.batches(None, NOW)]
        assert len(sizes) > 4 and max(sizes) < 2 * BATCH_BYTES
        stream = live.batches(None, NOW)
        next(stream)
        stream.close()
        assert live.count(None) == 60000
    assert postgres.run("select count(*) from pg_stat_activity where datname = 'fresh'", db="postgres").strip() == "0"


def test_the_reading_is_one_snapshot(postgres: Server, fresh: str, way: str):
    simple(postgres, fresh)
    postgres.run(
        "insert into memory_turns select n, 'c', 'user', repeat('x', 400), '2026-01-01Z' from "
        "generate_series(1, 40000) n",
        db=fresh,
    )
    with source.open("memory_turns", {"DATABASE_URL": postgres.url(db=fresh)}) as live:
        stream = live.batches(None, NOW)
        first = next(stream)
        postgres.run("delete from memory_turns", db=fresh)
        assert len(first) + sum(len(batch) for batch in stream) == 40000
        assert live.count(None) == 0


def test_a_session_reads_one_snapshot_and_can_change_nothing(postgres: Server, way: str):
    with session(named_in({"DATABASE_URL": postgres.url()}), guard=True) as opened:
        names = ("transaction_isolation", "transaction_read_only", "row_security", "timezone")
        shown = opened.rows(f"SELECT {', '.join(f'current_setting({name!r})' for name in names)}")
        assert [tuple(row) for row in shown] == [("repeatable read", "on", "off", "UTC")]


def test_odd_names_are_names_and_nothing_else(postgres: Server, fresh: str, way: str):
    odd = "a\"b'; drop table kept; --\\"
    quoted = '"' + odd.replace('"', '""') + '"'
    postgres.run(
        f'create schema "S.1"; create table kept (); create table "S.1".{quoted} ("Id" text, session_id text, '
        f"""role text, text text, "timestamp" timestamptz); insert into "S.1".{quoted}
        values ('1', 'c', 'user', 'x', '2026-01-01Z')""",
        db=fresh,
    )
    url = postgres.url(db=fresh)
    assert [row["id"] for row in rows(url, f'"S.1".{quoted}')] == ["1"]
    for attack in ("t; drop table kept", 'public.t"; drop table kept; --', "a.b.c", "", "t where true", '""', "x" * 64):
        with pytest.raises(ConfigError, match="is not the name of a table"):
            rows(url, attack)
    with pytest.raises(DataError, match=r'public\.kept\'; --: there is no such table .*"S\.1\.a'):
        rows(url, '"kept\'; --"')
    assert postgres.run("select to_regclass('kept')", db=fresh).strip() == "kept"
    assert str(name_of("Memory_Turns")) == "public.memory_turns" and str(name_of('a."B.c"')) == "a.B.c"


def test_a_view_is_read_like_a_table(postgres: Server, nasty: str, way: str):
    postgres.run("create or replace view v as select * from memory_turns where role = 'user'", db=nasty)
    assert len(rows(postgres.url(db=nasty), "v")) == 3


POLICIES = """
create table memory_turns (id text, conversation_id text, role text, content text, created_at timestamptz);
insert into memory_turns select n, n % 2, 'user', 'x', '2026-01-01Z' from generate_series(1, 4) n;
alter table memory_turns enable row level security;
drop role if exists reader; drop role if exists server; drop role if exists nobody_here;
create role reader login password 'r'; create role server login bypassrls password 's';
create role nobody_here login password 'n';
grant select on memory_turns to reader, server;
create policy half on memory_turns for select to reader using (conversation_id = '1');
create view through with (security_invoker = true) as select * from memory_turns;
grant select on through to reader, server;
"""


def test_rows_that_a_policy_hides_are_never_missing_without_a_word(postgres: Server, fresh: str, way: str):
    postgres.run(POLICIES, db=fresh)
    reader, server = postgres.url("reader", "r", db=fresh), postgres.url("server", "s", db=fresh)
    with pytest.raises(DataError, match="row-level security hides rows.*BYPASSRLS.*--visible-rows-only"):
        rows(reader)
    refused = pytest.raises(DataError, match="public.memory_turns: row-level security hides rows")
    with refused, source.open("memory_turns", {"DATABASE_URL": reader}):
        pytest.fail("it was opened")
    with pytest.raises(DataError, match="public.through: row-level security hides rows"):
        rows(reader, "through")
    assert len(rows(reader, allow_row_security=True)) == 2
    assert len(rows(server)) == len(rows(server, "through")) == len(rows(postgres.url(db=fresh))) == 4
    with pytest.raises(DataError, match="public.memory_turns: this account may not read it. Grant it"):
        rows(postgres.url("nobody_here", "n", db=fresh))


def test_a_statement_timeout_has_one_message(postgres: Server, fresh: str, way: str):
    simple(postgres, fresh)
    postgres.run(
        "insert into memory_turns values ('1', 'c', 'user', 'x', '2026-01-01Z');"
        "create view slow as select m.id, m.conversation_id, m.role, m.content || pg_sleep(9)::text content, "
        "m.created_at from memory_turns m; drop role if exists hasty; create role hasty login password 'h';"
        "alter role hasty set statement_timeout = '200ms'; grant select on slow to hasty",
        db=fresh,
    )
    with pytest.raises(DataError, match="public.slow: the server's statement_timeout.*session pooler.*ALTER ROLE"):
        rows(postgres.url("hasty", "h", db=fresh), "slow")


def test_a_lost_connection_is_an_error_and_not_the_end_of_the_data(postgres: Server, fresh: str, way: str):
    simple(postgres, fresh)
    postgres.run(
        "insert into memory_turns select n, 'c', 'user', repeat('x', 400), '2026-01-01Z' from "
        "generate_series(1, 100000) n",
        db=fresh,
    )
    with source.open("memory_turns", {"DATABASE_URL": postgres.url(db=fresh)}) as live:
        stream = live.batches(None, NOW)
        next(stream)
        postgres.run("select pg_terminate_backend(pid) from pg_stat_activity where datname = 'fresh'")
        with pytest.raises(DataError, match="the connection was lost before the last row.*Run the same command again"):
            list(stream)


SECRET = "s@crt/w:rd?#% 'x\\"


def test_no_error_shows_the_password_or_the_url(postgres: Server, way: str):
    url = postgres.url(password=SECRET)
    remote = url.replace("127.0.0.1", "nohost.invalid")
    cases = {
        "the password or the user is wrong": url,
        "the host is not known.*session pooler": remote,
        "no server answers there": postgres.url(password=SECRET, port=1),
        "do not agree. Turn TLS on": f"{url}?sslmode=require",
        "(?s)not shown as it may hold a password": f"postgresql://twin:{SECRET}@127.0.0.1:{postgres.port}/postgres",
        "one of libpq's": f"{url}?{SECRET.split('@', maxsplit=1)[0]}=1",
        "sslmode is none of": f"{url}?sslmode=s%40crt",
        "no such database": postgres.url(db="nodb"),
    }
    for match, bad in cases.items():
        with pytest.raises(TwinError, match=match) as caught:
            rows(bad)
        shown = "".join(traceback.format_exception(caught.value))
        for secret in (SECRET, "s%40crt", "s@crt", "w:rd", postgres.password, "not%3Aa", "postgresql://twin"):
            assert secret not in shown, match
        assert caught.value.__suppress_context__ or caught.value.__context__ is None
        assert "\n" not in str(caught.value) or "session pooler      " in str(caught.value)


def test_what_a_library_says_of_the_address_is_masked():
    where = named_in({"DATABASE_URL": "postgresql://u:s%40crt%2Fw@localhost/db"})
    said = f"bad s@crt/w or s%40crt%2Fw in {where.uri()} or postgres://u:other@host"
    assert where.without_secrets(said) == "bad *** or *** in *** or ***" and "crt" not in repr(where)


def test_a_source_shows_nothing_of_its_address(postgres: Server, nasty: str):
    with source.open("memory_turns", {"DATABASE_URL": postgres.url(db=nasty)}) as live:
        assert postgres.password not in repr(live) + repr(vars(live)) and "127.0.0.1" not in repr(vars(live))
        assert live.fingerprint.table == "public.memory_turns" and len(live.fingerprint.place) == 16
        assert {"embedding", "metadata"} < set(live.fingerprint.columns)


@pytest.mark.parametrize(
    "marker", ["p@ss@host/db", "u:12/x@host/db", "u:p#x@host", "u:p x@host", "host:port/db", "a b"]
)
def test_a_url_whose_password_is_not_encoded_is_refused_whole(marker: str):
    with pytest.raises(ConfigError, match="(?s)DATABASE_URL is not a URL.*not shown.*percent-encoded") as caught:
        named_in({"DATABASE_URL": f"postgresql://{marker}" if "@" in marker else f"postgresql://u:{marker}"})
    assert marker not in str(caught.value)


def test_where_no_server_is_named_the_error_shows_the_three_roads():
    with pytest.raises(ConfigError, match=r"(?s)TWIN_POSTGRES_URL.*direct.*5432.*session pooler.*transaction.*6543"):
        named_in({"PGUSER": "x", "DATABASE_URL": ""})


def test_libpq_variables_name_a_server_too(postgres: Server, nasty: str, way: str):
    environ = {
        "PGHOST": "127.0.0.1", "PGPORT": str(postgres.port), "PGUSER": postgres.user,
        "PGPASSWORD": postgres.password, "PGDATABASE": nasty,
    }  # fmt: skip
    with source.open("memory_turns", environ) as live:
        assert live.count(None) == 5


@pytest.mark.parametrize(
    ("url", "mode"),
    [
        ("postgresql://u@db.abc.supabase.co/postgres", "require"),
        ("postgres://u@192.0.2.1/postgres?pgbouncer=true", "require"),
        ("postgresql://u@db.abc.supabase.co/postgres?sslrootcert=prod-ca-2021.crt", "verify-full"),
        ("postgresql://u@db.abc.supabase.co/postgres?sslmode=disable", "disable"),
        ("postgresql://u@[::1]:5432/postgres", None),
        ("postgresql+psycopg://u@localhost", None),
        ("postgresql:///db?host=/tmp", None),
    ],
)
def test_beyond_this_machine_tls_is_required_unless_told_otherwise(url: str, mode: str | None):
    assert named_in({"DATABASE_URL": url}).settings.get("sslmode") == mode


def test_the_three_addresses_of_a_project_are_one_place():
    pooler = "aws-0-eu-west-1.pooler.supabase.com"
    urls = [
        "postgresql://postgres:a@db.abc.supabase.co:5432/postgres",
        f"postgresql://postgres.abc:b@{pooler}:5432/postgres",
        f"postgresql://postgres.abc:b@{pooler}:6543/postgres",
        f"postgresql://postgres.other:b@{pooler}:6543/postgres",
    ]
    places = [named_in({"DATABASE_URL": url}).place() for url in urls]
    assert places[0] == places[1] == places[2] != places[3]


def test_a_server_that_the_account_may_not_run_is_passed_over_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    closed = tmp_path / "closed" / "bin"
    closed.mkdir(parents=True)
    for name in ("initdb", "postgres"):
        (closed / name).write_text("#!/bin/sh\nexit 1\n")
        (closed / name).chmod(0o755)
    closed.chmod(0o700)
    monkeypatch.setenv("TWIN_TEST_PG_BIN", str(closed))
    assert closed not in binaries() and f"{closed}: " in tried()


def test_without_a_driver_the_error_says_what_to_install(postgres: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "adbc_driver_postgresql", None)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigError, match=r"pip install 'cognitive-twin\[postgres\]'"):
        rows(postgres.url())


def test_a_driver_whose_library_does_not_load_is_passed_over(
    postgres: Server, nasty: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    import adbc_driver_postgresql

    (tmp_path / "broken.so").write_bytes(b"not a library")
    monkeypatch.setattr(adbc_driver_postgresql, "_driver_path", lambda: str(tmp_path / "broken.so"))
    assert len(rows(postgres.url(db=nasty))) == 5


def test_a_transaction_pooler_serves_both_libraries_and_keeps_no_setting(
    postgres: Server, nasty: str, way: str, pooler: int
):
    url = postgres.url(db=nasty, port=pooler)
    for _ in range(8):
        assert len(rows(url)) == 5
    shown = replace(postgres, port=pooler).run("show row_security; show timezone", db=nasty).split()
    assert shown == postgres.run("show row_security; show timezone", db=nasty).split()
    with pytest.raises(ConfigError, match="refuses a parameter of the connection. Remove options"):
        rows(f"{url}?options=-c%20statement_timeout%3D0")


@pytest.fixture(scope="module")
def pooler(postgres: Server) -> Iterator[int]:
    try:
        with pooled(postgres) as port:
            yield port
    except FileNotFoundError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path, Path]]:
    """A server with TLS, the CA of its certificate, and another CA."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a CA with")
    folder = tmp_path_factory.mktemp("tls")
    ours, other = (authority(folder, name) for name in ("ours", "other"))
    certificate = signed(folder, ours)
    for binary in binaries():
        if "openssl" in subprocess.run([binary / "pg_config", "--configure"], capture_output=True, text=True).stdout:  # noqa: PLW1510
            with running(binary, ssl=certificate) as server:
                simple(server, "postgres", "'1', 'c', 'user', 'x', '2026-01-01Z'")
                yield server, ours, other
            return
    pytest.skip(f"no server with OpenSSL among {[str(binary) for binary in binaries()]}")


def openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def authority(folder: Path, name: str) -> Path:
    made = folder / f"{name}.crt"
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", folder / f"{name}.key", "-out", made, "-days",
            "2", "-subj", f"/CN={name}")  # fmt: skip
    return made


def signed(folder: Path, ca: Path) -> tuple[Path, Path]:
    request, key, made, names = (folder / f"server.{end}" for end in ("csr", "key", "crt", "ext"))
    names.write_text("subjectAltName=DNS:localhost")
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", request, "-subj", "/CN=localhost")
    openssl("x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca.with_suffix(".key"), "-CAcreateserial", "-days",
            "2", "-extfile", names, "-out", made)  # fmt: skip
    return made, key


def test_tls_modes_do_what_they_say(secured: tuple[Server, Path, Path], way: str):
    server, ours, other = secured
    url = server.url().replace("127.0.0.1", "localhost")
    assert len(rows(f"{url}?sslmode=require")) == 1
    assert len(rows(f"{url}?sslmode=verify-full&sslrootcert={ours}")) == 1
    assert len(rows(f"{url}?sslrootcert={ours}")) == 1
    with pytest.raises(ConfigError, match="certificate is not signed by the CA of sslrootcert.*do not send a password"):
        rows(f"{url}?sslmode=verify-full&sslrootcert={other}")
    with pytest.raises(ConfigError, match="certificate is for another host name"):
        rows(f"{server.url()}?sslmode=verify-full&sslrootcert={ours}")
    with pytest.raises(ConfigError, match="certificate of the CA is missing.*sslrootcert=prod-ca-2021.crt"):
        rows(f"{url}?sslmode=verify-full&sslrootcert={ours}.not")
