"""A graph in a file, served by the kernel's REST contract: HTTP in, HTTP out, with the kernel's odd answers.

Served are the routes of facts and of health; slices need a kernel. What differs on purpose: no CORS, so that no page
in a browser reads or deletes facts, no cache, as a query takes microseconds, and equal confidences have an order.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Annotated, Any, Final

import orjson
from fastapi import Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from twin.errors import GraphError
from twin.graph.checks import canonical_triple, problems_of
from twin.graph.embedded import EmbeddedGraph
from twin.graph.values import (
    DEFAULT_CONFIDENCE,
    DEFAULT_HOPS,
    DEFAULT_LIMIT,
    DEFAULT_RESULTS,
    DEFAULT_SOURCE,
    MAX_BATCH,
    MAX_BODY_BYTES,
    Triple,
)
from twin.graph.walk import walk

TIMEOUT_S: Final = 30.0
VERSION: Final = "0.1.0"
JSON_TYPE: Final = re.compile(r"application/(?:json|[\w.+-]+\+json)")
UNSIGNED: Final = re.compile(r"\+?[0-9]{1,20}")
FLOAT: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
Unsigned = Annotated[int, Field(ge=0)]


class _Body(BaseModel):
    model_config = ConfigDict(strict=True)


class TripleBody(_Body):
    """One fact; nothing of it is checked but its types."""

    subject: str
    predicate: str
    object: str
    confidence: float = DEFAULT_CONFIDENCE
    source: str = DEFAULT_SOURCE


class BatchBody(_Body):
    """Facts under a key; a bare array will do too."""

    triples: list[TripleBody]


class DeleteBody(_Body):
    """What to delete; all that is given must fit."""

    id: int | None = None
    subject: str | None = None
    predicate: str | None = None
    object: str | None = None


class TraverseBody(_Body):
    """Where to walk; a direction that is not known is outgoing."""

    start: str
    predicates: list[str] | None = None
    direction: str = "outgoing"
    max_hops: Unsigned = DEFAULT_HOPS
    max_results: Unsigned = DEFAULT_RESULTS
    min_confidence: float | None = None
    return_paths: bool = True


class _TextError(Exception):
    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class _CodedError(Exception):
    def __init__(self, status: int, code: str, error: str, details: str | None = None) -> None:
        super().__init__(error)
        self.status = status
        self.body = {"error": error, "code": code} | ({} if details is None else {"details": details})


def _body(kind: Any) -> Callable[[Request], Awaitable[Any]]:
    """Return what reads a body of JSON as the kernel's framework does, with its texts."""
    adapter = TypeAdapter[Any](kind)

    async def read(request: Request) -> Any:
        if not JSON_TYPE.fullmatch(request.headers.get("content-type", "").partition(";")[0].strip().lower()):
            raise _TextError(415, "Expected request with `Content-Type: application/json`")
        content = bytearray()
        async for chunk in request.stream():
            content += chunk
            if len(content) > MAX_BODY_BYTES:
                raise _TextError(413, "Failed to buffer the request body: length limit exceeded")
        try:
            value = orjson.loads(bytes(content))
        except orjson.JSONDecodeError as error:
            raise _TextError(400, f"Failed to parse the request body as JSON: {error}") from error
        try:
            return adapter.validate_python(value)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            text = f"Failed to deserialize the JSON body into the target type: {place}: {first['msg']}"
            raise _TextError(422, text) from error

    return read


def _parameters(request: Request) -> dict[str, str]:
    given = request.query_params.multi_items()
    twice = [name for name, _ in given if [other for other, _ in given].count(name) > 1]
    if twice:
        raise _bad_query(f"duplicate field `{twice[0]}`")
    return dict(given)


def _bad_query(text: str) -> _TextError:
    return _TextError(400, f"Failed to deserialize query string: {text}")


def _number(given: dict[str, str], name: str, form: re.Pattern[str]) -> float | None:
    text = given.get(name)
    if text is None:
        return None
    if not form.fullmatch(text):
        raise _bad_query(f"{name}: invalid digit found in string")
    return float(text)


class _Timeout:
    """Answers 408 without a body when nothing was answered in time."""

    def __init__(self, app: ASGIApp, limit_s: float) -> None:
        self.app, self.limit_s = app, limit_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = False

        async def sending(message: Message) -> None:
            nonlocal began
            began = True
            await send(message)

        try:
            async with asyncio.timeout(self.limit_s if scope["type"] == "http" else None):
                await self.app(scope, receive, sending)
        except TimeoutError:
            if began:
                raise
            await Response(status_code=408)(scope, receive, send)


def create_app(graph: EmbeddedGraph, timeout_s: float = TIMEOUT_S) -> FastAPI:
    """Return the application that serves `graph`."""
    app = FastAPI(openapi_url=None, redirect_slashes=False)
    app.add_middleware(_Timeout, limit_s=timeout_s)
    app.add_exception_handler(_TextError, _as_text)
    app.add_exception_handler(_CodedError, _as_code)
    app.add_exception_handler(HTTPException, _as_nothing)
    _write_routes(app, graph)
    _read_routes(app, graph)
    _health_routes(app, graph)
    return app


async def _as_text(_: Request, error: Exception) -> Response:
    assert isinstance(error, _TextError)
    return PlainTextResponse(str(error), error.status)


async def _as_code(_: Request, error: Exception) -> Response:
    assert isinstance(error, _CodedError)
    return JSONResponse(error.body, error.status)


async def _as_nothing(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code != 405:
        return Response(status_code=error.status_code)
    routes = [route for route in request.app.routes if getattr(route, "path", None) == request.url.path]
    return Response(status_code=405, headers={"Allow": ",".join(sorted({m for r in routes for m in r.methods}))})


def _tried(what: str, work: Callable[[], Any]) -> Any:
    try:
        return work()
    except GraphError as error:
        raise _CodedError(500, "DB_ERROR", f"{what} failed: {error}") from error


def _write_routes(app: FastAPI, graph: EmbeddedGraph) -> None:
    names, store = graph.names, graph.store

    def stored(bodies: list[TripleBody]) -> list[Triple]:
        return [canonical_triple(Triple(**body.model_dump()), names) for body in bodies]

    @app.post("/api/knowledge")
    def add(body: Annotated[TripleBody, Depends(_body(TripleBody))]) -> Response:
        return JSONResponse(asdict(_tried("Failed to insert triple: insert", lambda: store.upsert(stored([body])))))

    @app.post("/api/knowledge/batch")
    def add_all(body: Annotated[Any, Depends(_body(list[TripleBody] | BatchBody))]) -> Response:
        bodies = body.triples if isinstance(body, BatchBody) else body
        if len(bodies) > MAX_BATCH:
            raise _CodedError(400, "BATCH_TOO_LARGE", f"{len(bodies)} triples where {MAX_BATCH} are the most")
        triples = stored(bodies)
        wrong = [{"index": n, "error": text} for n, one in enumerate(triples) for text in problems_of(one)]
        if wrong:
            details = orjson.dumps(wrong).decode()
            raise _CodedError(400, "VALIDATION_ERROR", f"{len(wrong)} validation errors", details)
        return JSONResponse(asdict(_tried("Batch insert", lambda: store.upsert(triples))))

    @app.delete("/api/knowledge")
    def delete(body: Annotated[DeleteBody, Depends(_body(DeleteBody))]) -> Response:
        if all(value is None for value in body.model_dump().values()):
            raise _CodedError(400, "MISSING_FILTER", "At least one of id, subject, predicate, or object is required")
        subject, target = (None if one is None else names.canonical(one) for one in (body.subject, body.object))
        predicate = None if body.predicate is None else body.predicate.lower()
        return JSONResponse({"deleted": _tried("Delete", lambda: store.delete(body.id, subject, predicate, target))})


def _read_routes(app: FastAPI, graph: EmbeddedGraph) -> None:
    names, store = graph.names, graph.store

    @app.get("/api/knowledge")
    def query(given: Annotated[dict[str, str], Depends(_parameters)]) -> Response:
        subject, target = (names.canonical(given[one]) if one in given else None for one in ("subject", "object"))
        least, limit = _number(given, "min_confidence", FLOAT), _number(given, "limit", UNSIGNED)
        rows = DEFAULT_LIMIT if limit is None else int(limit)
        found = _tried("Query", lambda: store.query(subject, given.get("predicate"), target, least, rows))
        return JSONResponse(asdict(found))

    @app.get("/api/knowledge/stats")
    def stats() -> Response:
        return JSONResponse(asdict(_tried("Query", store.stats)))

    @app.get("/api/knowledge/aliases")
    def aliases(given: Annotated[dict[str, str], Depends(_parameters)]) -> Response:
        if "query" not in given:
            raise _bad_query("missing field `query`")
        return JSONResponse({"aliases": [asdict(one) for one in names.matches(given["query"])]})

    @app.post("/api/knowledge/traverse")
    def traverse(body: Annotated[TraverseBody, Depends(_body(TraverseBody))]) -> Response:
        walked = _tried(
            "Traversal query",
            lambda: walk(
                store.adjacent,
                names.canonical(body.start),
                predicates=body.predicates,
                direction=body.direction,
                max_hops=body.max_hops,
                max_results=body.max_results,
                min_confidence=body.min_confidence,
            ),
        )
        return JSONResponse(asdict(walked))


def _health_routes(app: FastAPI, graph: EmbeddedGraph) -> None:
    @app.get("/health")
    def health() -> Response:
        ready = graph.ready().ready
        return JSONResponse(
            {
                "status": "healthy" if ready else "degraded",
                "version": VERSION,
                "backend": "sqlite",
                "database": {"connected": ready},
            }
        )

    @app.get("/health/live")
    def live() -> Response:
        return JSONResponse({"status": "alive"})

    @app.get("/health/ready")
    def ready() -> Response:
        now = graph.ready()
        details = None if now.ready else "Database connection failed"
        return JSONResponse(asdict(now) | {"details": details}, 200 if now.ready else 503)

    @app.get("/health/startup")
    def startup() -> Response:
        now = graph.ready()
        details = "Service started successfully" if now.ready else "Database not yet available"
        return JSONResponse(asdict(now) | {"details": details}, 200 if now.ready else 503)
