"""The server: a desk and who may come → OpenAI's routes over HTTP, until it is told to stop.

Told once (SIGTERM, Ctrl-C) it sends away whoever waits, refuses what is new with 503, finishes the reply that is being
made for at most `DRAIN_S`, and ends with status 0. Told twice it ends at once.
"""

import socket
import time
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from twin.live.routes import ROUTED
from twin.serve.answering import DROP, HEADERS, Answering, refusal
from twin.serve.desk import Desk
from twin.serve.door import Door, body
from twin.serve.refusals import RefusedError, crowded
from twin.serve.request import Limits, asked

DRAIN_S = 30.0
FLUSH_S = 5
"""How long finished replies may still be on their way to clients when the server ends."""
CONNECTIONS = 256
"""Requests on more are answered 503."""


def create_app(desk: Desk, limits: Limits, token: str | None = None) -> FastAPI:
    """Return the application that serves the twin at `desk`."""
    app = FastAPI(openapi_url=None, redirect_slashes=False)
    app.add_middleware(Door, token=token)
    app.add_exception_handler(RefusedError, _refused)
    app.add_exception_handler(HTTPException, _nothing_here)
    started = int(time.time())
    names = tuple(dict.fromkeys((ROUTED, *desk.models)))

    def model(name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": started, "owned_by": "cognitive-twin"}

    @app.get("/health")
    async def health() -> Response:
        state = {"status": "stopping" if desk.stopping else "ok", "taken": desk.taken}
        return JSONResponse(state, 503 if desk.stopping else 200, headers=HEADERS)

    @app.get("/v1/models")
    async def models() -> Response:
        return JSONResponse({"object": "list", "data": [model(name) for name in names]}, headers=HEADERS)

    @app.get("/v1/models/{name:path}")
    async def one_model(name: str) -> Response:
        if name not in names:
            raise RefusedError(404, f"The model {name[:80]!r} is not here.", param="model", code="model_not_found")
        return JSONResponse(model(name), headers=HEADERS)

    @app.post("/v1/chat/completions")
    async def completions(request: Request) -> Response:
        read = asked(await body(request), names, limits)
        return Answering(read, desk.ask(read.messages, read.options))

    return app


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError)
    return refusal(error)


async def _nothing_here(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    text = f"{request.method} {request.url.path[:80]} is nothing here; there are POST /v1/chat/completions, "
    refused = RefusedError(error.status_code, f"{text}GET /v1/models and GET /health.", code="not_found")
    refused.headers = dict(error.headers or {})
    return refusal(refused)


class Server(uvicorn.Server):
    """Serves one desk on one socket."""

    def __init__(self, desk: Desk, app: FastAPI, listening: socket.socket, drain_s: float = DRAIN_S) -> None:
        self._desk = desk
        self._listening = listening
        self._drain_s = drain_s
        self._told_s: float | None = None
        self._app = app
        config = uvicorn.Config(
            self._answer,
            interface="asgi3",
            ws="none",
            lifespan="off",
            access_log=False,
            log_level="warning",
            server_header=False,
            timeout_graceful_shutdown=FLUSH_S,
        )
        super().__init__(config)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        # uvicorn's own limit answers in plain text, and its close waits for a reader that may never read.
        scope[DROP] = send.__self__.transport.abort  # type: ignore[attr-defined]
        app = self._app if len(self.server_state.connections) <= CONNECTIONS else refusal(crowded())
        await app(scope, receive, send)

    def serve_until_told(self) -> None:
        """Serve, then let the twin go."""
        try:
            self.run(sockets=[self._listening])
        finally:
            self._desk.close()

    def tell_to_stop(self) -> None:
        """Ask for the end, from any thread or a signal: nothing but a note is made here."""
        if self._told_s is None:
            self._told_s = time.monotonic()
        else:
            self.force_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take a signal; uvicorn would raise it again at the end, and the status would not be 0."""
        self.tell_to_stop()

    async def on_tick(self, counter: int) -> bool:
        """Look ten times a second whether it is time to end."""
        ended = await super().on_tick(counter)
        if self._told_s is None:
            return ended
        if not self._desk.stopping:
            self._desk.stop()
        elif self.force_exit or time.monotonic() - self._told_s > self._drain_s:
            self._desk.cut()
        return self._desk.taken == 0
