"""One request → its JSON, or one GraphError: every wait has an end, and only what reads is sent a second time."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit

import orjson

from twin.errors import ConfigError, GraphError
from twin.graph.answers import AnswerError
from twin.scrub import shown

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")
MAX_ANSWER_BYTES: Final = 2**25
AGAIN: Final = (408, 429, 500, 502, 503, 504)
"""Statuses after which a read is sent once more."""
LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Patience:
    """How long to wait, in seconds."""

    connect_s: float = 2
    read_s: float = 5
    """Without one byte."""
    total_s: float = 10
    """For one whole try: a host that is looked up for ever, or an answer that drips, is stalled too."""


class _FaultError(Exception):
    """What went wrong, as a clause, and whether a read may be sent again."""

    def __init__(self, text: str, again: bool = True, move: str = "See that the graph runs, and try again.") -> None:
        super().__init__(text)
        self.again, self.move = again, move


class Connection:
    """A pool of connections to one graph kernel."""

    def __init__(self, url: str, patience: Patience) -> None:
        """Nothing is sent yet.

        Raises:
            ConfigError: `url` is no address, or the extra `graph` is not installed.
        """
        try:
            import httpx
        except ModuleNotFoundError:
            raise ConfigError("a graph behind HTTP needs a package: pip install 'cognitive-twin[graph]'.") from None
        self.url = checked_url(url)
        self._patience = patience
        self._http = httpx.AsyncClient(
            base_url=self.url,
            timeout=httpx.Timeout(patience.read_s, connect=patience.connect_s),
            trust_env=urlsplit(self.url).hostname not in LOOPBACK,
            follow_redirects=False,
        )

    async def ask(
        self,
        method: str,
        path: str,
        understand: Callable[[Any], T],
        *,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        reads: bool = True,
        fine: tuple[int, ...] = (200,),
    ) -> T:
        """Send a request and understand its JSON; what only reads is sent once more when that may help.

        Raises:
            GraphError: no answer in time, an answer of another kind, or one that `understand` refuses.
        """
        tries = 2 if reads else 1
        while True:
            tries -= 1
            try:
                return understand(await self._json(method, path, params, body, fine))
            except (_FaultError, AnswerError) as error:
                if tries and getattr(error, "again", True):
                    continue
                move = getattr(error, "move", "See what answers at this address.")
                raise GraphError(f"{self.url}: {method} {path}: {error}. {move}") from None

    async def _json(
        self, method: str, path: str, params: Mapping[str, str] | None, body: bytes | None, fine: tuple[int, ...]
    ) -> Any:
        import httpx

        headers = {} if body is None else {"Content-Type": "application/json"}
        request = self._http.build_request(method, path, params=params, content=body, headers=headers)
        try:
            async with asyncio.timeout(self._patience.total_s):
                response = await self._http.send(request, stream=True)
                try:
                    content = await _content(response)
                finally:
                    await response.aclose()
        except (httpx.TimeoutException, TimeoutError) as error:
            connecting = isinstance(error, httpx.ConnectTimeout)
            raise _FaultError("no connection in time" if connecting else "no whole answer in time") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _FaultError(f"the connection failed ({type(error).__name__}: {shown(error)})") from None
        return _understood(response, content, fine)

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()


async def _content(response: "httpx.Response") -> bytes:
    content = bytearray()
    async for chunk in response.aiter_bytes():
        content += chunk
        if len(content) > MAX_ANSWER_BYTES:
            raise _FaultError(f"the answer is longer than {MAX_ANSWER_BYTES:,} bytes", again=False)
    return bytes(content)


def _understood(response: "httpx.Response", content: bytes, fine: tuple[int, ...]) -> Any:
    status, kind = response.status_code, response.headers.get("content-type", "").partition(";")[0] or "no type"
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError:
        text = shown(content.decode("utf-8", "replace").strip()) if content else "nothing"
        if status in fine:
            raise _FaultError(f"answered {status} with {kind}, which is no JSON: {text}", move=_WHO) from None
        raise _FaultError(f"answered {status} {text}", status in AGAIN, _move(status)) from None
    if status in fine:
        return value
    said = value if isinstance(value, dict) else {}
    code = f" {shown(said['code'])}" if isinstance(said.get("code"), str) else ""
    texts = [shown(said[name]) for name in ("error", "details") if isinstance(said.get(name), str)]
    raise _FaultError(f"answered {status}{code} {' '.join(texts)}".rstrip(), status in AGAIN, _move(status))


_WHO: Final = "See that GRAPH_KERNEL_URL is the address of a graph kernel."


def _move(status: int) -> str:
    if 300 <= status < 400 or status in (404, 405):
        return _WHO
    return "See the graph's log, and try again." if status in AGAIN else "See the graph's log."


def checked_url(url: str) -> str:
    """Return the address without a slash at its end.

    Raises:
        ConfigError: it is no address of HTTP, or it holds a password or a query.
    """
    try:
        parts = urlsplit(url.strip())
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not host or parts.username is not None or parts.query or parts.fragment:
        raise ConfigError(
            "the graph's address (GRAPH_KERNEL_URL) must be like http://127.0.0.1:8001, no user, password or query."
        )
    return url.strip().rstrip("/")
