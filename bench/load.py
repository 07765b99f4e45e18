"""200 requests from 8 clients to `twin serve` on the demo's twin, some slow to read, some leaving: what became of each.

None may be lost: each ends with its whole reply, is told 429, or left by itself. Memory is the server's own before and
after; the second half of the requests should add nothing to the first.

python -m bench.load [--requests 200] [--clients 8]      needs models/adapter: dvc repro align
"""

import argparse
import datetime
import json
import random
import statistics
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx

from bench.live_models import ours, running
from bench.machine import describe
from bench.serve import ADAPTER, conversation
from twin.files import write_json

RESULTS = Path("bench/results/load.json")
KINDS = {"whole": 0.4, "stream": 0.3, "slow": 0.15, "leaves": 0.15}
WAITING = 6  # fewer places than clients, so that some are told to come back
LIMIT_S = 120


def one(http: httpx.Client, url: str, kind: str, number: int) -> tuple[str, float]:
    """Ask once; return what became of it, and the time until then."""
    body = {"model": "twin", "messages": conversation(number, 1 + 2 * (number % 3)), "max_tokens": 32,
            "seed": number, "temperature": 0.7, "stream": kind != "whole"}  # fmt: skip
    started_s = time.perf_counter()
    if kind == "whole":
        response = http.post(f"{url}/v1/chat/completions", json=body)
        outcome = "told 429" if response.status_code == 429 else _whole(response.json())
    else:
        outcome = _streamed(http, url, kind, body)
    return outcome, time.perf_counter() - started_s


def _whole(reply: dict[str, Any]) -> str:
    return "replied" if reply.get("choices", [{}])[0].get("finish_reason") in ("stop", "length") else f"LOST {reply}"


def _streamed(http: httpx.Client, url: str, kind: str, body: dict[str, Any]) -> str:
    with http.stream("POST", f"{url}/v1/chat/completions", json=body) as response:
        if response.status_code == 429:
            return "told 429"
        finish = None
        for line in response.iter_lines():
            if line.startswith("data: {"):
                finish = json.loads(line[6:])["choices"][0]["finish_reason"] or finish
                if kind == "leaves":
                    return "left"
                if kind == "slow":
                    time.sleep(0.05)
            elif line == "data: [DONE]" and finish:
                return "replied"
    return f"LOST {response.status_code}"


def client(url: str, kinds: list[tuple[int, str]], seen: list[tuple[str, str, float]], half: threading.Barrier) -> None:
    with httpx.Client(trust_env=False, timeout=LIMIT_S) as http:
        for place, (number, kind) in enumerate(kinds):
            if place == len(kinds) // 2:
                half.wait(LIMIT_S)
                half.wait(LIMIT_S)
            try:
                outcome, took_s = one(http, url, kind, number)
            except (httpx.HTTPError, json.JSONDecodeError) as error:
                outcome, took_s = f"LOST {error!r}", 0.0
            seen.append((kind, outcome, took_s))
            if outcome == "told 429":
                time.sleep(0.2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--clients", type=int, default=8)
    given = parser.parse_args()
    dice = random.Random(0)
    kinds = list(enumerate(dice.choices(list(KINDS), list(KINDS.values()), k=given.requests)))
    command, port = ours(ADAPTER, "--graph", "data/graph/demo.csv", "--waiting", str(WAITING))
    found = run(command, port, kinds, given.clients)
    print(json.dumps(found, indent=1))
    write_json(RESULTS, {"date": datetime.date.today().isoformat(), "machine": describe()} | found)


def run(command: list[str], port: int, kinds: list[tuple[int, str]], clients: int) -> dict[str, Any]:
    seen: list[tuple[str, str, float]] = []
    half = threading.Barrier(clients + 1)
    with running(command, port) as (url, server):
        threads = [
            threading.Thread(target=client, args=(url, kinds[number::clients], seen, half)) for number in range(clients)
        ]
        memory = {"start": server.memory_info().rss}
        for thread in threads:
            thread.start()
        half.wait(LIMIT_S * 3)
        memory["half"] = server.memory_info().rss
        half.wait(LIMIT_S)
        for thread in threads:
            thread.join(LIMIT_S * 3)
        memory["end"] = server.memory_info().rss
        with httpx.Client(trust_env=False) as http:
            taken = http.get(f"{url}/health").json()["taken"]
        files = server.num_fds()
    outcomes = Counter(f"{kind}: {outcome}" for kind, outcome, _ in seen)
    replied = [took_s for _, outcome, took_s in seen if outcome == "replied"]
    return {"requests": len(kinds), "answered": len(seen), "clients": clients, "waiting": WAITING,
            "outcomes": dict(sorted(outcomes.items())), "lost": sum("LOST" in outcome for _, outcome, _ in seen),
            "still_taken": taken, "open_files": files, "rss_mib": {name: value >> 20 for name, value in memory.items()},
            "replied_s": {"median": statistics.median(replied), "max": max(replied)}}  # fmt: skip


if __name__ == "__main__":
    main()
