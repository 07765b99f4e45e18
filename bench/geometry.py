"""What a reading costs: every prefix of a conversation, one more turn of a live one, and many short conversations.

python -m bench.geometry [--rounds 5]

On one core. The plain loop is the tests' oracle (`tests.spec_loop`), each prefix from scratch: over everything so
far it takes a minute or more and is run once. The figures are medians over rounds, with the least and the greatest.
"""

import argparse
import datetime
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench.machine import describe
from tests import spec_loop
from twin.files import write_json
from twin.geometry import Reading, Trajectory, measure, prefixes

RESULTS = Path("bench/results/geometry.json")
ROUNDS = 5
TURNS, DIMENSIONS, WINDOW = 200, 384, 10
TARGET = {"times the plain loop": 300, "turns/s": 4167}  # a million turns in two minutes on two cores
LIVE_AT, LIVE_TURNS = (100, 1_000, 10_000), 100
SHORT, CONVERSATIONS = 20, 1_000
Row = dict[str, Any]


def gaussian(turns: int, dimensions: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(turns, dimensions))


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    started_s = time.perf_counter()
    found = work()
    return time.perf_counter() - started_s, found


def spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def by_itself(states: np.ndarray, window: int | None) -> list[Reading | None]:
    first = [0 if window is None else max(0, t - window + 1) for t in range(len(states))]
    return [measure(states[first[t] : t + 1]) if t else None for t in range(len(states))]


def every_prefix(window: int | None, rounds: int) -> list[Row]:
    """Time three ways to read every prefix of one conversation; their readings are compared."""
    states = gaussian(TURNS, DIMENSIONS)
    listed = states.tolist()
    ways: dict[str, Callable[[], list[Any]]] = {
        "prefixes": lambda: prefixes(states, window),
        "measure, each prefix": lambda: by_itself(states, window),
        "plain loop": lambda: spec_loop.at_every_prefix(listed, window),
    }
    wanted = prefixes(states, window)
    rows: list[Row] = []
    for way, work in ways.items():
        count = 1 if way == "plain loop" and window is None else rounds
        taken_s, found = zip(*(timed(work) for _ in range(count)), strict=True)
        assert all(close(one, other) for one, other in zip(wanted, found[0], strict=True)), way
        rows.append({"way": way, "window": window, "rounds": count, "seconds": spread(taken_s)})
    for row in rows:
        row["times prefixes"] = row["seconds"]["median"] / rows[0]["seconds"]["median"]
    return rows


def close(one: Reading | None, other: Reading | dict[str, float] | None) -> bool:
    if one is None or other is None:
        return one is other
    values = other if isinstance(other, dict) else vars(other)
    return all(abs(value - values[name]) <= 1e-9 for name, value in vars(one).items())


def live(rounds: int) -> list[Row]:
    """Time one more turn early and late in a conversation, beside `measure` of the same last turns."""
    taken_us: dict[tuple[str, int], list[float]] = {(way, at): [] for at in LIVE_AT for way in ("push", "measure")}
    states = gaussian(max(LIVE_AT) + LIVE_TURNS, DIMENSIONS)
    for _ in range(rounds):
        trajectory, turn = Trajectory(WINDOW), 0
        for at in LIVE_AT:
            for state in states[turn:at]:
                trajectory.push(state)
            turn = at + LIVE_TURNS
            pushed_s, pushed = timed(lambda: [trajectory.push(state) for state in states[at:turn]])  # noqa: B023
            paths = [states[end - WINDOW : end] for end in range(at + 1, turn + 1)]
            measured_s, measured = timed(lambda: [measure(path) for path in paths])  # noqa: B023
            assert pushed == measured
            taken_us["push", at].append(pushed_s / LIVE_TURNS * 1e6)
            taken_us["measure", at].append(measured_s / LIVE_TURNS * 1e6)
    return [{"way": way, "turn": at, "microseconds": spread(us)} for (way, at), us in taken_us.items()]


def many(rounds: int) -> list[Row]:
    """Time `prefixes` over many short conversations."""
    rows = []
    for dimensions in (256, 384):
        conversations = [gaussian(SHORT, dimensions, seed) for seed in range(CONVERSATIONS)]
        turns = SHORT * CONVERSATIONS
        rates = [
            turns / timed(lambda: [prefixes(states, WINDOW) for states in conversations])[0]  # noqa: B023
            for _ in range(rounds)
        ]
        rows.append({"dimensions": dimensions, "turns": turns, "turns/s": spread(rates)})
    return rows


def show(found: dict[str, list[Row]]) -> None:
    print(heading(f"every prefix of {TURNS} turns, {DIMENSIONS} dimensions", "median s"), f"{'×':>8}")
    for row in found["every prefix"]:
        last = "everything so far" if row["window"] is None else f"last {row['window']}"
        print(f"{row['way']:22} {last:25} {figures(row['seconds'], 4)} {row['times prefixes']:8,.1f}")
    print(heading(f"\none more turn, window {WINDOW}, {DIMENSIONS} dimensions", "median µs"))
    for row in found["one more turn"]:
        print(f"{row['way']:22} at turn {row['turn']:<17,} {figures(row['microseconds'], 0)}")
    print(heading(f"\n{CONVERSATIONS:,} conversations of {SHORT} turns, window {WINDOW}", "turns/s"))
    for row in found["many conversations"]:
        print(f"{'prefixes':22} {row['dimensions']:<4} dimensions{'':10} {figures(row['turns/s'], 0)}")
    print(f"targets: {', '.join(f'{value:,} {name}' for name, value in TARGET.items())}")


def heading(what: str, unit: str) -> str:
    start = "\n" if what.startswith("\n") else ""
    return f"{start}{what.strip():48} {unit:>10} {'min':>10} {'max':>10}"


def figures(values: dict[str, float], decimals: int) -> str:
    return " ".join(f"{values[name]:10,.{decimals}f}" for name in ("median", "min", "max"))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.geometry", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    rounds = parser.parse_args().rounds
    machine = describe()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    prefixes(gaussian(TURNS, DIMENSIONS), WINDOW)  # caches and imports are not counted
    found = {
        "every prefix": every_prefix(None, rounds) + every_prefix(WINDOW, rounds),
        "one more turn": live(rounds),
        "many conversations": many(rounds),
    }
    show(found)
    header = {"date": str(datetime.date.today()), "machine": machine, "cores used": 1, "target": TARGET}
    write_json(RESULTS, header | found)


if __name__ == "__main__":
    main()
