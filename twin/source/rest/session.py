"""One request → its rows, checked; sent again by a fixed schedule when the fault is one that passes.

The official client builds and reads requests; its own retries are off, as they know neither 429, 500, 502 nor timeouts.
"""

import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from twin.errors import ConfigError, DataError
from twin.source.rest.access import Access
from twin.source.rest.faults import Fault, of_answer

if TYPE_CHECKING:
    import httpx
    from postgrest import SyncPostgrestClient

RANGE_FORM: Final = re.compile(r"(?:(\d+)-(\d+)|\*)/(?:(\d+)|\*)")


@dataclass(frozen=True)
class Patience:
    """How long to wait, and how often; in seconds."""

    connect_s: float = 10
    read_s: float = 30
    """Without one byte."""
    total_s: float = 120
    """For one whole answer: a socket that drips is stalled too."""
    waits_s: tuple[float, ...] = (1, 2, 4, 8, 16, 30)
    """Before the second try, the third …: no jitter, as there is one client."""
    asked_wait_max_s: float = 120
    """The longest Retry-After that is waited for."""
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True)
class Answer:
    """The rows of one request."""

    rows: list[dict[str, Any]]
    total: int | None
    """How many rows the filters match, when asked."""
    size_bytes: int


@dataclass(frozen=True)
class Ask:
    """One request, to be built anew for each try."""

    build: Callable[["SyncPostgrestClient", int], Any]
    """(client, rows) → the client's builder, ready to execute."""
    rows: int
    """How many at the most."""
    columns: tuple[str, ...] | None
    """What each row must have; None for whatever the table has."""
    counted: bool = False
    """Whether the answer must have a total."""


class Session:
    """A connection to the Data API of one project."""

    def __init__(self, access: Access, client: "SyncPostgrestClient", patience: Patience, place: str) -> None:
        """`place` begins every message."""
        self._access = access
        self._client = client
        self._patience = patience
        self._place = place
        self._last: httpx.Response | None = None
        self._reached = False
        self._sent_s = 0.0

    def __repr__(self) -> str:
        return f"Session({self._place})"

    def keep(self, response: "httpx.Response") -> None:
        """Remember the answer, whose status and headers the client does not pass on; its body is still to come."""
        from twin.source.rest.deadline import Deadline

        self._last = response
        response.stream = Deadline(response.stream, self._sent_s + self._patience.total_s)  # type: ignore[arg-type]

    def get(self, ask: Ask, so_far: str) -> tuple[Answer, int]:
        """Return the answer and the number of rows asked for at last, which is less when a page was too heavy.

        Raises:
            DataError: the fault is one that does not pass, or lasted longer than patience; `so_far` is in the message.
        """
        rows, waits_s = ask.rows, iter(self._patience.waits_s)
        while True:
            outcome = self._try(ask, rows)
            if isinstance(outcome, Answer):
                return outcome, rows
            wait_s = self._wait_s(outcome, next(waits_s, None), so_far)
            self._patience.sleep(wait_s)
            rows = max(1, rows // 2) if outcome.smaller else rows

    def _wait_s(self, fault: Fault, scheduled_s: float | None, so_far: str) -> float:
        """Return how long to wait before the next try; raise when there is none."""
        asked_s = fault.wait_s or 0.0
        if fault.move is not None:
            raise DataError(f"{self._place}: {fault.text}: {fault.move}. {so_far}")
        if asked_s > self._patience.asked_wait_max_s:
            raise DataError(
                f"{self._place}: {fault.text} and asks to be left alone for {asked_s:.0f} s. {so_far} "
                "Run again after that."
            )
        if scheduled_s is None:
            raise DataError(
                f"{self._place}: gave up after {len(self._patience.waits_s) + 1} tries; at the last one "
                f"{fault.text}. {so_far} Run again later; the project's API logs and status.supabase.com say more."
            )
        return max(scheduled_s, asked_s)

    def _try(self, ask: Ask, rows: int) -> Answer | Fault:
        """Send one request; no exception of a library leaves here, as they hold the request and so the key."""
        import httpx
        from postgrest.exceptions import APIError

        self._last, self._sent_s = None, time.monotonic()
        try:
            made = ask.build(self._client, rows).execute()
        except (httpx.UnsupportedProtocol, httpx.LocalProtocolError, httpx.InvalidURL):
            return Fault("the request could not be made", "check SUPABASE_URL and --table")
        except httpx.RequestError as error:
            return self._broken(error)
        except APIError as error:
            return self._refused(error)
        except (ValueError, RecursionError):
            return Fault("the server answered 200 with a Content-Range or a body that cannot be read")
        self._reached = True
        return self._checked(made.data, ask, rows)

    def _broken(self, error: Exception) -> Fault:
        import httpx

        if isinstance(error, httpx.TimeoutException):
            connecting = isinstance(error, httpx.ConnectTimeout)
            return Fault(
                "there was no connection in time" if connecting else "the answer stalled", smaller=not connecting
            )
        chain = list(_chain(error))
        if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in chain):
            return Fault(
                "the server's certificate is not trusted", "check SUPABASE_URL, or set SSL_CERT_FILE to its CA"
            )
        unknown = any(isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_NONAME for cause in chain)
        if unknown and not self._reached:
            return Fault("no such host", "check SUPABASE_URL; a paused project has no address")
        return Fault(f"the connection broke ({type(error).__name__})")

    def _refused(self, error: Any) -> Fault:
        said = " ".join(str(part) for part in (error.message, error.hint) if part)
        quoted = self._access.quoted(said) if said else ""
        if self._last is None:
            return Fault(f"the server answered {quoted}")
        code = error.code if error.code is None or re.fullmatch(r"[A-Z0-9]{1,10}", error.code) else None
        return of_answer(self._last.status_code, self._last.headers, code, quoted)

    def _checked(self, data: Any, ask: Ask, rows: int) -> Answer | Fault:
        """Trust an answer only if body, header and request agree: an empty one would read as the end of the table."""
        response = self._last
        assert response is not None
        if response.status_code not in (200, 206) or not response.content or not isinstance(data, list):
            return Fault(f"the server answered {response.status_code} with something that is no JSON array")
        if not all(isinstance(row, dict) for row in data):
            return Fault("the server answered 200 with something that is no row")
        if len(data) > rows or (ask.columns and any(row.keys() != set(ask.columns) for row in data)):
            return Fault("the server answered with other rows or columns than those asked for")
        found = RANGE_FORM.fullmatch(response.headers.get("content-range", ""))
        if found is None or _range_rows(found) != len(data) or (ask.counted and found[3] is None):
            said = self._access.quoted(response.headers.get("content-range", "none"))
            return Fault(f"the server answered {len(data)} rows with the Content-Range {said}")
        return Answer(data, int(found[3]) if found[3] is not None else None, len(response.content))


def _range_rows(found: re.Match[str]) -> int:
    """Return the number of rows that a Content-Range speaks of; -1 when they do not begin with the first."""
    if found[1] is None:
        return 0
    return int(found[2]) + 1 if found[1] == "0" else -1


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


@contextmanager
def opened(access: Access, schema: str, patience: Patience, place: str) -> Iterator[Session]:
    """Open a session; nothing is sent.

    Raises:
        ConfigError: the extra `rest` is not installed.
    """
    try:
        import httpx
        from postgrest import SyncPostgrestClient
    except ModuleNotFoundError:
        raise ConfigError("reading Supabase's REST needs two packages: pip install 'cognitive-twin[rest]'.") from None
    timeout = httpx.Timeout(patience.read_s, connect=patience.connect_s)
    with httpx.Client(timeout=timeout, trust_env=not access.loopback, follow_redirects=False) as http:
        client = SyncPostgrestClient(
            access.url, schema=schema, headers=access.headers, http_client=http, retry_enabled=False
        )
        session = Session(access, client, patience, place)
        http.event_hooks = {"response": [session.keep]}
        yield session
