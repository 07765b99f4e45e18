"""The page over HTTP on the loopback: a sitting → GET the page and its state, POST answers.

The address holds a random token. A request whose Host is not this server is refused, as a name that was made to point
here (DNS rebinding) would be; a POST has to come from the page itself (Origin). The page may load nothing.
"""

import hmac
import json
import secrets
import socketserver
import sys
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from twin.errors import TwinError
from twin.rate.page import PAGE, POLICY
from twin.rate.sitting import RefusedError, Sitting, StaleError

HOST: Final = "127.0.0.1"
BODY_BYTES: Final = 2048
HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Server(ThreadingHTTPServer):
    """Serves one sitting at a random path."""

    daemon_threads = True

    def __init__(self, sitting: Sitting, port: int = 0, tell: Callable[[Sitting], None] = lambda _: None) -> None:
        self.sitting, self.tell = sitting, tell
        self.token = secrets.token_urlsafe(24)
        super().__init__((HOST, port), _Handler)

    def server_bind(self) -> None:
        """Bind without looking up this machine's name, which asks the network."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a tab that was closed while it was answered."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{HOST}:{self.server_port}/{self.token}/"


class _Handler(BaseHTTPRequestHandler):
    server: Server
    server_version = "twin"
    sys_version = ""
    timeout = 10.0
    """Seconds after which a connection that says nothing is closed."""

    def do_GET(self) -> None:
        name = self._name()
        if name == "":
            self._send(HTTPStatus.OK, "text/html; charset=utf-8", PAGE.encode("utf-8"))
        elif name == "state":
            self._json(HTTPStatus.OK, self.server.sitting.view())
        elif name is not None:
            self._refuse(HTTPStatus.NOT_FOUND, "nothing is here")

    def do_POST(self) -> None:
        name = self._name()
        if name is None:
            return
        if self.headers.get_all("Origin") != [f"http://{self.headers['Host']}"]:
            self._refuse(HTTPStatus.FORBIDDEN, "answers are taken from the page itself")
            return
        asked = self._body()
        if asked is None:
            return
        sitting = self.server.sitting
        acts: dict[str, Callable[[], None]] = {
            "answer": lambda: sitting.answer(*map(asked.get, ("step", "item", "answer", "seconds"))),
            "undo": lambda: sitting.undo(asked.get("step")),
            "end": lambda: sitting.end(asked.get("step")),
        }
        if name in acts:
            self._act(acts[name])
        else:
            self._refuse(HTTPStatus.NOT_FOUND, "nothing is here")

    def _act(self, act: Callable[[], None]) -> None:
        sitting = self.server.sitting
        before = sitting.ended
        try:
            act()
        except StaleError:
            self._json(HTTPStatus.CONFLICT, sitting.view())
        except RefusedError as error:
            self._refuse(HTTPStatus.BAD_REQUEST, str(error))
        except TwinError as error:
            self._refuse(HTTPStatus.INSUFFICIENT_STORAGE, str(error))
        else:
            self._json(HTTPStatus.OK, sitting.view())
            if sitting.ended is not before:
                self.server.tell(sitting)

    def _name(self) -> str | None:
        """Return what is asked for behind the token; None if it was refused."""
        port = self.server.server_port
        if self.headers.get_all("Host") not in ([f"{HOST}:{port}"], [f"localhost:{port}"]):
            self._refuse(HTTPStatus.MISDIRECTED_REQUEST, "this server has another name")
            return None
        token, slash, name = self.path.removeprefix("/").partition("/")
        if not slash or not hmac.compare_digest(token.encode(), self.server.token.encode()):
            self._refuse(HTTPStatus.NOT_FOUND, "nothing is here")
            return None
        return name

    def _body(self) -> dict[str, Any] | None:
        declared = self.headers.get("Content-Length", "")
        if self.headers.get_content_type() != "application/json" or "Transfer-Encoding" in self.headers:
            self._refuse(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "JSON of a declared length is expected")
            return None
        if not (declared.isascii() and declared.isdigit()) or len(declared) > 9 or int(declared) > BODY_BYTES:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"at most {BODY_BYTES} bytes are taken")
            return None
        try:
            body = json.loads(self.rfile.read(int(declared)))
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict):
            self._refuse(HTTPStatus.BAD_REQUEST, "a JSON object is expected")
            return None
        return body

    def _json(self, status: HTTPStatus, value: object) -> None:
        self._send(status, "application/json", json.dumps(value, allow_nan=False).encode("utf-8"))

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        self._json(status, {"error": why})

    def _send(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        for name, value in {**HEADERS, "Content-Type": kind, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Keep requests, and with them the token, off the terminal."""
