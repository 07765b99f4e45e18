"""What the tests of the server share: an answerer that says what it is told to, a real server, OpenAI's own client."""

import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import openai

from tests.structure import ROOT
from twin.live import Action, Answerer, Behind, Options
from twin.serve.desk import Desk
from twin.serve.opening import listening
from twin.serve.request import Limits
from twin.serve.server import Server, create_app

BEHIND = Behind(
    run_id="5ec0", adapter="adapter", tag="[trajectory: cold-start]", facts=("auth uses jwt",), graph="ok",
    confidence=0.75, action=Action.draft, reason="a stop is never sent by itself", finish="stop", prompt_tokens=12,
    cached_tokens=5, reply_tokens=3, first_token_s=0.01, tokens_per_s=100.0,
)  # fmt: skip
LIMITS = Limits(usual=16, most=64)
WAIT_S = 20
USER = [{"role": "user", "content": "The build is green."}]


@dataclass
class Scripted:
    """Says `pieces`; a piece may be an error to raise, or what to do before going on."""

    pieces: Sequence[Any] = ("ship", " it", " now", BEHIND)
    names: Sequence[str] = ("adapter",)
    asked: list[tuple[Sequence[Any], Options]] = field(default_factory=list)
    threads: set[str] = field(default_factory=set)
    cancelled: threading.Event = field(default_factory=threading.Event)
    """Set once a reply was left before its end."""

    def models(self) -> Sequence[str]:
        return self.names

    def answer(self, messages: Sequence[Any], options: Options, cancelled: threading.Event) -> Iterator[str | Behind]:
        self.threads.add(threading.current_thread().name)
        self.asked.append((messages, options))
        for piece in self.pieces:
            if cancelled.is_set():
                self.cancelled.set()
                return
            if isinstance(piece, Exception):
                raise piece
            if callable(piece):
                piece(cancelled)
            else:
                yield piece


class Gate:
    """Holds a reply until it is opened, or nobody wants it any more."""

    def __init__(self) -> None:
        self.reached, self.opened = threading.Semaphore(0), threading.Event()

    def __call__(self, cancelled: threading.Event) -> None:
        self.reached.release()
        while not self.opened.wait(0.005) and not cancelled.is_set():
            pass

    def await_reply(self) -> None:
        """Wait until a reply stands here."""
        assert self.reached.acquire(timeout=WAIT_S)


@dataclass
class Served:
    """A running server."""

    url: str
    server: Server
    desk: Desk
    thread: threading.Thread
    token: str | None

    def client(self, key: str | None = None) -> openai.OpenAI:
        """Return OpenAI's client, which asks once and reads nothing from the environment."""
        return openai.OpenAI(
            base_url=f"{self.url}/v1",
            api_key=key or self.token or "none is needed",
            max_retries=0,
            timeout=WAIT_S,
            http_client=httpx.Client(trust_env=False, timeout=WAIT_S),
        )

    def http(self, **more: Any) -> httpx.Client:
        """Return a plain client."""
        return httpx.Client(base_url=self.url, trust_env=False, timeout=WAIT_S, **more)

    def ended(self) -> bool:
        """Wait for the server's end."""
        self.thread.join(WAIT_S)
        return not self.thread.is_alive()


@contextmanager
def serving(
    load: Callable[[], Answerer],
    waiting: int = 2,
    token: str | None = None,
    drain_s: float = WAIT_S,
    leave: Callable[[], None] = lambda: None,
) -> Iterator[Served]:
    """Run a server on a free port of the loopback, in a thread of its own."""
    desk = Desk(load, waiting, leave)
    socket = listening("127.0.0.1", 0)
    server = Server(desk, create_app(desk, LIMITS, token), socket, drain_s)
    thread = threading.Thread(target=server.serve_until_told)
    thread.start()
    served = Served(f"http://127.0.0.1:{socket.getsockname()[1]}", server, desk, thread, token)
    try:
        yield served
    finally:
        server.tell_to_stop()
        assert served.ended()


def behind(**changed: Any) -> Behind:
    """Return what lies behind a reply, some of it changed."""
    return replace(BEHIND, **changed)


def readme_snippet() -> tuple[str, str]:
    """Return README's call of the server, and what it says was printed."""
    live = (ROOT / "README.md").read_text(encoding="utf-8").split("## Live")[1]
    found = re.search(r"```python\n(.*?)```\n+```\n(.*?)```", live, flags=re.DOTALL)
    assert found is not None, "README's section Live has a call in Python and its output"
    return found[1], found[2]


def run_snippet(snippet: str, url: str) -> None:
    """Run README's call against the server at `url`."""
    place = "http://127.0.0.1:8000/v1"
    assert place in snippet
    scope: dict[str, Any] = {}
    try:
        exec(snippet.replace(place, url), scope)
    finally:
        scope["client"].close()
