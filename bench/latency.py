"""How long nothing takes: a no-op `dvc repro`, a stage's start, `twin --help`. Run after `make demo`.

python -m bench.latency
"""

import datetime
import statistics
import subprocess
import sys
import time
from pathlib import Path

import yaml

from bench.machine import describe
from twin.files import write_json

RESULTS = Path("bench/results/latency.json")
ROUNDS = 7
STAGES = tuple(yaml.safe_load(Path("dvc.yaml").read_text())["stages"])
BIN = Path(sys.executable).parent


def seconds(command: list[str]) -> float:
    start_s = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start_s


def main() -> None:
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "dvc --version": [str(BIN / "dvc"), "--version"],
        "dvc repro (nothing to do)": [str(BIN / "dvc"), "repro"],
        "dvc status": [str(BIN / "dvc"), "status"],
        "twin --help": [str(BIN / "twin"), "--help"],
        **{f"import stages.{name}": [sys.executable, "-c", f"import stages.{name}"] for name in STAGES},
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, command in commands.items():
            times[name].append(seconds(command))
    print(f"{'command':28} {'median s':>9} {'min':>7} {'max':>7}")
    for name, taken in times.items():
        print(f"{name:28} {statistics.median(taken):9.2f} {min(taken):7.2f} {max(taken):7.2f}")
    write_json(RESULTS, {"date": str(datetime.date.today()), "machine": describe(), "seconds": times})


if __name__ == "__main__":
    main()
