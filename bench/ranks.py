"""How much faster two ranks train than one process: hand-started, and by mlx.launch, whose parent polls a core.

python -m bench.ranks [--rounds N] [--updates N]

The same updates of 8 × 1 examples (1 × 8 is the note's) on a random model, a fresh process a measurement, the ways
in turn; the first update of a run is not counted, nor are start and validation. With an OpenBLAS installed the
table has both BLAS.
"""

import argparse
import datetime
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.machine import blas, describe, preload
from twin.files import write_json

RESULTS = Path("bench/results/ranks.json")
WAYS = ("one process", "two ranks", "two ranks, mlx.launch")
TARGET = 1.8
DEMO = Path("models/demo")
WIDTHS = {"hidden_size": 256, "intermediate_size": 768, "num_attention_heads": 4, "num_hidden_layers": 2}
WORDS = ("deploy", "cache", "index", "build", "branch", "queue", "token", "schema", "retry", "merge", "ship it")


def make_base(folder: Path) -> None:
    """Write a random full-precision model of WIDTHS with the demo's tokenizer."""
    import mlx.core as mx
    from mlx.utils import tree_flatten
    from mlx_lm.models import qwen2

    shutil.copytree(DEMO, folder)
    config = json.loads((DEMO / "config.json").read_text()) | WIDTHS
    config = {name: value for name, value in config.items() if not name.startswith("quantization")}
    mx.random.seed(0)
    model = qwen2.Model(qwen2.ModelArgs.from_dict(config))
    weights = dict(tree_flatten(model.parameters()))
    mx.save_safetensors(str(folder / "model.safetensors"), weights, metadata={"format": "mlx"})
    (folder / "config.json").write_text(json.dumps(config))


def make_rows(count: int, seed: int) -> list[dict[str, Any]]:
    """Return examples of log-normal lengths, about a fifth of their tokens supervised."""
    rng, rows = random.Random(seed), []
    for number in range(count):
        words = round(rng.lognormvariate(4.4, 0.4))
        texts = [" ".join(rng.choices(WORDS, k=k)) for k in (words, max(1, words // 4))]
        roles = [{"role": role, "content": text} for role, text in zip(("user", "assistant"), texts, strict=True)]
        rows.append({"id": str(number), "messages": [{"role": "system", "content": "You are Sam."}, *roles]})
    return rows


def run_rank(base: Path, updates: int, result: Path) -> None:
    """Train as one of the ranks there are; rank 0 writes supervised tokens per second."""
    from stages import train as stage
    from stages.train.ranks import join
    from stages.train.trainer import Trainer
    from twin.config.adapter import AdapterConfig
    from twin.config.load import load
    from twin.config.optimizer import OptimizerConfig
    from twin.config.train import TrainConfig

    ranks = join(2)
    config = replace(load(TrainConfig), updates=updates, batch=1, accumulate=8, max_tokens=512, validate_every=updates)
    seconds: list[float] = []
    update = Trainer.update

    def timed(trainer: Trainer, *arguments: Any) -> tuple[float, float]:
        started_s = time.perf_counter()
        done = update(trainer, *arguments)
        seconds.append(time.perf_counter() - started_s)
        return done

    Trainer.update = timed  # type: ignore[method-assign]
    rows = {"train": make_rows(8 * updates, seed=1), "valid": make_rows(4, seed=2)}
    trained = stage.train(base, rows, stage.Settings(load(AdapterConfig), load(OptimizerConfig), config), None, ranks)
    examples = trained.encoded["train"].examples
    counted = [row for micro_batches in trained.plan.updates[1:] for batch in micro_batches for row in batch.rows]
    tokens = sum(examples[row].supervised for row in counted)
    if ranks.rank == 0:
        facts = {"tokens_per_s": tokens / sum(seconds[1:]), "best_loss": trained.outcome.best_loss, "blas": blas()}
        write_json(result, facts)


def measure(way: str, base: Path, updates: int) -> dict[str, Any]:
    from stages.train.launch import HOSTFILE, start

    result, hosts = base.parent / "result.json", base.parent / "hosts.json"
    command = [sys.executable, "-m", "bench.ranks", "--rank", str(base), "--result", str(result)]
    command += ["--updates", str(updates)]
    if way == WAYS[0]:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    else:
        write_json(hosts, [{"ssh": "127.0.0.1", "ips": ["127.0.0.1"]}] * 2)
        with variables({HOSTFILE: str(hosts)} if way == WAYS[2] else {}):
            start(2, result, command)
    return dict(json.loads(result.read_text()))


@contextmanager
def variables(values: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def table(rounds: int, updates: int) -> list[dict[str, Any]]:
    found = []
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder) / "base"
        make_base(base)
        for values in [{}, preload()] if preload() else [{}]:
            runs: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
            for _ in range(rounds):
                for way in WAYS:
                    with variables(values):
                        runs[way].append(measure(way, base, updates))
            found += [row(way, runs) for way in WAYS]
    return found


def row(way: str, runs: Mapping[str, list[dict[str, Any]]]) -> dict[str, Any]:
    speeds = [run["tokens_per_s"] for run in runs[way]]
    ratios = [mine / run["tokens_per_s"] for mine, run in zip(speeds, runs[WAYS[0]], strict=True)]
    return {
        "way": way,
        "blas": runs[way][0]["blas"],
        "supervised_tokens_per_s": spread(speeds),
        "ratio": spread(ratios),
        "best_loss": runs[way][0]["best_loss"],
    }


def spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.ranks", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--updates", type=int, default=6, help="of a run, of which the first is not counted")
    parser.add_argument("--rank", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--result", type=Path, help=f"results file instead of {RESULTS}", default=RESULTS)
    options = parser.parse_args()
    if options.rank:
        run_rank(options.rank, options.updates, options.result)
        return
    rows = table(options.rounds, options.updates)
    results = {"date": str(datetime.date.today()), "machine": describe(), "target": TARGET, "rows": rows}
    write_json(options.result, results | {"rounds": options.rounds, "updates": options.updates})
    print(f"{'way':24}{'tokens/s':>10}{'min':>9}{'max':>9}{'ratio':>8}{'min':>7}{'max':>7}  BLAS")
    for one in rows:
        speed, ratio = one["supervised_tokens_per_s"], one["ratio"]
        print(
            f"{one['way']:24}{speed['median']:10,.1f}{speed['min']:9,.1f}{speed['max']:9,.1f}"
            f"{ratio['median']:8.2f}{ratio['min']:7.2f}{ratio['max']:7.2f}  {one['blas']}"
        )


if __name__ == "__main__":
    main()
