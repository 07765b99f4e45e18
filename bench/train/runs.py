"""Cases → raw runs: every measurement a fresh process, the sides in turn, so that a slow minute hits both."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.machine import preload
from bench.train.cases import Case
from bench.train.job import Job, job
from bench.train.material import make_rows

PEER = "mlx-lm"

Run = dict[str, Any]


def measure(case: Case, checkpointing: bool, rounds: int, work: Path) -> Iterator[Run]:
    """Yield the runs of a case, round by round."""
    variables = preload()
    for number in range(rounds):
        for side in [*case.forms, PEER]:
            name = {"case": case.name, "checkpointing": checkpointing, "side": side, "round": number}
            yield name | _child(job(case, checkpointing, number, side, work), side, work, variables)


def _child(job: Job, side: str, work: Path, variables: dict[str, str]) -> Run:
    result = work / "result.json"
    result.unlink(missing_ok=True)
    module = "bench.train.peer" if side == PEER else "bench.train.ours"
    command = [sys.executable, "-m", module, json.dumps(asdict(job)), str(result)]
    done = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, check=False)
    if done.returncode < 0:
        return {"failed": f"killed by signal {-done.returncode}, as happens when memory runs out"}
    if done.returncode > 0:
        return {"failed": (done.stderr.strip().splitlines() or ["no reason given"])[-1]}
    return dict(json.loads(result.read_text()))


def prepare(case: Case, work: Path) -> None:
    """Write the model and the rows of a case, the model in a process of its own, whose memory ends with it."""
    if not (work / case.model.name / "config.json").exists():
        command = [sys.executable, "-m", "bench.train.material", json.dumps(asdict(case.model)), str(work)]
        subprocess.run(command, env=os.environ | preload(), check=True)
    shutil.rmtree(work / case.name, ignore_errors=True)
    make_rows(case, work / case.name)


def discard(case: Case, later: Sequence[Case], work: Path) -> None:
    """Delete the model of a case that no later one uses: a wide one is gigabytes."""
    if case.model not in [other.model for other in later]:
        shutil.rmtree(work / case.model.name)
