"""Graphs on loopback, for tests: our own server on a free port, and a socket that answers whatever it is told."""

import asyncio
import socket
import threading
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import uvicorn

from twin.graph import EmbeddedGraph
from twin.graph.client import AsyncGraphClient
from twin.graph.server import create_app


@contextmanager
def served(graph: EmbeddedGraph, timeout_s: float = 30.0) -> Iterator[str]:
    """Serve `graph` in a thread; yield its address."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        config = uvicorn.Config(create_app(graph, timeout_s), ws="none", http="h11", lifespan="off", log_level="error")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([door],), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{door.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


class Waiting:
    """An async client, each of whose methods is waited for."""

    def __init__(self, client: AsyncGraphClient) -> None:
        self._client = client
        self._loop = asyncio.new_event_loop()
        self.names = client.names

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            asked: Coroutine[Any, Any, Any] = getattr(self._client, name)(*args, **options)
            return self._loop.run_until_complete(asked)

        return call

    def close(self) -> None:
        self._loop.run_until_complete(self._client.close())
        self._loop.close()


class Liar:
    """Answers the bytes it is given, one after the other; the last one for ever."""

    def __init__(self, *answers: bytes, drip: bool = False) -> None:
        self.answers, self.drip = answers, drip
        self.requests: list[bytes] = []
        self.closing = threading.Event()

    def _serve(self, door: socket.socket) -> None:
        while not self.closing.is_set():
            try:
                peer, _ = door.accept()
            except OSError:
                return
            with peer, suppress(OSError):
                self._answer(peer)

    def _answer(self, peer: socket.socket) -> None:
        peer.settimeout(5)
        got = peer.recv(65536)
        if not got:
            return
        self.requests.append(got)
        if not self.drip:
            peer.sendall(self.answers[min(len(self.requests), len(self.answers)) - 1])
            return
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        end_s = time.monotonic() + 5
        while time.monotonic() < end_s and not self.closing.wait(0.01):
            peer.sendall(b" ")

    @contextmanager
    def at(self) -> Iterator[str]:
        with socket.create_server(("127.0.0.1", 0)) as door:
            thread = threading.Thread(target=self._serve, args=(door,), daemon=True)
            thread.start()
            try:
                yield f"http://127.0.0.1:{door.getsockname()[1]}"
            finally:
                self.closing.set()
                door.shutdown(socket.SHUT_RDWR)
        thread.join()


def http(body: bytes, status: str = "200 OK", kind: str = "application/json") -> bytes:
    """Return an answer that closes the connection."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body
