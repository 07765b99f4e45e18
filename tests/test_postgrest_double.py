"""The double of Supabase's REST answers as PostgREST's documents and specs say, to the official client and by hand.

It proves the double, not PostgREST, which was not run.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from postgrest import CountMethod, SyncPostgrestClient
from postgrest.exceptions import APIError

from tests.postgrest_double import ROLES_SQL, Double, serving
from tests.postgrest_keys import PUBLISHABLE_KEY, SECRET_KEY, jwt

if TYPE_CHECKING:
    from tests.postgres import Server

Client = Callable[..., SyncPostgrestClient]
TABLE = """
CREATE TABLE items (id bigint PRIMARY KEY, name text, at timestamptz, extra jsonb);
INSERT INTO items SELECT i, 'item ' || i, timestamptz '2026-01-01 00:00:00+00' + i * interval '1 minute', '{"k": "v"}'
FROM generate_series(1, 15) i;
UPDATE items SET name = NULL WHERE id = 3;
UPDATE items SET name = 'a,b (c) "d" \\e' WHERE id = 4;
CREATE TABLE shut (id bigint PRIMARY KEY);
INSERT INTO shut VALUES (1);
ALTER TABLE shut ENABLE ROW LEVEL SECURITY;
CREATE TABLE ungranted (id bigint PRIMARY KEY);
REVOKE ALL ON ungranted FROM anon, authenticated, service_role;
"""


@pytest.fixture(scope="module")
def items(postgres: "Server") -> Iterator[Double]:
    postgres.run("CREATE DATABASE rest_items")
    postgres.run(ROLES_SQL + TABLE, db="rest_items")
    with serving(postgres.url(db="rest_items")) as double:
        yield double


@pytest.fixture
def client(items: Double) -> Iterator[Client]:
    """Make official clients, by key."""
    with ExitStack() as made:

        def make(key: str = SECRET_KEY) -> SyncPostgrestClient:
            headers = {"apikey": key, "Authorization": f"Bearer {key}"}
            return made.enter_context(SyncPostgrestClient(f"{items.url}/rest/v1", headers=headers, retry_enabled=False))

        yield make


def ids(request: Any) -> list[int]:
    return [row["id"] for row in request.execute().data]


def got(double: Double, query: str, table: str = "items", **headers: str) -> httpx.Response:
    sent = {"apikey": SECRET_KEY} | {name.replace("_", "-"): value for name, value in headers.items()}
    with httpx.Client(trust_env=False) as http:
        return http.get(f"{double.url}/rest/v1/{table}?{query}", headers=sent)


@pytest.mark.parametrize(
    ("query", "headers", "status", "found"),
    [
        ("", {}, 200, ("0-14/*", 15)),
        ("", {"Prefer": "count=exact"}, 200, ("0-14/15", 15)),
        ("limit=5", {}, 200, ("0-4/*", 5)),
        ("limit=5", {"Prefer": "count=exact"}, 206, ("0-4/15", 5)),
        ("offset=10&limit=91", {}, 200, ("10-14/*", 5)),
        ("", {"Range": "10-100"}, 200, ("10-14/*", 5)),
        ("", {"Range": "10-"}, 200, ("10-14/*", 5)),
        ("limit=3&offset=2", {"Range": "0-3"}, 200, ("2-3/*", 2)),
        ("offset=100", {}, 200, ("*/*", 0)),
        ("offset=100", {"Prefer": "count=exact"}, 416, ("*/15", None)),
        ("offset=15", {"Prefer": "count=exact"}, 206, ("*/15", 0)),
        ("offset=-5&limit=2", {}, 200, ("0-1/*", 2)),
        ("limit=0", {}, 200, ("*/*", 0)),
        ("limit=-1", {}, 416, ("*/*", None)),
        ("", {"Range": "5-2"}, 416, ("*/*", None)),
        ("id=gt.15", {"Prefer": "count=exact"}, 200, ("*/0", 0)),
        ("limit=5000", {"Prefer": "count=exact"}, 200, ("0-14/15", 15)),
    ],
)
def test_status_and_content_range_are_those_of_the_range_spec(
    items: Double, query: str, headers: dict[str, str], status: int, found: tuple[str, int | None]
) -> None:
    answer = got(items, query, **headers)
    assert (answer.status_code, answer.headers["content-range"]) == (status, found[0])
    if found[1] is None:
        assert answer.json()["code"] == "PGRST103"
    else:
        assert len(answer.json()) == found[1]


def test_max_rows_cuts_without_a_word_and_the_count_tells_the_truth(items: Double) -> None:
    items.reset(max_rows=4)
    plain, counted = got(items, "limit=5000"), got(items, "limit=5000", Prefer="count=exact")
    items.reset()
    assert (plain.status_code, plain.headers["content-range"]) == (200, "0-3/*")
    assert (counted.status_code, counted.headers["content-range"]) == (206, "0-3/15")


def test_filters_of_the_official_client_find_what_sql_finds(client: Client) -> None:
    def select() -> Any:
        return client().from_("items").select("id").order("id")

    assert ids(select().gt("id", 13)) == [14, 15]
    assert ids(select().gte("id", 3).lt("id", 5)) == [3, 4]
    assert ids(select().lte("at", "2026-01-01T00:02:00+00:00")) == [1, 2]
    assert ids(select().neq("id", 1).limit(2)) == [2, 3]
    assert ids(select().is_("name", None)) == [3]
    assert ids(select().not_.is_("name", None).limit(3)) == [1, 2, 4]
    assert ids(select().in_("id", [2, 9])) == [2, 9]
    assert ids(select().in_("name", ['a,b (c) "d" \\e', "item 9"])) == [4, 9]
    assert ids(select().eq("name", 'a,b (c) "d" \\e')) == [4]
    assert ids(select().like("name", "item 1_")) == [10, 11, 12, 13, 14, 15]
    assert ids(select().or_("id.lt.2,and(id.gte.7,id.not.gt.8)")) == [1, 7, 8]
    assert ids(select().or_('name.eq."a,b (c) \\"d\\" \\\\e",id.in.(1,2)')) == [1, 2, 4]
    assert ids(client().from_("items").select("id").order("name", desc=True, nullsfirst=True).limit(1)) == [3]
    assert ids(client().from_("items").select("id").order("id").range(5, 6)) == [6, 7]


def test_columns_can_be_renamed_cast_and_taken_from_json(client: Client) -> None:
    made = client().from_("items").select("x:id", "t:id::text", "extra->>k", "at").eq("id", 1).execute()
    assert made.data == [{"x": 1, "t": "1", "k": "v", "at": "2026-01-01T00:01:00+00:00"}]


def test_the_count_of_the_client_is_the_whole_number(client: Client) -> None:
    made = client().from_("items").select("id", count=CountMethod.exact).limit(2).execute()
    assert (len(made.data), made.count) == (2, 15)


@pytest.mark.parametrize(
    ("path", "headers", "status", "code"),
    [
        ("nowhere?", {}, 404, "PGRST205"),
        ("items?", {"Accept-Profile": "private"}, 406, "PGRST106"),
        ("items?select=nothing", {}, 400, "42703"),
        ("items?id=gt.x", {}, 400, "22P02"),
        ("items?id=what.1", {}, 400, "PGRST100"),
        ("ungranted?extra=gt.1&order=id", {}, 400, "42703"),
        ("ungranted?", {}, 403, "42501"),
        ("ungranted?", {"apikey": PUBLISHABLE_KEY}, 401, "42501"),
        ("items?", {"apikey": jwt("service_role", b"another")}, 401, "PGRST301"),
        ("items?", {"apikey": jwt("service_role", exp=1)}, 401, "PGRST303"),
        ("items?", {"apikey": ""}, 401, None),
        ("items?", {"apikey": "sb_secret_another1"}, 401, None),
        ("items?", {"Authorization": "Bearer sb_secret_another1"}, 401, None),
        ("items?", {"User-Agent": "Mozilla/5.0"}, 401, None),
    ],
)
def test_errors_have_the_status_and_code_that_postgrest_and_the_gateway_give(
    items: Double, path: str, headers: dict[str, str], status: int, code: str | None
) -> None:
    answer = got(items, path.partition("?")[2], path.partition("?")[0], **headers)
    assert (answer.status_code, answer.json().get("code")) == (status, code)


def test_row_level_security_is_the_databases_own(client: Client) -> None:
    for key in (PUBLISHABLE_KEY, jwt("anon"), jwt("authenticated")):
        hidden = client(key).from_("shut").select("id", count=CountMethod.exact).execute()
        assert (hidden.data, hidden.count) == ([], 0)
    for key in (SECRET_KEY, jwt("service_role")):
        assert ids(client(key).from_("shut").select("id")) == [1]


def test_the_client_passes_a_page_of_html_off_as_data(items: Double, client: Client) -> None:
    items.reset()
    items.fail("html")
    assert isinstance(client().from_("items").select("id").order("id").execute().data, str)
    items.fail("html_error")
    with pytest.raises(APIError, match="502"):
        client().from_("items").select("id").order("id").execute()
