"""Who may read through Supabase's REST, of what tables and ids; and the key is in nothing that anybody sees.

The server is the double of postgrest_double over a real PostgreSQL with real roles and row level security.
"""

import logging
import socket
import ssl
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import psycopg
import pytest

from tests.postgrest_double import ROLES_SQL, Double, serving
from tests.postgrest_keys import PUBLISHABLE_KEY, SECRET_KEY, jwt
from tests.rest_reading import UNTIL, opened, patience, read
from twin.errors import ConfigError, DataError
from twin.source import rest
from twin.source.rest.access import access

if TYPE_CHECKING:
    from tests.postgres import Server

TABLE = """
CREATE TABLE turns (id bigint PRIMARY KEY, conversation_id text, role text, content text, created_at timestamptz);
INSERT INTO turns SELECT 9007199254740990 + i, 'c', 'user', 'turn ' || i, timestamptz '2026-01-01 00:00:00+00' + i *
    interval '1 second' FROM generate_series(-12, 12) i;
ALTER TABLE turns ENABLE ROW LEVEL SECURITY;
CREATE POLICY visible ON turns FOR SELECT TO anon USING (id % 2 = 0);
CREATE TABLE shut (LIKE turns);
INSERT INTO shut SELECT * FROM turns;
ALTER TABLE shut ENABLE ROW LEVEL SECURITY;
CREATE TABLE nothing (LIKE turns);
CREATE TABLE ungranted (LIKE turns);
REVOKE ALL ON ungranted FROM service_role;
CREATE TABLE other (id bigint PRIMARY KEY, title text);
INSERT INTO other VALUES (1, 'x');
CREATE TABLE unkeyed (LIKE turns);
INSERT INTO unkeyed SELECT 7, 'c', 'user', 'same id', timestamptz '2026-01-01 00:00:00+00' FROM generate_series(1, 12);
CREATE TABLE huge (LIKE turns);
ALTER TABLE huge ALTER id TYPE numeric;
INSERT INTO huge SELECT 36893488147419103232 + id, 'c', 'user', 'x', created_at FROM turns;
CREATE TABLE texts (LIKE turns);
ALTER TABLE texts ALTER id TYPE text COLLATE "COLLATION";
INSERT INTO texts SELECT unnest(ARRAY['a', 'B', 'b', 'A', 'é', 'e', 'z', 'Z', 'a b', 'a,b', '"q"', 'x(y)', 'n.null',
    '*', '%', '\\', 'a&b=c', 'a+b', '日本', 'null', E'new\\nline', '-1', '10', '9', 'not.x', '#', '?']), 'c', 'user',
    'x', timestamptz '2026-01-01 00:00:00+00';
CREATE TABLE local (LIKE turns);
ALTER TABLE local ALTER created_at TYPE timestamp;
INSERT INTO local VALUES (1, 'c', 'user', 'no time', NULL), (2, 'c', 'user', 'early', '2026-01-01 09:00:00'),
    (3, 'c', 'user', 'late', '2026-01-01 09:00:01');
CREATE TABLE bad (LIKE turns);
INSERT INTO bad SELECT id, 'c', 'user', 'x', created_at FROM turns LIMIT 1;
ALTER TABLE bad DROP content, ADD content jsonb;
UPDATE bad SET content = '{"said": "mail me at jane@example.com"}';
CREATE TABLE nameless (LIKE turns);
ALTER TABLE nameless ALTER id DROP NOT NULL;
INSERT INTO nameless SELECT nullif(id, 9007199254740990), 'c', 'user', 'x', created_at FROM turns;
CREATE SCHEMA private;
CREATE TABLE private.turns (LIKE public.turns);
INSERT INTO private.turns SELECT * FROM public.turns WHERE id = 9007199254740990;
GRANT USAGE ON SCHEMA private TO service_role;
GRANT SELECT ON private.turns TO service_role;
"""


@pytest.fixture(scope="module")
def database(postgres: "Server") -> str:
    postgres.run("CREATE DATABASE rest_access")
    known = set(postgres.run("SELECT collname FROM pg_collation", db="rest_access").split())
    collation = next(name for name in ("en-x-icu", "en_US.utf8", "C.utf8", "C") if name in known)
    postgres.run(ROLES_SQL + TABLE.replace("COLLATION", collation), db="rest_access")
    return postgres.url(db="rest_access")


@pytest.fixture(scope="module")
def served(database: str) -> Iterator[Double]:
    with serving(database) as double:
        double.schemas = ("public", "private")
        yield double


@pytest.fixture
def double(served: Double) -> Double:
    served.reset(max_rows=5)
    return served


@pytest.mark.parametrize("key", [SECRET_KEY, jwt("service_role")], ids=["secret", "service_role"])
def test_a_secret_key_sees_every_row(double: Double, key: str) -> None:
    assert len(read(double, table="turns", key=key)) == 25
    with opened(double, "turns", key) as source:
        assert source.note == ""


@pytest.mark.parametrize("key", [PUBLISHABLE_KEY, jwt("anon"), jwt("authenticated"), jwt("reader")])
def test_a_key_that_row_level_security_holds_for_is_refused_before_anything_is_sent(double: Double, key: str) -> None:
    with (
        pytest.raises(ConfigError, match="SUPABASE_KEY is a public key .*row level security .*--visible-rows-only"),
        opened(double, "turns", key),
    ):
        pass
    assert double.requests == []


def test_a_public_key_that_is_allowed_gives_the_visible_rows_and_says_so(double: Double) -> None:
    rows = read(double, table="turns", key=PUBLISHABLE_KEY, allow_public_key=True)
    assert len(rows) == 13 and all(int(id_) % 2 == 0 for id_ in rows)
    with opened(double, "turns", jwt("anon"), allow_public_key=True) as source:
        assert source.count(None) == source.count(UNTIL) == 13
        assert source.note.startswith('rest public.turns: read as "anon"; rows that row level security hides')


@pytest.mark.parametrize(
    ("table", "key", "said"),
    [
        ("shut", PUBLISHABLE_KEY, 'shows no row: .*row level security hides all of them from "anon"'),
        ("nothing", SECRET_KEY, "shows no row: the table is empty, or this is another project"),
        ("nowhere", SECRET_KEY, "404 PGRST205 .*no such table"),
        ("elsewhere.turns", SECRET_KEY, "406 PGRST106 .*does not show this schema"),
        ("ungranted", SECRET_KEY, "403 42501 .*Grant it SELECT"),
        ("other", SECRET_KEY, "rest public.other: missing columns: conversation_id"),
        ("turns", "sb_secret_of_another_project", '401 "Invalid API key.*Copy the key'),
        ("turns", jwt("service_role", b"another"), "401 PGRST301 .*does not accept the key"),
        ("turns", jwt("service_role", exp=1), "401 PGRST303 .*expired"),
    ],
)
def test_a_table_that_cannot_be_read_is_told_when_it_is_opened(double: Double, table: str, key: str, said: str) -> None:
    with pytest.raises(DataError, match=said), opened(double, table, key, allow_public_key=True):
        pass


def test_a_table_of_another_schema_is_read(double: Double) -> None:
    assert [row["content"] for row in read(double, table="private.turns").values()] == ["turn 0"]


def test_ids_beyond_the_exact_numbers_of_json_readers_stay_whole(double: Double) -> None:
    assert list(read(double, table="turns")) == [str(9007199254740990 + i) for i in range(-12, 13)]
    assert list(read(double, table="huge"))[-1] == str(36893488147419103232 + 9007199254740990 + 12)


def test_ids_of_text_are_paged_in_the_databases_own_order(double: Double, database: str) -> None:
    with psycopg.connect(database) as connection:
        ordered = [row[0] for row in connection.execute("SELECT id FROM texts ORDER BY id")]
        collations = {row[0] for row in connection.execute("SELECT collname FROM pg_collation")}
    # A server without ICU has no collation but bytes.
    assert ordered != sorted(ordered) or "en-x-icu" not in collations
    assert list(read(double, table="texts")) == ordered and len(ordered) == 27


def test_times_without_a_zone_are_bounded_and_read_in_the_zone_given(double: Double) -> None:
    zone = ZoneInfo("America/New_York")
    rows = read(double, until=datetime(2026, 1, 1, 14, 0, tzinfo=UTC), table="local", zone=zone)
    assert {row["content"]: row["created_at"] for row in rows.values()} == {
        "early": datetime(2026, 1, 1, 14, 0, tzinfo=UTC)
    }
    with pytest.raises(DataError, match=r'rest public.local id "2": created_at is .* which has no zone'):
        read(double, table="local")


def test_an_id_that_is_no_key_is_told(double: Double) -> None:
    with pytest.raises(DataError, match="an id came twice in 5 rows. id must be a key of the table"):
        read(double, table="unkeyed")


def test_a_row_without_an_id_is_told(double: Double) -> None:
    with pytest.raises(DataError, match="24 rows came, but the server counts 25 .*id is no key"):
        read(double, table="nameless")
    double.reset()
    with pytest.raises(DataError, match="a row has no id"):
        read(double, table="nameless")


def test_a_cell_that_is_not_usable_is_told_with_its_row_and_without_its_address(double: Double) -> None:
    with pytest.raises(DataError, match=r'^rest public.bad id "\d+": content is an object, not text') as caught:
        read(double, table="bad")
    assert "jane" not in str(caught.value)


SET = {"SUPABASE_URL": "https://ref.supabase.co", "SUPABASE_KEY": SECRET_KEY}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"SUPABASE_URL": ""}, "^the environment has no SUPABASE_URL. Set both"),
        ({"SUPABASE_KEY": ""}, "^the environment has no SUPABASE_KEY or SUPABASE_SERVICE_ROLE_KEY. Set"),
        ({"SUPABASE_URL": "", "SUPABASE_KEY": " "}, "no SUPABASE_URL and no SUPABASE_KEY or"),
        ({"SUPABASE_URL": "http://ref.supabase.co"}, 'in the clear to "ref.supabase.co". Use https'),
        ({"SUPABASE_URL": "http://localhost.evil.com"}, "in the clear"),
        ({"SUPABASE_URL": "postgresql://postgres:hunter22@db/postgres"}, "no address of a project"),
        ({"SUPABASE_URL": "https://me:hunter22@ref.supabase.co"}, "holds a user or a password"),
        ({"SUPABASE_URL": "https://ref.supabase.co/?apikey=hunter22"}, "holds a query"),
        ({"SUPABASE_URL": "https://[hunter22"}, "no address of a project"),
        ({"SUPABASE_URL": "https://ref.supabase.co:hunter22"}, "no address of a project"),
        ({"SUPABASE_KEY": f"{SECRET_KEY}\nhunter22"}, "SUPABASE_KEY holds white space"),
        ({"SUPABASE_KEY": f"{SECRET_KEY}é"}, "SUPABASE_KEY holds white space or a character"),
        ({"SUPABASE_KEY": "sbp_hunter22hunter22hunter22"}, "SUPABASE_KEY is no API key of a project"),
        ({"SUPABASE_KEY": "a.hunter22.c"}, "SUPABASE_KEY is no API key of a project"),
        ({"SUPABASE_KEY": "", "SUPABASE_SERVICE_ROLE_KEY": "hunter22"}, "SUPABASE_SERVICE_ROLE_KEY is no API key"),
    ],
)
def test_an_environment_that_is_not_usable_is_told_by_name_and_never_by_value(
    changed: dict[str, str], said: str
) -> None:
    with pytest.raises(ConfigError, match=said) as caught, rest.open("memory_turns", SET | changed):
        pass
    shown = "".join(traceback.format_exception(caught.value))
    assert "hunter22" not in shown.replace(repr(changed), "") and SECRET_KEY not in shown


@pytest.mark.parametrize("table", ["", "a.b.c", "../auth/v1/user", "turns?select=*", "a/b", "public.", "turns\n"])
def test_what_is_no_name_of_a_table_is_refused(table: str) -> None:
    with pytest.raises(ConfigError, match="is no name of a table"), rest.open(table, SET):
        pass


def test_a_key_of_the_service_role_may_stand_under_its_own_name(double: Double) -> None:
    environ = {"SUPABASE_URL": f" {double.url}/rest/v1/ ", "SUPABASE_SERVICE_ROLE_KEY": f"{SECRET_KEY}\n"}
    with rest.open('"public"."turns"', environ) as source:
        assert source.count(None) == 25


def test_the_fingerprint_is_that_of_the_project_however_its_address_is_written(double: Double) -> None:
    found = set()
    for url in (double.url, f"{double.url}/", f"{double.url}/rest/v1", double.url.upper().replace("HTTP", "http")):
        with rest.open("turns", {"SUPABASE_URL": url, "SUPABASE_KEY": SECRET_KEY}) as source:
            found.add(source.fingerprint)
    assert len(found) == 1


def test_an_address_where_nobody_answers_is_told_after_all_tries() -> None:
    slept: list[float] = []
    gone = {"SUPABASE_URL": "http://127.0.0.1:9", "SUPABASE_KEY": SECRET_KEY}
    with (
        pytest.raises(DataError, match="gave up after 4 tries; .*the connection broke .ConnectError."),
        rest.open("turns", gone, patience=patience(slept)),
    ):
        pass
    assert slept == [1, 2, 4]


def test_a_host_that_has_no_address_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    slept: list[float] = []
    with (
        pytest.raises(DataError, match="no such host: check SUPABASE_URL"),
        rest.open("turns", SET, patience=patience(slept)),
    ):
        pass
    assert slept == []


def test_a_certificate_that_is_not_trusted_is_told_at_once(double: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    def untrusted(_context: ssl.SSLContext, connection: socket.socket, **_: object) -> None:
        connection.close()
        raise ssl.SSLCertVerificationError(1, "certificate verify failed: self-signed certificate")

    monkeypatch.setattr(ssl.SSLContext, "wrap_socket", untrusted)
    slept: list[float] = []
    environ = SET | {"SUPABASE_URL": double.url.replace("http:", "https:")}
    with (
        pytest.raises(DataError, match="certificate is not trusted: check SUPABASE_URL"),
        rest.open("turns", environ, patience=patience(slept)),
    ):
        pass
    assert slept == []


@pytest.mark.parametrize("key", [SECRET_KEY, jwt("service_role")], ids=["secret", "service_role"])
@pytest.mark.parametrize("kind", ["status", "html", "short", "reset", "stall"])
def test_the_key_is_in_no_log_message_repr_or_chain(
    double: Double, kind: str, key: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    said = {"status": 400, "body": {"code": "X", "message": f"no {key}", "hint": key}} if kind == "status" else {}
    double.fail(kind, at=1, times=9, **said)
    with (
        pytest.raises(DataError) as caught,
        opened(double, "turns", key, patience=patience([], (), read_s=0.25)) as source,
    ):
        list(source.batches(None, UNTIL))
    chain: list[BaseException] = [caught.value]
    while chain[-1].__context__ or chain[-1].__cause__:
        chain.append(chain[-1].__context__ or chain[-1].__cause__)  # type: ignore[arg-type]
    everything = [*map(repr, chain), *map(str, chain), caplog.text, *capfd.readouterr(), repr(source)]
    everything += [repr(value) for value in vars(source).values()] + traceback.format_exception(caught.value)
    assert "HTTP Request" in caplog.text
    assert not any(part in text for text in everything for part in (key, key[:40]))
    if kind == "status":
        assert "<the key>" in str(caught.value)


def test_a_key_does_not_go_where_a_redirect_says(double: Double) -> None:
    double.fail("status", "first", status=302, body=b"", Location=f"{double.url}/rest/v1/turns?select=id&order=id")
    with pytest.raises(DataError, match="302 .*the address moved"), opened(double, "turns"):
        pass
    assert [kind for kind, _ in double.requests] == ["first"]


def test_the_key_is_not_in_the_repr_of_what_holds_it() -> None:
    assert SECRET_KEY not in repr(access(SET, False))


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "postgrest", None)
    with pytest.raises(ConfigError, match="pip install 'cognitive-twin.rest.'"), rest.open("turns", SET):
        pass
