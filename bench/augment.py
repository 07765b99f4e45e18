"""What a million turns cost after embedding: turns in memory's chunks → rows on the disk, time and peak memory.

python -m bench.augment [--turns 100000 1000000] [--rounds 3]

States are drawn from a table by the text's checksum, so that the clock sees the stage and not an embedder. Every size
is a fresh process; its peak is that of the stage and of its largest worker.
"""

import argparse
import datetime
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from bench.machine import describe
from stages import augment as stage
from stages.augment.tally import Tally
from twin.config.augment import AugmentConfig
from twin.config.load import load
from twin.conversation import Turn
from twin.files import write_json, write_lines
from twin.turns import Conversation

RESULTS = Path("bench/results/augment.json")
TARGET = {"turns": 1_000_000, "seconds": 120}
TURNS, DIMENSIONS, STATES = 20, 384, 4096
WORDS = ("ship", "it", "when", "the", "build", "is", "green", "and", "ask", "me", "again", "before", "you", "touch")
START = datetime.datetime(2024, 1, 1, tzinfo=UTC)


class Table:
    """An embedder that costs nothing."""

    def __init__(self) -> None:
        self._states = np.random.default_rng(0).normal(size=(STATES, DIMENSIONS))

    @property
    def identity(self) -> Mapping[str, Any]:
        return {"name": "table"}

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        return self._states[[zlib.crc32(text.encode()) % STATES for text in texts]]


def conversations(turns: int) -> Iterator[Conversation]:
    rng = np.random.default_rng(1)
    for first in range(0, turns, TURNS):
        words = rng.integers(0, len(WORDS), (TURNS, 12))
        yield Conversation(
            f"c{first}",
            [
                Turn(
                    f"t{first + n}",
                    "person" if n % 2 else "partner",
                    " ".join(WORDS[word] for word in row),
                    START + timedelta(minutes=first + n),
                )
                for n, row in enumerate(words)
            ],
        )


def one(turns: int) -> dict[str, float]:
    """Run the stage's work on so many turns in this process and its workers."""
    config, tally = load(AugmentConfig), Tally()
    with mock.patch.object(stage, "embedder", return_value=Table()), tempfile.TemporaryDirectory() as scratch:
        path, started_s = Path(scratch) / "rows.jsonl", time.perf_counter()
        write_lines(path, stage.augment(conversations(turns), config, turns, tally, Path(scratch)))
        taken_s, megabytes = time.perf_counter() - started_s, path.stat().st_size / 1e6
    peaks = {who: resource.getrusage(kind).ru_maxrss / 1024 for who, kind in WHO.items()}
    return {"seconds": taken_s, "MB": megabytes, "examples": tally.counts["examples"]} | peaks


WHO = {"stage MiB": resource.RUSAGE_SELF, "worker MiB": resource.RUSAGE_CHILDREN}


def fresh(turns: int) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.augment", "--one", str(turns)]
    told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    found: dict[str, float] = json.loads(told.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.augment", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--turns", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(one(arguments.one)))
        return
    rows = []
    for turns in arguments.turns:
        rounds = [fresh(turns) for _ in range(arguments.rounds)]
        spread = {
            name: {"median": statistics.median(values), "min": min(values), "max": max(values)}
            for name in rounds[0]
            if (values := [found[name] for found in rounds])
        }
        rows.append({"turns": turns, **spread})
        print(
            f"{turns:>10,} turns  {spread['seconds']['median']:7.1f} s ({spread['seconds']['min']:.1f} to "
            f"{spread['seconds']['max']:.1f})  stage {spread['stage MiB']['median']:.0f} MiB  "
            f"worker {spread['worker MiB']['median']:.0f} MiB"
        )
    print(f"target: {TARGET['turns']:,} turns in {TARGET['seconds']} s on two cores")
    header = {"date": str(datetime.date.today()), "machine": describe(), "target": TARGET}
    write_json(RESULTS, header | {"rounds": arguments.rounds, "sizes": rows})


if __name__ == "__main__":
    main()
