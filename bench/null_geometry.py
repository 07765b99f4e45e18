"""Whether tags that mean nothing are called better: the demo's null export, tagged, untagged and shuffled → verdicts.

python -m bench.null_geometry [--seeds 1]

On the null export the person's replies do not depend on the path that led to them, so that *better* would be wrong. The
runs are made in a clone of the last commit, as `dvc exp run --temp` makes them.
"""

import argparse
import datetime
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.machine import describe
from twin.campaign.experiments import finding, named
from twin.campaign.judging import adjusted, against_all, comparison
from twin.files import read_json, write_json

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "bench/results/null_geometry.json"
BY = ("likelihood", "rubric_test")
KINDS = ("tags_none", "tags_context", "tags_shuffled")
GIT = ("-c", "user.name=bench", "-c", "user.email=bench@localhost")


def shell(clone: Path, *command: str) -> None:
    """Run a command in the clone."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(clone), "DVC_NO_ANALYTICS": "1"}
    subprocess.run(command, cwd=clone, env=environment, check=True, stdout=sys.stderr)


def ran(clone: Path, kind: str, seeds: int) -> str:
    """Run one kind of tags with every seed and return its experiments as `twin compare` takes them."""
    names = []
    for seed in range(17, 17 + seeds):
        name = f"{kind.replace('_', '-')}-{seed}"
        asked = ("-S", f"+experiment={kind}", "-S", f"train.seed={seed}")
        shell(clone, "dvc", "exp", "run", "--quiet", "--temp", "-n", name, *asked)
        names.append(name)
    return ",".join(names)


def verdicts(clone: Path, none: str, context: str, shuffled: str) -> dict[str, Any]:
    """Return what `twin compare` says of the tags against none and against the placebo."""
    found = {}
    for name, reference in (("tagged over untagged", none), ("tagged over shuffled", shuffled)):
        shell(
            clone,
            sys.executable,
            "-c",
            "from twin.cli import app; app()",
            "compare",
            reference,
            context,
            "--json",
            "out.json",
        )
        (one,) = read_json(clone / "out.json")["comparisons"]
        found[name] = {metric: one["metrics"][metric] for metric in ("bits_per_token", "rubric_test")}
    return found


def geometry(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Return what `twin campaign geometry` concludes: *better* takes being better than no tag and than the placebo."""
    pairs = {
        (pair, "tagged"): {named(name): finding(name, one) for name, one in metrics.items()}
        for pair, metrics in found.items()
    }
    told = adjusted(pairs)
    return against_all([comparison("tagged", pair, told[pair, "tagged"], BY) for pair, _ in pairs])


def main() -> None:
    """Run, compare and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.null_geometry", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=1)
    seeds = parser.parse_args().seeds
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        shell(clone, sys.executable, "-m", "tools.demo_export", "--null", "--labels", "data/labels/demo.csv")
        shell(clone, "git", *GIT, "commit", "--quiet", "--all", "--message", "The null export")
        for key, value in (("user.name", "bench"), ("user.email", "bench@localhost")):
            shell(clone, "git", "config", key, value)
        found = verdicts(clone, *(ran(clone, kind, seeds) for kind in KINDS))
    for name, metrics in found.items():
        for metric, measured in metrics.items():
            print(f"{name}, {metric}: {measured['verdict']} {measured['difference']}")
    print(f"the verdict on the trajectory: {geometry(found)}")
    header = {"date": str(datetime.date.today()), "machine": describe(), "seeds": seeds, "verdict": geometry(found)}
    write_json(RESULTS, header | {"verdicts": found})


if __name__ == "__main__":
    main()
