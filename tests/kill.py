"""Training killed at random instants ends with the bytes of an undisturbed run: `python -m tests.kill`.

The real stage trains a tiny base in a small project, keeps its state after every update and is killed with SIGKILL:
while it loads, in an update, in a save, while it finishes; and stopped once by Ctrl-C and once by SIGTERM. What it
leaves is compared byte for byte.
"""

import argparse
import contextlib
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from stages import train as stage
from stages.train import loop
from tests.conftest import make_base, make_rows
from twin.base import identify
from twin.files import write_json, write_jsonl
from twin.guard import main as guard
from twin.training import checkpoint

ROOT = Path(__file__).parents[1]
SHRINK = {
    "train": {"updates": 24, "batch": 4, "validate_every": 4, "validate_examples": 8, "patience": 4},
    "adapter": {"rank": 8},
}
LOG = "log"
PLACES = ("loading", "an update", "a save", "finishing")
LONGEST_S = dict(zip(PLACES, (0.4, 0.2, 0.003, 0.1), strict=True))
"""Time after arriving at a place within which the kill comes; what is passed by then is counted as it is."""
# A fork has every import done. Only Linux forks a process with threads and a GPU library safely.
CONTEXT = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")


def make_project(folder: Path, started: Any) -> None:
    """Write what the stage reads: a base, its identity, a split, a prompt recipe, parameters and dvc.yaml."""
    make_base(folder / "models/demo")
    place = {"id": "tiny", "kind": "folder", "folder": "models/demo", "revision": None, "fixture": True}
    write_json(folder / "models/base/identity.json", identify(folder / "models/demo", place))
    write_json(folder / "data/augment/recipe.json", {"persona": "You are Sam."})
    for number, (name, rows) in enumerate({"train": 40, "valid": 15}.items()):
        write_jsonl(folder / f"data/split/{name}.jsonl", make_rows(rows, seed=number))
    write_jsonl(folder / "data/split/canaries.jsonl", [])
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    for section, values in SHRINK.items():
        params[section] |= values
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    entry = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]["train"]
    entry["deps"] = [dep for dep in entry["deps"] if dep.startswith(("data/", "models/"))]
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"train": entry}}))


def attempt(folder: Path, seen: Any) -> None:
    """Run the stage in `folder`; `seen` tells the parent process [place, updates kept]."""
    os.chdir(folder)
    os.environ.pop("DVC_ROOT", None)
    checkpoint.EVERY_S = 0.0
    write, save, finish = checkpoint.write_with, checkpoint.Checkpoint.save, loop.Validation.finish

    def watched_write(*arguments: Any) -> None:
        seen[0] = PLACES.index("a save")
        write(*arguments)

    def watched_save(self: Any, state: Any) -> None:
        save(self, state)
        seen[:] = [PLACES.index("an update"), state.update]

    def watched_finish(self: Any, outcome: Any) -> None:
        seen[0] = PLACES.index("finishing")
        finish(self, outcome)

    checkpoint.write_with = watched_write
    checkpoint.Checkpoint.save, loop.Validation.finish = watched_save, watched_finish  # type: ignore[method-assign]
    sys.argv = ["twin.guard", "train"]
    log = (folder / LOG).open("a", buffering=1)  # by lines: a kill must not take what was said with it
    with log, contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
        guard()


def outputs(folder: Path) -> dict[str, bytes]:
    files = [stage.METRICS, stage.CURVES, *(path.relative_to(folder) for path in (folder / stage.OUT).iterdir())]
    return {str(file): (folder / file).read_bytes() for file in files}


def run(work: Any, folder: Path, seen: Any) -> Any:
    process = CONTEXT.Process(target=work, args=(folder, seen))
    process.start()
    return process


def finished(process: Any) -> bool:
    process.join()
    return bool(process.exitcode == 0)


def wait(process: Any, seen: Any, place: str) -> None:
    """Wait until the attempt is at `place`, or past it for good."""
    while process.is_alive() and seen[0] not in (PLACES.index(place), PLACES.index("finishing")):
        process.join(0.0002)


def kill(folder: Path, seen: Any, rng: random.Random, aim: str) -> tuple[str, int] | None:
    """Start the stage, kill it at a random instant and return (place, updates kept); None if it was faster."""
    seen[0] = PLACES.index("loading")
    process = run(attempt, folder, seen)
    if aim != "loading":
        wait(process, seen, "a save" if aim == "an update" else aim)
    process.join(rng.uniform(0, LONGEST_S[aim]))
    place, update = PLACES[seen[0]], seen[1]
    process.kill()
    process.join()
    if process.exitcode == 0:
        return None
    assert process.exitcode == -signal.SIGKILL, (folder / LOG).read_text()
    return place, update


def ended(folder: Path, expected: dict[str, bytes]) -> bool:
    """Whether the run was over: then its outputs are compared, and deleted as DVC does before the next run."""
    if not (folder / stage.CURVES).exists() or list(folder.glob(f".work/checkpoints/*/{checkpoint.FILE}")):
        return False
    assert outputs(folder) == expected, "a killed run left other bytes"
    (folder / stage.CURVES).unlink()
    return True


def kills(folder: Path, seen: Any, count: int, rng: random.Random, expected: dict[str, bytes]) -> Iterator[str]:
    """Kill the stage `count` times and yield where: the last ones while it finishes, the others before."""
    done = 0
    while done < count:
        aim = "finishing" if done >= count * 5 // 6 else rng.choices(PLACES[:3], [1, 3, 2])[0]
        at = kill(folder, seen, rng, aim)
        ended(folder, expected)
        if at is not None:
            done += 1
            print(f"kill {done}: in {at[0]}, {at[1]} updates kept", flush=True)
            yield at[0]


def interrupt(folder: Path, seen: Any, number: signal.Signals) -> None:
    """Send a signal in an update: the stage ends after it, keeps it and says so."""
    seen[0] = PLACES.index("loading")
    process = run(attempt, folder, seen)
    wait(process, seen, "an update")
    os.kill(process.pid, number)
    process.join()
    said = (folder / LOG).read_text().splitlines()[-1]
    assert process.exitcode == 130, said
    assert said == f"train: interrupted; `dvc repro` goes on from update {seen[1]}.", said


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=24)
    parser.add_argument("--seed", type=int, default=17)
    options = parser.parse_args()
    places, halves = Counter[str](), 0
    rng, seen, started_s = random.Random(options.seed), CONTEXT.Array("i", 2, lock=False), time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        undisturbed, killed = Path(name) / "undisturbed", Path(name) / "killed"
        undisturbed.mkdir()
        assert finished(run(make_project, undisturbed, seen))
        shutil.copytree(undisturbed, killed)
        assert finished(run(attempt, undisturbed, seen)), (undisturbed / LOG).read_text()
        expected = outputs(undisturbed)
        for number, place in enumerate(kills(killed, seen, options.kills, rng, expected)):
            places[place] += 1
            halves += bool(list(killed.glob(".work/checkpoints/*/.*.part")))
            if number in (2, 4):
                interrupt(killed, seen, signal.SIGINT if number == 2 else signal.SIGTERM)
        assert finished(run(attempt, killed, seen)), (killed / LOG).read_text()
        assert ended(killed, expected)
        assert not list((killed / ".work/checkpoints").iterdir()), "a finished run left a checkpoint"
        resumed = (killed / LOG).read_text().count("resumed after update")
    where = ", ".join(f"{count} in {place}" for place, count in places.items())
    wall_s = time.perf_counter() - started_s
    print(f"{places.total()} kills ({where}; {halves} left half a file), resumed {resumed} times: the same bytes")
    print(f"{wall_s:.0f} s")


if __name__ == "__main__":
    main()
