"""How long scoring and deciding take: made-up replies of four arms, 400 prompts → seconds, from files to a decision.

python -m bench.judging [--rounds 5]

Fresh processes with the stages' own settings, 10,000 draws; the time of the imports is in it, generation is not.
"""

import argparse
import datetime
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.machine import describe
from stages import evaluate as judge
from stages.evaluate.data import GENERATIONS
from tests import persona
from twin.files import read_json, write_json, write_jsonl

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "bench/results/judging.json"
CONVERSATIONS, REPLIES = 100, 4
CHAMPION = "C"
TARGET_S = 20
COMMITTED = ("metrics/split.json", "metrics/ingest.json", "params.yaml")
STAGES = "from stages import evaluate, promote; evaluate.main(); promote.main()"


def put(folder: Path) -> None:
    """Write what the two stages read, with a champion that speaks like the challenger."""
    sizes = {"train": (460, 5), "cal": (60, 5), "test": (CONVERSATIONS, REPLIES), "valid": (10, 2)}
    parts = persona.splits(sizes=sizes)
    for name, rows in parts.items():
        write_jsonl(folder / judge.SPLITS[name], rows)
    said = persona.generations(parts)
    champion = [row | {"arm": CHAMPION} for row in persona.generations(parts, seed=5) if row["arm"] == "X"]
    scored = persona.likelihoods(parts)
    as_champion = [row | {"arm": CHAMPION} for row in scored if (row["prompt_set"], row["arm"]) == ("test", "X")]
    write_jsonl(folder / GENERATIONS, [*said, *champion])
    write_jsonl(folder / judge.LIKELIHOODS, [*scored, *as_champion])
    for path in (judge.FURTHER, judge.CANARIES, judge.LIVE, judge.REMINDERS):
        write_jsonl(folder / path, [])
    write_json(folder / judge.DECODING, {})
    write_json(folder / "models/adapter/recipe.json", {"run": {"id": "bench"}, "base": {}, "prompt": {}})
    write_json(folder / "models/base/identity.json", {})
    for name in COMMITTED:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((ROOT / name).read_bytes())


def seconds(folder: Path) -> float:
    """Run both stages in a process of their own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0"}
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", STAGES], cwd=folder, env=environment, check=True)
    return time.perf_counter() - start


def main() -> None:
    """Run, check that everything was judged, print."""
    parser = argparse.ArgumentParser(prog="python -m bench.judging", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as scratch:
        put(Path(scratch))
        taken = [seconds(Path(scratch)) for _ in range(rounds)]
        counted = read_json(Path(scratch) / "metrics/evaluate.json")
        assert counted["counts"]["test_replies"] == CONVERSATIONS * REPLIES
        assert {"B0", "B1", CHAMPION, "X", "R"} <= set(counted["rubric_test"]["all"])
        assert read_json(Path(scratch) / "metrics/decision.json")["decision"]
    middle = statistics.median(taken)
    print(f"400 replies × 4 arms: {middle:.1f} s ({min(taken):.1f} to {max(taken):.1f}), target {TARGET_S} s")
    rows = {"seconds": taken, "median_s": middle, "target_s": TARGET_S}
    write_json(RESULTS, {"date": str(datetime.date.today()), "machine": describe()} | rows)


if __name__ == "__main__":
    main()
