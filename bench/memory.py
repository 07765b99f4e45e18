"""Predicted beside measured memory of training steps, on widths that no factor of the plan was fitted to.

python -m bench.memory [--pairs] [--fit N]

A fresh process a configuration: a random model of real width, few blocks and a small vocabulary (but for the rows
that test the head), two updates by the train stage's own Trainer, or by the align stage's on pairs. Measured is the
peak of MLX's arrays over the weights in step with the arithmetic (a memory limit of nothing, so that MLX never runs
ahead), and, beside it, the peak as it comes. --pairs measures the align stage's alone and keeps the other results.
--fit measures small widths instead and prints the factors for twin/plan/memory.py.
"""

import argparse
import datetime
import json
import os
import random
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from bench.machine import describe, preload
from twin.config.adapter import AdapterConfig, Kind
from twin.files import read_json, write_json
from twin.plan.memory import FITTED, Factors, Load, predict
from twin.plan.shape import make_shape

RESULTS = Path("bench/results/memory.json")
MIB = 2**20
RATE = 1e-4
KEYS = ["q_proj", "v_proj", "o_proj", "gate_proj", "down_proj"]
# hidden, intermediate, heads, kv heads: from the config.json of Qwen2.5 and of Llama 3.2 1B.
WIDTHS = {
    "0.5B": (896, 4864, 14, 2), "1.5B": (1536, 8960, 12, 2), "3B": (2048, 11008, 16, 2), "7B": (3584, 18944, 28, 4),
    "llama-1B": (2048, 8192, 32, 8),
}  # fmt: skip


@dataclass(frozen=True)
class Trial:
    """One configuration."""

    width: str
    layers: int
    kind: str
    bits: int | None
    dtype: str
    tokens: int
    rows: int
    rank: int
    checkpointing: bool
    accumulate: int = 1
    vocabulary: int = 4096
    dense: bool = False
    sizes: tuple[int, int, int, int] | None = None
    """Of a width without a name."""
    pairs: bool = False
    """Preference training: two rows are a pair, chosen and rejected."""

    @property
    def supervised(self) -> int:
        return max(1, self.rows * self.tokens // 5)

    @property
    def adapter(self) -> AdapterConfig:
        return AdapterConfig(Kind(self.kind), KEYS, None, self.rank, 2.0, 0.05)

    @property
    def load(self) -> Load:
        return Load(self.rows, self.tokens, self.supervised, self.accumulate, self.checkpointing, self.dense)

    @property
    def config(self) -> dict[str, Any]:
        hidden, intermediate, heads, kv_heads = self.sizes or WIDTHS[self.width]
        packed = {} if self.bits is None else {"quantization": {"group_size": 64, "bits": self.bits}}
        return packed | {
            "model_type": "llama" if self.width.startswith("llama") else "qwen2", "hidden_size": hidden,
            "intermediate_size": intermediate, "num_attention_heads": heads, "num_key_value_heads": kv_heads,
            "num_hidden_layers": self.layers, "vocab_size": self.vocabulary, "rms_norm_eps": 1e-6,
            "rope_theta": 1e6, "tie_word_embeddings": True, "torch_dtype": self.dtype,
        }  # fmt: skip


TRIALS = (
    Trial("0.5B", 3, "lora", None, "float32", 160, 1, 32, False),
    Trial("0.5B", 3, "lora", None, "float32", 160, 1, 32, True, vocabulary=151_936),
    Trial("0.5B", 2, "lora", None, "float32", 96, 4, 16, False, accumulate=2),
    Trial("0.5B", 2, "dora", None, "float32", 160, 1, 32, False),
    Trial("0.5B", 4, "dora", 4, "float32", 128, 1, 8, True),
    Trial("0.5B", 2, "dora", 4, "float32", 128, 1, 8, False, dense=True),
    Trial("0.5B", 2, "lora", 4, "bfloat16", 64, 1, 32, False),
    Trial("0.5B", 2, "lora", None, "float32", 640, 1, 32, False),
    Trial("1.5B", 2, "lora", None, "float32", 128, 2, 32, True, accumulate=2),
    Trial("1.5B", 2, "dora", None, "float32", 128, 1, 32, False),
    Trial("3B", 2, "lora", None, "float32", 96, 1, 32, False),
    Trial("3B", 2, "dora", None, "float32", 96, 2, 16, True),
    Trial("7B", 1, "lora", None, "float32", 96, 1, 32, False),
    Trial("7B", 1, "dora", 4, "float32", 48, 1, 8, True),
    Trial("llama-1B", 2, "lora", None, "float32", 128, 1, 32, False),
    Trial("llama-1B", 2, "dora", None, "float32", 200, 1, 16, True),
    Trial("0.5B", 3, "lora", None, "float32", 160, 2, 32, False, pairs=True),
    Trial("0.5B", 2, "dora", None, "float32", 96, 2, 16, True, accumulate=2, pairs=True),
    Trial("llama-1B", 2, "lora", None, "float32", 64, 2, 32, False, accumulate=2, pairs=True),
    Trial("1.5B", 2, "lora", None, "float32", 64, 2, 32, True, accumulate=2, pairs=True),
    Trial("3B", 1, "dora", None, "float32", 64, 2, 16, False, pairs=True),
)


def small(count: int) -> list[Trial]:
    """Return random configurations of small widths, to fit the factors to."""
    rng, trials = random.Random(0), []
    for _ in range(count):
        heads, width = rng.choice([2, 4, 8]), rng.choice([32, 64])
        sizes = (heads * width, 64 * rng.randint(4, 24), heads, rng.choice([1, heads // 2, heads]))
        bits, kind = rng.choice([None, None, 4]), rng.choice(["lora", "dora"])
        trials.append(
            Trial(
                "small", rng.choice([1, 2, 3, 5]), kind, bits, rng.choice(["float32"] * 5 + ["bfloat16"]),
                rng.choice([64, 96, 160, 224]), rng.choice([1, 1, 2, 3]), rng.choice([2, 8, 16]), rng.random() < 0.5,
                rng.choice([1, 2]), 256, kind == "dora" and bits == 4 and rng.random() < 0.3, sizes,
            )
        )  # fmt: skip
    return trials


def run(trial: Trial) -> dict[str, float]:
    """Take two updates and return the peaks, in MiB over the weights."""
    import mlx.core as mx

    from bench.arrays import held_bytes

    trainer, take = _trainer(trial)
    resident = held_bytes() - sum(array.nbytes for array in _parameters(trainer))
    take()
    best = _parameters(trainer)  # a run keeps its best adapter, which is not the one it changes
    take()
    peaks = {}
    for name, limit in (("in step", 0), ("as it comes", 2**40)):
        mx.set_memory_limit(limit)
        mx.reset_peak_memory()
        take()
        peaks[name] = (mx.get_peak_memory() - resident) / MIB
    assert best
    return peaks


def _parameters(trainer: Any) -> list[Any]:
    from twin.model import trainable

    return list(trainable(trainer.model).values())


def _trainer(trial: Trial) -> tuple[Any, Callable[[], object]]:
    """Return a trainer on a random model, and what takes one update."""
    import mlx.core as mx
    from mlx import nn
    from mlx_lm.utils import _get_classes

    from twin.layers import LeanDoRALinear
    from twin.model import adapt
    from twin.training.checkpointing import checkpoint_blocks
    from twin.training.dropout import Dropouts

    mx.disable_compile()
    kind, arguments = _get_classes(trial.config)
    model = kind(arguments.from_dict(trial.config))
    model.set_dtype(getattr(mx, trial.dtype))
    if trial.bits is not None:
        nn.quantize(model, **trial.config["quantization"])
    mx.eval(model.parameters())
    adapt(model, trial.adapter, 0)
    for _, module in model.named_modules():
        if isinstance(module, LeanDoRALinear):
            module.prepare(trial.dense)
    dropouts = Dropouts(model, trial.adapter.dropout)
    if trial.checkpointing:
        checkpoint_blocks(model)
    each = trial.supervised // trial.rows
    examples = _examples(trial, each)
    return _on_pairs(model, trial, examples) if trial.pairs else _supervised(model, trial, examples, dropouts)


def _examples(trial: Trial, supervised: int) -> list[Any]:
    from twin.tokens import Example

    rng = random.Random(0)
    tokens = [tuple(rng.randrange(trial.vocabulary) for _ in range(trial.tokens + 1)) for _ in range(trial.rows)]
    return [Example(str(row), said, len(said) - supervised) for row, said in enumerate(tokens)]


def _supervised(model: Any, trial: Trial, examples: list[Any], dropouts: Any) -> tuple[Any, Callable[[], object]]:
    from stages.train.ranks import ALONE
    from stages.train.trainer import Trainer
    from twin.model import split_head

    trainer = Trainer(model, split_head(model), examples, _optimizer(), dropouts, packing=False, ranks=ALONE)
    batches = _batches(trial, examples, trial.rows)
    return trainer, lambda: trainer.update(batches, RATE, 1)


def _on_pairs(model: Any, trial: Trial, examples: list[Any]) -> tuple[Any, Callable[[], object]]:
    import numpy as np

    from stages.align.pairs import Pair
    from stages.align.trainer import PairTrainer
    from twin.config.align import AlignConfig, Method
    from twin.model import split_head

    pairs = [Pair(*two) for two in zip(examples[::2], examples[1::2], strict=True)]
    config = AlignConfig(
        Method.dpo, 0.1, _optimizer(), updates=1, batch=len(pairs), accumulate=trial.accumulate,
        checkpointing=trial.checkpointing, validate_every=1, displacement_max=0.0, seed=0,
    )  # fmt: skip
    trainer = PairTrainer(model, split_head(model), pairs, np.zeros((len(pairs), 2)), config)
    batches = _batches(trial, examples, len(pairs))
    return trainer, lambda: trainer.update(batches, RATE)


def _batches(trial: Trial, examples: list[Any], rows: int) -> list[Any]:
    from twin.training.order import MicroBatch

    supervised = sum(example.supervised for example in examples)
    return [MicroBatch(tuple(range(rows)), trial.tokens, supervised)] * trial.accumulate


def _optimizer() -> Any:
    from twin.config.optimizer import OptimizerConfig

    return OptimizerConfig(learning_rate=RATE, weight_decay=0.01, warmup=0.0, final=1.0, clip=0.3)


def measured(trial: Trial) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.memory", "--trial", json.dumps(asdict(trial))]
    done = subprocess.run(command, env=os.environ | preload(), capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def predicted(trial: Trial, factors: Factors = FITTED) -> float:
    need = predict(make_shape(trial.config, trial.width), trial.adapter, trial.load, factors)
    return (need.total - need.weights) / MIB


def fit(trials: list[Trial], peaks: list[float]) -> None:
    """Print the factors, none negative, that make the squares of the relative errors least."""
    import numpy as np
    from scipy.optimize import least_squares

    names = [field.name for field in fields(Factors)]

    def errors(values: Any) -> Any:
        factors = Factors(**dict(zip(names, values, strict=True)))
        return np.array([predicted(trial, factors) / peak - 1 for trial, peak in zip(trials, peaks, strict=True)])

    start = [getattr(FITTED, name) + 0.1 for name in names]
    # Steps that rounding to bytes cannot swallow, and little weight for the odd one out.
    found = least_squares(errors, start, bounds=(0, np.inf), diff_step=0.01, loss="soft_l1", f_scale=0.03)
    wrong = np.abs(errors(found.x))
    print(Factors(**{name: round(float(value), 2) for name, value in zip(names, found.x, strict=True)}))
    print(f"mean error {wrong.mean():.1%}, largest {wrong.max():.1%}")


def compare(trials: Sequence[Trial], rows: list[dict[str, Any]]) -> None:
    """Measure the trials, and file them behind `rows`."""
    today = str(datetime.date.today())
    print(f"{'configuration':82} {'predicted':>9} {'in step':>8} {'error':>7} {'as it comes':>12}")
    for trial in trials:
        peaks, plan = measured(trial), predicted(trial)
        error = plan / peaks["in step"] - 1
        found = {"date": today, "trial": asdict(trial), "predicted_mib": plan, "measured_mib": peaks, "error": error}
        rows.append(found)
        print(f"{_text(trial):82} {plan:9.1f} {peaks['in step']:8.1f} {error:+7.1%} {peaks['as it comes']:12.1f}")
        write_json(RESULTS, {"date": today, "machine": describe(), "rows": rows})
    wrong = [abs(row["error"]) for row in rows[-len(trials) :]]
    print(f"mean error {statistics.mean(wrong):.1%}, largest {max(wrong):.1%}")


def _text(trial: Trial) -> str:
    base = f"{trial.bits}-bit" if trial.bits else trial.dtype
    form = " dense" if trial.dense else ""
    again = "checkpointing" if trial.checkpointing else "plain"
    what = ", pairs" if trial.pairs else ""
    return (
        f"{trial.width} × {trial.layers}, {base}, {trial.kind} r{trial.rank}{form}, {trial.rows} × {trial.tokens} "
        f"× {trial.accumulate}, {again}{what}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.memory", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--fit", type=int, metavar="N", help="measure N small configurations and fit the factors")
    parser.add_argument("--pairs", action="store_true", help="measure preference training only")
    parser.add_argument("--trial", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.trial:
        values = json.loads(options.trial)
        sizes = values["sizes"] and tuple(values["sizes"])
        print(json.dumps(run(Trial(**values | {"sizes": sizes}))))
    elif options.fit:
        trials = small(options.fit)
        fit(trials, [measured(trial)["in step"] for trial in trials])
    elif options.pairs:
        kept = [row for row in read_json(RESULTS)["rows"] if not row["trial"].get("pairs")]
        compare([trial for trial in TRIALS if trial.pairs], kept)
    else:
        compare(TRIALS, [])


if __name__ == "__main__":
    main()
