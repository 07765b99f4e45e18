"""Reading a table through Supabase's REST ends in every row once or in one error, whatever the server does meanwhile.

The server is the double of postgrest_double over a real PostgreSQL with real roles and row level security.
"""

import functools
import ssl
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import psycopg
import pytest

from tests.postgrest_double import NO_CACHE, ROLES_SQL, TIMED_OUT, Double, serving
from tests.postgrest_keys import SECRET_KEY
from tests.rest_reading import UNTIL, opened, patience, read
from twin.errors import DataError
from twin.export import cells
from twin.export.canonical import ROWS
from twin.source.rest import source as source_module

if TYPE_CHECKING:
    from tests.postgres import Server

TURNS = 2350
# The first rows have one of these each.
NASTY = (
    None, "", " ", "a\nb\r\nc\rd", 'comma, "quotes" \\ back\\n slash', "\\N", "null", "NaN",
    "día 日本語 👩‍👩‍👧 \u2028 x\u0085y", "\ufeffbom", "tab\tbell\x07", "x" * 300_000, '{"a": [1]}', "é" * 6000,
    "<script>%+&=#?", "-- '; DROP TABLE memory_turns",
)  # fmt: skip
TABLE = """
CREATE TABLE memory_turns (
    id uuid PRIMARY KEY, conversation_id uuid, role text, phase text, salience_score double precision,
    trajectory_depth int, trajectory_sibling_order int, created_at timestamptz, content_hash text, content_text text,
    domain text, embedding text, metadata jsonb);
ALTER TABLE memory_turns ENABLE ROW LEVEL SECURITY;
CREATE POLICY visible ON memory_turns FOR SELECT TO anon USING (phase = 'planning');
CREATE TABLE hidden AS SELECT * FROM memory_turns;
ALTER TABLE hidden ENABLE ROW LEVEL SECURITY;
"""
COLUMNS = (
    "id, conversation_id, role, phase, salience_score, trajectory_depth, trajectory_sibling_order, created_at,"
    " content_text, domain"
)


def fill(connection: psycopg.Connection[Any], turns: int) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    with connection.cursor().copy(f"COPY memory_turns ({COLUMNS}) FROM STDIN") as copy:
        for n in range(turns):
            id_ = f"{(n * 2654435761) % 2**32:08x}-0000-4000-8000-{n:012x}"
            text = NASTY[n] if n < len(NASTY) else f"turn {n} about {NASTY[4 + n % 5]}"
            when = start + timedelta(seconds=n // 3, microseconds=n % 2)  # many times are equal
            score = None if n % 7 == 0 else (1.0 if n % 7 == 1 else n / 10_000)
            copy.write_row((
                id_, f"00000000-0000-4000-8000-{n // 9:012x}" if n % 50 else None, "User" if n % 2 else None,
                "planning" if n % 4 == 0 else None, score, n % 9, None, when, text, "" if n % 3 else None,
            ))  # fmt: skip
    connection.execute("UPDATE memory_turns SET embedding = repeat('9', 50), metadata = '{\"k\": [1, {\"z\": null}]}'")


@pytest.fixture(scope="module", autouse=True)
def _trust_read_once() -> Iterator[None]:
    """Read the certificates of the world once: a client does it each time, in 35 ms."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssl, "create_default_context", functools.cache(ssl.create_default_context))
        yield


@pytest.fixture(scope="module")
def database(postgres: "Server") -> str:
    postgres.run("CREATE DATABASE rest_turns")
    postgres.run(ROLES_SQL + TABLE, db="rest_turns")
    url = postgres.url(db="rest_turns")
    with psycopg.connect(url) as connection:
        fill(connection, TURNS)
    return url


@pytest.fixture(scope="module")
def served(database: str) -> Iterator[Double]:
    with serving(database) as double:
        yield double


@pytest.fixture
def double(served: Double) -> Double:
    served.reset()
    return served


@pytest.fixture
def sql(database: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection that commits each statement; what a test does to memory_turns it undoes."""
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="module")
def expected(database: str) -> dict[str, dict[str, Any]]:
    """What the table holds, read by psycopg and put into canonical form cell by cell."""
    with psycopg.connect(database) as connection:
        rows = connection.execute(f"SELECT {COLUMNS} FROM memory_turns").fetchall()
    meanings = ("id", "conversation_id", "role", "phase", "salience", "depth", "sibling", "created_at", "content",
                "domain")  # fmt: skip
    found = {}
    for row in rows:
        made: dict[str, Any] = dict.fromkeys(ROWS.names)
        for meaning, value in zip(meanings, row, strict=True):
            made[meaning] = value if meaning == "created_at" else cells.READERS[meaning](value)
        found[made["id"]] = made
    assert len(found) == TURNS
    return found


def test_every_row_comes_once_as_the_table_has_it(double: Double, expected: Mapping[str, Any]) -> None:
    assert read(double) == expected


def test_only_columns_that_mean_something_are_asked_for_after_the_first_row(double: Double) -> None:
    read(double)
    asked = [query["select"] for _, query in double.requests if query["select"] != "*"]
    assert [query["limit"] for _, query in double.requests if query["select"] == "*"] == ["1"]
    assert asked and not any("embedding" in select or "metadata" in select for select in asked)


def test_the_fingerprint_tells_the_source_and_opens_nothing(double: Double) -> None:
    with opened(double) as source:
        assert (source.fingerprint.kind, source.fingerprint.table) == ("rest", "public.memory_turns")
        assert len(source.fingerprint.place) == 16 and "embedding" in source.fingerprint.columns
        assert SECRET_KEY not in repr(source.fingerprint) and double.url not in repr(source.fingerprint)


def test_bounds_take_later_rows_without_the_first_and_with_the_last(
    double: Double, expected: Mapping[str, Any]
) -> None:
    after, until = datetime(2026, 1, 1, 0, 3, tzinfo=UTC), datetime(2026, 1, 1, 0, 9, 0, 1, tzinfo=UTC)
    within = {id_: row for id_, row in expected.items() if after < row["created_at"] <= until}
    assert read(double, until, after) == within
    with opened(double) as source:
        assert source.count(until) == sum(row["created_at"] <= until for row in expected.values())
        assert source.count(None) == TURNS


def test_a_span_without_rows_ends_without_rows(double: Double) -> None:
    assert read(double, UNTIL, UNTIL - timedelta(days=1)) == {}


def test_a_bound_with_another_offset_is_the_same_moment(double: Double) -> None:
    until = datetime(2026, 1, 1, 0, 9, tzinfo=UTC)
    assert read(double, until.astimezone(ZoneInfo("Asia/Kolkata"))) == read(double, until)


@pytest.mark.parametrize(("asked", "max_rows"), [(5000, 1000), (1000, 300), (1000, 1), (1000, 5000), (470, 1000)])
def test_a_server_that_cuts_pages_silently_loses_no_row(
    double: Double, expected: Mapping[str, Any], asked: int, max_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_module, "PAGE_ROWS", asked)
    double.reset(max_rows)
    until = UNTIL if max_rows > 1 else datetime(2026, 1, 1, 0, 0, 5, tzinfo=UTC)
    assert read(double, until) == {id_: row for id_, row in expected.items() if row["created_at"] <= until}
    sizes = {int(query["limit"]) for kind, query in double.requests if kind == "page"}
    assert sizes == {asked, min(asked, max_rows)}


def test_rows_come_in_batches_of_some_thousands(double: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_module, "BATCH_ROWS", 2000)
    with opened(double) as source:
        assert [len(batch) for batch in source.batches(None, UNTIL)] == [2000, TURNS - 2000]
    monkeypatch.setattr(source_module, "BATCH_BYTES", 1)
    with opened(double) as source:
        assert [len(batch) for batch in source.batches(None, UNTIL)] == [1000, 1000, TURNS - 2000]


def test_heavy_pages_are_followed_by_smaller_ones(
    double: Double, expected: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_module, "PAGE_BYTES_MAX", 50_000)
    assert read(double) == expected
    assert [int(query["limit"]) for kind, query in double.requests if kind == "page"][:3] == [1000, 500, 250]


PASSING: list[tuple[str, dict[str, Any]]] = [
    ("status", {"status": 429, "body": {"message": "slow down"}, "Retry_After": "7"}),
    ("status", {"status": 500, "body": TIMED_OUT}),
    ("status", {"status": 503, "body": NO_CACHE}),
    ("status", {"status": 504, "body": NO_CACHE | {"code": "PGRST003"}}),
    ("status", {"status": 416, "body": NO_CACHE | {"code": "PGRST103"}}),
    ("status", {"status": 503, "body": b""}),
    ("html_error", {"status": 502}),
    ("html_error", {"status": 520}),
    ("html_error", {"status": 522}),
    ("html_error", {"status": 544}),
    ("html", {}),
    ("nothing", {}),
    ("bare_hollow", {}),
    ("cut", {}),
    ("short", {}),
    ("reset", {}),
    ("stall", {}),
    ("stall", {"sent": 1}),
    ("other_columns", {}),
    ("range", {"content_range": "0-6/*"}),
    ("range", {"content_range": "5-9/x"}),
    ("range", {"content_range": "*/*"}),
]


@pytest.mark.parametrize("at", [0, 2, 3], ids=["first", "middle", "last"])
@pytest.mark.parametrize(("kind", "arguments"), PASSING, ids=lambda value: str(value)[:40])
def test_a_fault_that_passes_costs_no_row(
    double: Double, kind: str, arguments: dict[str, Any], at: int, short: Mapping[str, Any]
) -> None:
    slept: list[float] = []
    double.reset(max_rows=100)
    double.fail(kind, at=at, **arguments)
    assert read(double, SHORT, patience=patience(slept, read_s=0.25 if kind == "stall" else 20)) == short
    assert slept == [7.0 if "Retry_After" in arguments else 1]
    assert double.served["page"] >= 4


SHORT = datetime(2026, 1, 1, 0, 1, 40, tzinfo=UTC)  # 301 rows: three pages of 100, one of 1 and an empty one


@pytest.fixture(scope="module")
def short(expected: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {id_: row for id_, row in expected.items() if row["created_at"] <= SHORT}


@pytest.mark.parametrize(("on", "at"), [("first", 0), ("count", 0), ("count", 1), ("page", 4)])
@pytest.mark.parametrize("kind", ["html_error", "html", "short", "reset", "stall", "nothing"])
def test_faults_of_the_first_row_the_counts_and_the_empty_page_pass_too(
    double: Double, short: Mapping[str, Any], kind: str, on: str, at: int
) -> None:
    double.reset(max_rows=100)
    double.fail(kind, on, at)
    assert read(double, SHORT, patience=patience([], read_s=0.25 if kind == "stall" else 20)) == short


def test_a_count_without_a_total_is_asked_again(double: Double, short: Mapping[str, Any]) -> None:
    double.fail("range", "count", content_range="0-0/*")
    slept: list[float] = []
    assert read(double, SHORT, slept=slept) == short and slept == [1]


def test_a_statement_that_times_out_is_asked_for_half_as_many_rows(double: Double, expected: Mapping[str, Any]) -> None:
    double.fail("status", at=1, times=2, status=500, body=TIMED_OUT)
    slept: list[float] = []
    assert read(double, slept=slept) == expected and slept == [1, 2]
    assert [int(query["limit"]) for kind, query in double.requests if kind == "page"][:5] == [1000, 1000, 500, 250, 250]


def test_a_socket_that_drips_is_stalled_too(double: Double, short: Mapping[str, Any]) -> None:
    double.fail("drip")
    slept: list[float] = []
    assert read(double, SHORT, patience=patience(slept, total_s=0.15)) == short
    assert slept == [1]


def test_waits_grow_by_a_fixed_schedule_and_then_one_error_says_how_far_it_came(double: Double) -> None:
    slept: list[float] = []
    double.fail("html_error", at=2, times=9)
    with pytest.raises(
        DataError, match=r"gave up after 4 tries; .*answered 502 .*2,000 of 2,350 rows had come, up to id .*Run again"
    ) as caught:
        read(double, slept=slept)
    assert slept == [1, 2, 4] and caught.value.__context__ is None


@pytest.mark.parametrize("kind", ["html", "nothing", "cut", "short", "reset", "stall", "bare_hollow"])
def test_a_fault_that_stays_ends_in_one_error(double: Double, kind: str) -> None:
    double.fail(kind, at=1, times=9)
    with pytest.raises(DataError, match="gave up after 2 tries.* 1,000 of 2,350 rows had come") as caught:
        read(double, patience=patience([], waits_s=(1,), read_s=0.25 if kind == "stall" else 20))
    assert caught.value.__context__ is None


def test_a_longer_wait_than_patience_is_told_at_once(double: Double) -> None:
    double.fail("status", status=429, body={}, Retry_After="3600")
    slept: list[float] = []
    with pytest.raises(DataError, match="429.*left alone for 3600 s.*Run again after that"):
        read(double, slept=slept)
    assert slept == []


def test_a_date_in_retry_after_is_waited_for(double: Double, short: Mapping[str, Any]) -> None:
    double.fail("status", status=429, body={}, Retry_After="Thu, 01 Jan 2026 00:00:00 GMT")
    slept: list[float] = []
    assert read(double, SHORT, slept=slept) == short and slept == [1]


HOPELESS: list[tuple[int, Any, str]] = [
    (400, {"code": "42703", "message": "column memory_turns.x does not exist"}, "42703 .*renamed.*Run again"),
    (403, {"code": "42501", "message": "permission denied for table memory_turns"}, "42501 .*Grant it SELECT"),
    (401, {"code": "PGRST303", "message": "JWT expired"}, "PGRST303 .*expired"),
    (
        401,
        {"message": "Invalid API key", "hint": "Double check"},
        'answered 401 "Invalid API key.*the gateway does not',
    ),
    (401, {"message": "Forbidden use of secret API key in browser"}, "gives itself out as a browser"),
    (403, b"<html>blocked</html>", "answered 403 .*the gateway refuses"),
    (402, {"message": "exceed_egress_quota"}, "402 .*limit of its plan"),
    (404, {"message": "no Route matched"}, "404 .*Check SUPABASE_URL"),
    (540, b"<html>paused</html>", "540 .*the project is paused"),
    (301, b"", "301 .*the address moved"),
    (400, {"code": "PGRST100", "message": "failed to parse"}, "PGRST100 .*of no use"),
]


@pytest.mark.parametrize(("status", "body", "said"), HOPELESS, ids=lambda value: str(value)[:30])
def test_what_cannot_pass_is_told_at_once_with_its_meaning(double: Double, status: int, body: Any, said: str) -> None:
    double.fail("status", at=1, times=9, status=status, body=body)
    slept: list[float] = []
    with pytest.raises(DataError, match=f"^rest public.memory_turns: .*{said}.* 1,000 of 2,350 rows") as caught:
        read(double, slept=slept)
    assert slept == [] and caught.value.__context__ is None


def test_an_empty_page_too_early_is_no_end(double: Double) -> None:
    double.fail("hollow", at=1)
    with pytest.raises(DataError, match="1,000 rows came, but the server counts 2,350"):
        read(double)


def test_a_page_that_comes_twice_is_told(double: Double) -> None:
    double.fail("again", at=1)
    with pytest.raises(DataError, match=r"an id came twice in \d,\d{3} rows"):
        read(double)


def test_a_server_that_gives_the_same_page_for_ever_comes_to_an_end(double: Double) -> None:
    for at in range(1, 9):
        double.fail("again", at=at)
    with pytest.raises(DataError, match="an id came twice in 3,000 rows"):
        read(double)


def test_a_row_after_the_bound_that_comes_meanwhile_is_left(
    double: Double, sql: psycopg.Connection[Any], expected: Mapping[str, Any]
) -> None:
    late = "INSERT INTO memory_turns (id, content_text, created_at) VALUES (gen_random_uuid(), 'late', %s)"
    double.before["page", 1] = lambda: sql.execute(late, (UNTIL + timedelta(microseconds=1),))
    try:
        assert read(double) == expected
    finally:
        sql.execute("DELETE FROM memory_turns WHERE content_text = 'late'")


def test_a_row_that_goes_meanwhile_is_told(double: Double, sql: psycopg.Connection[Any]) -> None:
    sql.execute("CREATE TABLE kept AS SELECT * FROM memory_turns ORDER BY id DESC LIMIT 1")
    double.before["page", 1] = lambda: sql.execute("DELETE FROM memory_turns WHERE id IN (SELECT id FROM kept)")
    try:
        with pytest.raises(DataError, match="came or went .*2,350 at the start and 2,349 at the end. Run again"):
            read(double)
    finally:
        sql.execute("INSERT INTO memory_turns SELECT * FROM kept")
        sql.execute("DROP TABLE kept")


def test_a_row_before_the_bound_that_comes_meanwhile_is_told(double: Double, sql: psycopg.Connection[Any]) -> None:
    late = "INSERT INTO memory_turns (id, content_text, created_at) VALUES (gen_random_uuid(), 'late', %s)"
    double.before["page", 3] = lambda: sql.execute(late, (UNTIL,))
    try:
        with pytest.raises(DataError, match="came or went .*2,350 at the start and 2,351 at the end. Run again"):
            read(double)
    finally:
        sql.execute("DELETE FROM memory_turns WHERE content_text = 'late'")


def test_one_row_gone_and_one_come_is_told_though_the_counts_agree(
    double: Double, sql: psycopg.Connection[Any]
) -> None:
    sql.execute("CREATE TABLE kept AS SELECT * FROM memory_turns ORDER BY id DESC LIMIT 1")
    # The row moves from the last page to before the first.
    moved = "UPDATE memory_turns SET id = '00000000-0000-0000-0000-000000000000' WHERE id IN (SELECT id FROM kept)"
    double.before["page", 1] = lambda: sql.execute(moved)
    try:
        with pytest.raises(DataError, match=r"2,349 rows came, but the server counts 2,350.*Rows came and went"):
            read(double)
    finally:
        sql.execute(
            "UPDATE memory_turns t SET id = kept.id FROM kept WHERE t.id = '00000000-0000-0000-0000-000000000000'"
        )
        sql.execute("DROP TABLE kept")
