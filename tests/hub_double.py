"""A double of the Hugging Face hub on loopback, for tests: one repository at one commit, as its client asks for it.

Written by hand after what huggingface_hub 2.4 asks and reads: the listing of a commit, the head of a file with its ETag
and commit, the file and ranges of it. The hub itself was not asked: nothing here proves what it does.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tests.listening import listening


@dataclass
class Hub:
    """What the double serves, and what it was asked."""

    repositories: dict[str, tuple[str, Path]]
    """Name → commit and folder."""
    cut: int = 0
    """Files that are still to end after half of their bytes, as on a connection that breaks."""
    closed: bool = False
    """Whether every repository wants a token."""
    asked: list[str] = field(default_factory=list)
    url: str = ""

    def environment(self, home: Path) -> dict[str, str]:
        """Return the variables that lead huggingface_hub here, with a cache of its own."""
        return {"HF_ENDPOINT": self.url, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}


@contextmanager
def serving(repositories: dict[str, tuple[str, Path]]) -> Iterator[Hub]:
    """Serve folders as repositories until the block ends."""
    hub = Hub(repositories)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Asked", (_Handler,), {"hub": hub}))
    with listening(server) as hub.url:
        yield hub


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def do_GET(self) -> None:
        path = self._path()
        listed = re.fullmatch(r"/api/models/(.+)/tree/(\w+)", path)
        if listed and (folder := self._folder(*listed.groups())):
            entries = [_entry(file) for file in sorted(folder.iterdir()) if file.is_file()]
            self._answer(json.dumps(entries).encode(), {"Content-Type": "application/json"})
        elif not listed:
            self._file(path, body=True)

    def do_HEAD(self) -> None:
        self._file(self._path(), body=False)

    def _path(self) -> str:
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append(f"{self.command} {path}")
        return path

    def _folder(self, name: str, commit: str) -> Path | None:
        """Return the folder of a repository at its commit, or refuse."""
        if self.hub.closed:
            self._answer(b"{}", {"X-Error-Code": "GatedRepo", "X-Error-Message": "a token is wanted"}, 401)
        elif name not in self.hub.repositories:
            self._answer(b"{}", {"X-Error-Code": "RepoNotFound", "X-Error-Message": "no such repository"}, 404)
        elif self.hub.repositories[name][0] != commit:
            self._answer(b"{}", {"X-Error-Code": "RevisionNotFound", "X-Error-Message": "no such commit"}, 404)
        else:
            return self.hub.repositories[name][1]
        return None

    def _file(self, path: str, *, body: bool) -> None:
        wanted = re.fullmatch(r"/(.+)/resolve/(\w+)/([^/]+)", path)
        if wanted is None:  # the client looks for more than models
            self._answer(b"{}", {}, 404)
            return
        folder = self._folder(wanted[1], wanted[2])
        if folder is None:
            return
        content = (folder / wanted[3]).read_bytes()
        begin = int(found[1]) if (found := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))) else 0
        named = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": wanted[2]}
        if begin:
            named["Content-Range"] = f"bytes {begin}-{len(content) - 1}/{len(content)}"
        self._answer(content[begin:], named, 206 if begin else 200, body=body)

    def _answer(self, content: bytes, named: dict[str, str], status: int = 200, *, body: bool = True) -> None:
        self.send_response(status)
        for name, value in {**named, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if not body or self.command == "HEAD":
            return
        if self.hub.cut and "ETag" in named and len(content) > 1:
            self.hub.cut -= 1
            content = content[: len(content) // 2]
            self.close_connection = True
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


def _entry(file: Path) -> dict[str, object]:
    oid = hashlib.sha1(file.read_bytes(), usedforsecurity=False).hexdigest()
    return {"type": "file", "path": file.name, "size": file.stat().st_size, "oid": oid}
