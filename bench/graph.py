"""What a graph of 71,130 facts with one hub costs: loading, and walks of three hops for a hundred paths.

python -m bench.graph [--starts 200]
"""

import argparse
import datetime
import random
import statistics
import tempfile
import time
from pathlib import Path

from bench.machine import describe
from twin.files import write_json
from twin.graph import EmbeddedGraph, Triple

RESULTS = Path("bench/results/graph.json")
FACTS, ENTITIES, PREDICATES, HUB_SHARE = 71_130, 20_000, 40, 0.3
TARGET = {"direction": "both", "p50_ms": 5}


def facts() -> list[Triple]:
    rng, made = random.Random(0), dict[tuple[int, int], Triple]()
    while len(made) < FACTS:
        ends = 0 if rng.random() < HUB_SHARE else int(ENTITIES * rng.random() ** 2), rng.randrange(ENTITIES)
        made[ends] = Triple(f"e{ends[0]}", f"p{rng.randrange(PREDICATES)}", f"e{ends[1]}", rng.random())
    return list(made.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=200)
    given = parser.parse_args()
    made, rows, rng = facts(), [], random.Random(1)
    starts = [f"e{rng.randrange(ENTITIES)}" for _ in range(given.starts)]
    print("| graph | load s | direction | p50 ms | p95 ms | range ms |\n| --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for place, path in (("memory", None), ("file", Path(folder) / "graph.sqlite")):
            graph, started_s = EmbeddedGraph(path), time.perf_counter()
            graph.add_all(made)
            load_s = time.perf_counter() - started_s
            for direction in ("both", "outgoing", "incoming"):
                taken = []
                for start in starts:
                    started_s = time.perf_counter()
                    graph.traverse(start, direction=direction)
                    taken.append((time.perf_counter() - started_s) * 1e3)
                p50, p95 = statistics.median(taken), statistics.quantiles(taken, n=20)[-1]
                least, most = min(taken), max(taken)
                row = {"p50_ms": p50, "p95_ms": p95, "min_ms": least, "max_ms": most}
                rows.append({"graph": place, "load_s": load_s, "direction": direction} | row)
                shown = f"{p50:.2f} | {p95:.2f} | {least:.2f}–{most:.2f}"
                print(f"| {place} | {load_s:.2f} | {direction} | {shown} |")
            graph.close()
    result = {"facts": FACTS, "starts": given.starts, "target": TARGET, "rows": rows}
    write_json(RESULTS, {"date": datetime.date.today().isoformat(), "machine": describe()} | result)


if __name__ == "__main__":
    main()
