"""Who may come in, and with how much: headers and body of a request → in, or a refusal.

With a token, whoever has it. Without one the server is on the loopback and the danger is a page in this machine's
browser: a name made to point here (DNS rebinding) is told by its Host, a page of another server by its Origin.
"""

import asyncio
import hmac
import ipaddress
from typing import Final

from fastapi import Request
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from twin.errors import ConfigError
from twin.serve.answering import refusal
from twin.serve.refusals import INVALID, RefusedError

TOKEN: Final = "TWIN_SERVE_TOKEN"
LEAST_TOKEN: Final = 16
BODY_BYTES: Final = 1_000_000
DRAINED_BYTES: Final = 8 * BODY_BYTES
"""Read of a body that is too large: a client that is cut off while it writes never sees why."""
BODY_S: Final = 30.0
OPEN: Final = ("/health",)
"""Paths that need no token."""


def require_token(host: str, token: str | None) -> None:
    """Check that a server on `host` lets in only whom it should.

    Raises:
        ConfigError: the host can be reached from elsewhere and there is no token, or the token is a poor one.
    """
    if token is not None and (len(token) < LEAST_TOKEN or not token.isascii() or token != token.strip()):
        raise ConfigError(f"{TOKEN} has less than {LEAST_TOKEN} characters, spaces around it, or letters beyond ASCII.")
    if token is None and not loopback(host):
        raise ConfigError(
            f"--host {host} can be reached by others, and {TOKEN} is not set. Set it to a secret that clients send as "
            "their API key, or stay on 127.0.0.1."
        )


def loopback(host: str) -> bool:
    """Return whether a host is this machine and nothing else."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Door:
    """Lets requests through to the application, or refuses them."""

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        self._app = app
        self._token = None if token is None else token.encode("ascii")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        error = self._refused(scope) if scope["type"] == "http" else None
        await (self._app if error is None else refusal(error))(scope, receive, send)

    def _refused(self, scope: Scope) -> RefusedError | None:
        headers = Headers(scope=scope)
        if self._token is None:
            return _from_elsewhere(headers)
        if scope["path"] in OPEN:
            return None
        scheme, _, given = headers.get("authorization", "").partition(" ")
        known = hmac.compare_digest(given.strip().encode("utf-8"), self._token)
        if scheme.lower() == "bearer" and known:
            return None
        return RefusedError(
            401,
            "The API key is missing or wrong. Send the server's token as `Authorization: Bearer TOKEN`.",
            kind=INVALID,
            code="invalid_api_key",
        )


def _from_elsewhere(headers: Headers) -> RefusedError | None:
    hosts = headers.getlist("host")
    if len(hosts) != 1 or not loopback(_name(hosts[0])):
        return RefusedError(421, "This server has another name; ask 127.0.0.1 or localhost.", code="wrong_host")
    origins = headers.getlist("origin")
    if origins and origins != [f"http://{hosts[0]}"]:
        return RefusedError(403, "Pages of other servers are not answered.", code="wrong_origin")
    return None


def _name(host: str) -> str:
    """Return a Host without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


async def body(request: Request) -> bytes:
    """Read the body of a request.

    Raises:
        RefusedError: it is not said to be JSON, too large, or does not come.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise RefusedError(415, "The body's Content-Type must be application/json.", code="unsupported_media_type")
    try:
        async with asyncio.timeout(BODY_S):
            return await _read(request)
    except TimeoutError:
        raise RefusedError(408, f"The body did not come within {BODY_S:g} s.", code="timeout") from None


async def _read(request: Request) -> bytes:
    content, seen = bytearray(), 0
    async for chunk in request.stream():
        seen += len(chunk)
        if seen <= BODY_BYTES:
            content += chunk
        elif seen > DRAINED_BYTES:
            break
    if seen > BODY_BYTES:
        raise RefusedError(413, f"The body has more than {BODY_BYTES:,} bytes. Send less.", code="request_too_large")
    return bytes(content)
