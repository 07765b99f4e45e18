"""A reader who types what the pages show, in their order, in a clone where the shrunk demo has run.

A command ends with the status and the words that `tests/documented.py` expects. One that runs until Ctrl-C is asked
meanwhile; a live table, a Dask scheduler and a hub with small models stand on this machine.
"""

import csv
import gzip
import json
import re
import resource
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.documented import PAGES, Run, Served, fenced
from tests.loopback import hub, scheduler, table
from tests.structure import ROOT
from tests.typed import ENVIRONMENT, typed

CONVERSATIONS = 60
COLUMNS = ("id", "conversation_id", "role", "created_at", "content_text")


def bring_along(clone: Path) -> None:
    """Write the files that the pages bring: exports of a tenth of the demo's conversations."""
    with gzip.open(clone / "data/raw/demo/memory_turns.csv.gz", "rt", encoding="utf-8", newline="") as file:
        every = [{name: row[name] for name in COLUMNS} for row in csv.DictReader(file)]
    chosen = set(list(dict.fromkeys(row["conversation_id"] for row in every))[:CONVERSATIONS])
    rows = [row for row in every if row["conversation_id"] in chosen]
    third = len(rows) // 3
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
    (clone / "claude.json").write_text(json.dumps([_talk()]), encoding="utf-8")
    names = {"user": "mira", "assistant": "sam"}
    said = [row for row in rows if row["role"] in names]
    _csv(clone / "slack.csv", [{**row, "role": "member", "author": names[row["role"]]} for row in said])


def _csv(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
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


def _talk() -> dict[str, object]:
    common = {"created_at": "2026-02-14T10:04:22.123456Z", "attachments": [], "files": []}
    said = [("human", "ship it?"), ("assistant", "Before you ship, consider the tests.")]
    messages = [{"uuid": f"m{place}", "sender": who, "text": text, **common} for place, (who, text) in enumerate(said)]
    return {"uuid": "c1", "name": "A talk", "created_at": common["created_at"], "chat_messages": messages}


def type_all(clone: Path, commands: Mapping[str, Run | Served]) -> None:
    """Execute what the pages show.

    Raises:
        AssertionError: a command ends otherwise than expected.
    """
    bring_along(clone)
    (clone / ".venv").symlink_to(Path(sys.prefix))
    with (
        table(clone / "export.csv") as live,
        scheduler() as dask,
        TemporaryDirectory() as folder,
        hub(Path(folder)) as models,
    ):
        environment = {**ENVIRONMENT, **live, **dask, **models}
        for command, run in commands.items():
            began_s, before_s = time.perf_counter(), _processor_s()
            if isinstance(run, Served):
                serve(command, run, clone, environment)
            elif run.needs and run.needs not in environment:
                print(f"  left out, as {run.needs} is not to be had here: {command}")
                continue
            else:
                _execute(command, run, clone, environment)
            wall_s, took_s = time.perf_counter() - began_s, _processor_s() - before_s
            print(f"{wall_s:5.1f} s, {took_s:5.1f} s of the processor  {command}", flush=True)


def _processor_s() -> float:
    """Return what the commands so far took of the processor."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _execute(command: str, run: Run, clone: Path, environment: Mapping[str, str]) -> None:
    given = f"{command} {run.also}".rstrip()
    for word, here in run.instead:
        given = given.replace(word, here)
    for one in filter(None, (run.first, given)):
        done = typed(one, clone, run.stdin, environment)
        said = done.stdout + done.stderr
        expected = run.status if one == given else 0
        assert done.returncode == expected, f"{one}: status {done.returncode}, expected {expected}\n{said}"
    assert run.says in said, f"{given}: nothing says {run.says!r}\n{said}"


def serve(command: str, run: Served, clone: Path, environment: Mapping[str, str]) -> None:
    """Start what runs until Ctrl-C, ask it, and stop it with Ctrl-C.

    Raises:
        AssertionError: a client gets no reply, or another than expected, or the server does not end well.
    """
    with started(f"exec {command} {run.also}", clone, environment) as address:
        if run.asked:
            with urllib.request.urlopen(address.rstrip("/") + "/" + run.asked.lstrip("/")) as answer:
                told = answer.read().decode()
            assert run.says in told, f"{command}: {run.asked} does not say {run.says!r}\n{told}"
        else:
            clients = [one for page in PAGES for one in fenced((ROOT / page).read_text(encoding="utf-8"), "python")]
            for client in clients:
                _ask(client.replace("http://127.0.0.1:8000/v1", address), clone, environment)


@contextmanager
def started(command: str, clone: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """Run a server until the block ends; yield the address that it says."""
    with subprocess.Popen(
        ["bash", "-c", command], cwd=clone, env={**environment, "PYTHONUNBUFFERED": "1"}, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
    ) as server:  # fmt: skip
        assert server.stdout is not None
        said = []
        try:
            for line in server.stdout:
                said.append(line)
                if found := re.search(r"http://127\.0\.0\.1:\d+\S*", line):
                    yield found[0]
                    break
            else:
                raise AssertionError(f"{command} says no address\n{''.join(said)}")
        finally:
            server.send_signal(signal.SIGINT)
            rest, _ = server.communicate()
    assert server.returncode == 0, f"{command}: status {server.returncode}\n{''.join(said)}{rest}"


def _ask(client: str, clone: Path, environment: Mapping[str, str]) -> None:
    command = [sys.executable, "-c", client]
    done = subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{client}\n{done.stderr}"
    assert re.search(r"^(auto|draft|abstain) because ", done.stdout, flags=re.MULTILINE), done.stdout
