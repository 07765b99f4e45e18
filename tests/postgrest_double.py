"""A double of Supabase's REST on loopback, for tests. PostgREST itself was not run: nothing here proves what it does.

What is real: the PostgreSQL below it, its roles and row level security, its json_agg, its collations. What is written
by hand after PostgREST's documentation and source: the query language, the status of an answer, Content-Range, the
error bodies, the silent cut at max-rows; after Supabase's: the keys and the gateway. Faults are put into a queue.
"""

import json
import re
import socket
import struct
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import psycopg
from psycopg import sql

from tests.listening import listening
from tests.postgrest_keys import role_of
from tests.postgrest_query import RefusedError, refused, statement, status_of, window_of

STATUS = {"42P01": 404, "42883": 404, "42501": 403, "57014": 500, "40001": 500}  # the rest: 53*, 08* 503, others 400
HTML = b"<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head><body>cloudflare</body></html>"
TIMED_OUT = {"code": "57014", "message": "canceling statement due to statement timeout", "details": None, "hint": None}
NO_CACHE = {"code": "PGRST002", "message": "Could not query the database for the schema cache. Retrying.",
            "details": None, "hint": None}  # fmt: skip


@dataclass
class Fault:
    """One slip: `kind` is a method of Handler, `slip_…`; it is made at the request `at` (from 0) of those `on`."""

    kind: str
    on: str
    at: int
    left: int
    arguments: dict[str, Any]


@dataclass
class Double:
    """The running double; tests put faults in and read requests out."""

    conninfo: str
    max_rows: int = 1000
    schemas: tuple[str, ...] = ("public",)
    faults: list[Fault] = field(default_factory=list)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    """(kind, query) of each: `first`, `count` or `page`."""
    served: Counter[str] = field(default_factory=Counter)
    before: dict[tuple[str, int], Any] = field(default_factory=dict)
    """(kind, which) → what is called before that request is served: the table changes while it is read."""
    previous: tuple[bytes, str] = (b"[]", "*/*")
    url: str = ""
    closing: threading.Event = field(default_factory=threading.Event)

    def fail(self, kind: str, on: str = "page", at: int = 0, times: int = 1, **arguments: Any) -> None:
        """Let the request `at` of the kind `on` go wrong so many times."""
        self.faults.append(Fault(kind, on, at, times, arguments))

    def due(self, on: str) -> Fault | None:
        for fault in self.faults:
            if fault.left and fault.on == on and fault.at == self.served[on]:
                fault.left -= 1
                return fault
        return None

    def reset(self, max_rows: int = 1000) -> None:
        self.max_rows = max_rows
        for emptied in (self.faults, self.requests, self.served, self.before):
            emptied.clear()


TABLE_SQL = """SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
WHERE nspname = %s AND relname = %s AND relkind IN ('r', 'v', 'm', 'p', 'f')"""
ROLES_SQL = """
DO $$ DECLARE name text; BEGIN
    FOREACH name IN ARRAY ARRAY['anon', 'authenticated', 'service_role'] LOOP
        IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = name) THEN EXECUTE 'CREATE ROLE ' || name; END IF;
    END LOOP;
    ALTER ROLE service_role BYPASSRLS;
END $$;
GRANT USAGE ON SCHEMA public TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO anon, authenticated, service_role;
"""
"""What a project's database has from the start."""


class Server(ThreadingHTTPServer):
    """A thread for each connection."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that has gone away is what half of the faults are about.
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


@contextmanager
def serving(conninfo: str) -> Iterator[Double]:
    """Serve the database at `conninfo`, whose user must be able to become each of the three roles."""
    double = Double(conninfo)
    server = Server(("127.0.0.1", 0), type("Bound", (Handler,), {"double": double}))
    with listening(server) as double.url:
        try:
            yield double
        finally:
            double.closing.set()


class Handler(BaseHTTPRequestHandler):
    """One connection: its requests are served in turn, on one connection to the database."""

    double: Double
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one segment

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.database = psycopg.connect(self.double.conninfo)

    def finish(self) -> None:
        self.database.close()
        super().finish()

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        query = parse_qsl(urlsplit(self.path).query, keep_blank_values=True)
        kind = _kind(query, self.headers.get("Prefer", ""))
        self.double.requests.append((kind, dict(query)))
        if (change := self.double.before.pop((kind, self.double.served[kind]), None)) is not None:
            change()
        fault = self.double.due(kind)
        try:
            if fault is not None and fault.kind in ("status", "html_error"):
                getattr(self, f"slip_{fault.kind}")(**fault.arguments)
            body, content_range, status = self._answer(query)
        except RefusedError as refusal:
            text = refusal.body if isinstance(refusal.body, bytes) else json.dumps(refusal.body).encode()
            kind_of_body = "text/html" if isinstance(refusal.body, bytes) else "application/json; charset=utf-8"
            self.send(refusal.status, text, {"Content-Type": kind_of_body} | refusal.headers)
            return
        if fault is not None:
            getattr(self, f"slip_{fault.kind}")(body, content_range, **fault.arguments)
            return
        self.double.served[kind] += 1
        if kind == "page":
            self.double.previous = (body, content_range)
        self.send(status, body, {"Content-Range": content_range})

    do_HEAD = do_GET

    def send(self, status: int, body: bytes, headers: dict[str, str], length: int | None = None) -> None:
        self.send_response(status)
        sent = {"Content-Type": "application/json; charset=utf-8", "Content-Length": str(length or len(body))} | headers
        for name, value in sent.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()

    def slip_status(self, status: int, body: Any, **headers: str) -> None:
        raise RefusedError(status, body, {name.replace("_", "-"): value for name, value in headers.items()})

    def slip_html_error(self, status: int = 502) -> None:
        raise RefusedError(status, HTML)

    def slip_html(self, _body: bytes, content_range: str) -> None:
        self.send(200, HTML, {"Content-Type": "text/html", "Content-Range": content_range})

    def slip_nothing(self, _body: bytes, _range: str) -> None:
        self.send(200, b"", {"Content-Range": "*/*"})

    def slip_hollow(self, _body: bytes, _range: str) -> None:
        self.send(200, b"[]", {"Content-Range": "*/*"})
        self.double.served["page"] += 1

    def slip_bare_hollow(self, _body: bytes, _range: str) -> None:
        self.send(200, b"[]", {})

    def slip_range(self, body: bytes, _range: str, content_range: str) -> None:
        self.send(200, body, {"Content-Range": content_range})

    def slip_again(self, _body: bytes, _range: str) -> None:
        self.double.served["page"] += 1
        self.send(200, self.double.previous[0], {"Content-Range": self.double.previous[1]})

    def slip_other_columns(self, body: bytes, content_range: str) -> None:
        rows = [dict(list(row.items())[1:]) for row in json.loads(body)]
        self.send(200, json.dumps(rows).encode(), {"Content-Range": content_range})

    def slip_short(self, body: bytes, content_range: str) -> None:
        self.close_connection = True
        self.send(200, body[: len(body) // 2], {"Content-Range": content_range}, length=len(body))

    def slip_cut(self, body: bytes, content_range: str) -> None:
        """Cut, and the length agrees: only the JSON does not end."""
        self.send(200, body[: len(body) // 2], {"Content-Range": content_range})

    def slip_stall(self, body: bytes, content_range: str, sent: int = 0) -> None:
        self.close_connection = True
        if sent:
            self.send(200, body[:sent], {"Content-Range": content_range}, length=len(body))
        self.double.closing.wait(5)

    def slip_drip(self, body: bytes, content_range: str) -> None:
        """Send a byte now and then, each in time."""
        self.close_connection = True
        self.send(200, b"", {"Content-Range": content_range}, length=len(body) + 10_000)
        try:
            while not self.double.closing.wait(0.02):
                self.wfile.write(b" ")
                self.wfile.flush()
        except OSError:
            return

    def slip_reset(self, _body: bytes, _range: str) -> None:
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def _answer(self, query: list[tuple[str, str]]) -> tuple[bytes, str, int]:
        role = role_of(self.headers)
        schema = self.headers.get("Accept-Profile", self.double.schemas[0])
        if schema not in self.double.schemas:
            raise refused(406, "PGRST106", f"Invalid schema: {schema}", hint="Only the following schemas are exposed: "
                          + ", ".join(self.double.schemas))  # fmt: skip
        path = unquote(urlsplit(self.path).path)
        if not path.startswith("/rest/v1/"):
            raise RefusedError(404, {"message": "no Route matched with those values"})
        table = path.removeprefix("/rest/v1/")
        self._refuse_unknown(schema, table)
        offset, limit = window_of(query, self.headers.get("Range"), self.double.max_rows)
        counted = re.search(r"count=(exact|planned|estimated)", self.headers.get("Prefer", "")) is not None
        total, rows, body = self._run(role, statement(query, (schema, table), (offset, limit), counted), role)
        return body, *status_of(offset, rows, total)

    def _refuse_unknown(self, schema: str, table: str) -> None:
        with self.database.transaction():
            found = self.database.execute(TABLE_SQL, (schema, table)).fetchone()
        if found is None:
            raise refused(404, "PGRST205", f"Could not find the table '{schema}.{table}' in the schema cache")

    def _run(self, role: str, query: sql.Composable, asked_as: str) -> tuple[int | None, int, bytes]:
        try:
            with self.database.transaction():
                self.database.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(role)))
                row = self.database.execute(query).fetchone()
        except psycopg.Error as error:
            code = error.sqlstate or "XX000"
            status = 503 if code[:2] in ("53", "08") else STATUS.get(code, 500 if code[:2] == "XX" else 400)
            if code == "42501" and asked_as == "anon":
                status = 401
            hint = error.diag.message_hint
            raise refused(status, code, error.diag.message_primary or "", error.diag.message_detail, hint) from None
        assert row is not None
        return row[0], row[1], row[2].encode()


def _kind(query: list[tuple[str, str]], prefer: str) -> str:
    names = dict(query)
    return "count" if "count=" in prefer else "page" if "order" in names else "first"
