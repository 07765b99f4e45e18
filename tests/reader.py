"""A reader who types what the pages show, in their order, in a clone where the shrunk demo has run.

A command ends with the status and the words that `tests/documented.py` expects. The server runs beside the
clients that ask it.
"""

import csv
import gzip
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

from tests.documented import EXECUTED, PAGES, Run, fenced
from tests.structure import ROOT

ROWS = 40
COLUMNS = ("id", "conversation_id", "role", "created_at", "content_text")


def bring_along(clone: Path) -> None:
    """Write the files that the pages bring: exports of a few of the demo's rows."""
    with gzip.open(clone / "data/raw/demo/memory_turns.csv.gz", "rt", encoding="utf-8", newline="") as file:
        rows = [{name: row[name] for name in COLUMNS} for row in islice(csv.DictReader(file), ROWS)]
    third = ROWS // 3
    _csv(clone / "export.csv", rows)
    for number in (0, 1):
        _csv(clone / "part.csv", rows[number * third : (number + 1) * third])
        (clone / f"turns-{number}.csv.gz").write_bytes(gzip.compress((clone / "part.csv").read_bytes()))
    (clone / "part.csv").unlink()
    (clone / "more.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows[2 * third :]), encoding="utf-8")
    told = "".join("\t".join(_escaped(row[name]) for name in COLUMNS) + "\n" for row in rows)
    head = f"COPY public.memory_turns ({', '.join(COLUMNS)}) FROM stdin;\n"
    (clone / "dump.sql").write_text(f"{head}{told}\\.\n", encoding="utf-8")
    (clone / "conversations.json").write_text(json.dumps([_conversation()]), encoding="utf-8")


def _csv(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")


def _conversation() -> dict[str, object]:
    said = [("system", ""), ("user", "ship it?"), ("assistant", "Before you ship, consider the tests.")]
    nodes = {
        str(place): {
            "id": str(place),
            "message": {
                "author": {"role": role, "name": None},
                "create_time": 1.7e9 + place,
                "content": {"content_type": "text", "parts": [text]},
                "metadata": {},
            },
            "parent": str(place - 1) if place else None,
            "children": [str(place + 1)] if place + 1 < len(said) else [],
        }
        for place, (role, text) in enumerate(said)
    }
    return {"title": "A talk", "create_time": 1.7e9, "mapping": nodes, "current_node": "2", "id": "c1"}


def type_all(clone: Path, environment: Mapping[str, str]) -> None:
    """Execute what the pages show.

    Raises:
        AssertionError: a command ends otherwise than expected.
    """
    bring_along(clone)
    for command, run in EXECUTED.items():
        _execute(command, run, clone, environment)
    serve(clone, environment)


def _execute(command: str, run: Run, clone: Path, environment: Mapping[str, str]) -> None:
    typed = command
    for word, here in run.instead:
        typed = typed.replace(word, here)
    started_s = time.perf_counter()
    done = subprocess.run(
        ["bash", "-c", typed], cwd=clone, env=environment, input=run.stdin, capture_output=True, text=True, check=False
    )
    took_s = time.perf_counter() - started_s
    said = done.stdout + done.stderr
    assert done.returncode == run.status, f"{typed}: status {done.returncode}, expected {run.status}\n{said}"
    assert run.says in said, f"{typed}: nothing says {run.says!r}\n{said}"
    print(f"{took_s:5.1f} s  {typed}", flush=True)


def serve(clone: Path, environment: Mapping[str, str]) -> None:
    """Start `twin serve`, ask it what the pages ask, with the client that they show, and stop it with Ctrl-C.

    Raises:
        AssertionError: a client gets no reply, or the server does not end well.
    """
    clients = [one for page in PAGES for one in fenced((ROOT / page).read_text(encoding="utf-8"), "python")]
    command = ["twin", "serve", "--graph", "data/graph/demo.csv", "--port", "0"]
    with subprocess.Popen(command, cwd=clone, env=environment, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            address = next(line.split()[1] for line in server.stdout if line.startswith("address"))
            for client in clients:
                _ask(client.replace("http://127.0.0.1:8000/v1", address), clone, environment)
        finally:
            server.send_signal(signal.SIGINT)
            server.communicate()
    assert server.returncode == 0, server.returncode
    print(f"        twin serve, asked as {len(clients)} pages ask it", flush=True)


def _ask(client: str, clone: Path, environment: Mapping[str, str]) -> None:
    command = [sys.executable, "-c", client]
    done = subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{client}\n{done.stderr}"
    assert re.search(r"^(auto|draft|abstain) because ", done.stdout, flags=re.MULTILINE), done.stdout
