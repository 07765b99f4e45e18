"""Our side: a job → a filled gauge, through the parts of the train stage, in its order, without validation."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import yaml
from mlx import nn

from bench.train.gauge import Gauge, Update, arguments
from bench.train.job import Job
from stages.train.ranks import ALONE
from stages.train.trainer import Trainer
from twin.config.adapter import AdapterConfig
from twin.config.load import build
from twin.config.optimizer import OptimizerConfig
from twin.config.train import TrainConfig
from twin.files import read_jsonl
from twin.layers import LeanDoRALinear
from twin.model import adapt, load_base, split_head
from twin.tokens import Example, encode_split
from twin.training.checkpointing import checkpoint_blocks
from twin.training.dropout import Dropouts
from twin.training.order import plan
from twin.training.seeds import Purpose, derived_seed

T = TypeVar("T")


def section(kind: type[T], choice: str, **values: Any) -> T:
    """Return a section of the parameters: a choice of conf/ with some values replaced."""
    path = Path("conf") / choice
    chosen = yaml.safe_load(path.read_text())
    chosen.pop("defaults", None)
    return build(kind, chosen | values, choice, path)


def adapter_config(job: Job) -> AdapterConfig:
    given = {name: job.settings[name] for name in ("rank", "scale", "dropout", "keys")}
    return section(AdapterConfig, f"adapter/{job.adapter}_r32.yaml", layers=job.layers, **given)


def examples(job: Job, tokenizer: Any) -> list[Example]:
    rows = read_jsonl(Path(job.rows) / "train.jsonl")
    encoded = encode_split(rows, tokenizer, job.max_tokens, job.rows).examples
    # mlx-lm's loss has a target for every token but the first when it does not mask the prompt.
    return [replace(example, prompt_tokens=1) for example in encoded] if job.everything else list(encoded)


def take_form(model: nn.Module, form: str) -> None:
    """Choose DoRA's form: by a dequantised copy of W (dense), or by its quantised product (lean)."""
    for _, module in model.named_modules():
        if isinstance(module, LeanDoRALinear):
            assert form in {"dense", "lean"}
            module.prepare(form == "dense")


def measure(job: Job) -> Gauge:
    config = section(
        TrainConfig,
        "train/standard.yaml",
        updates=job.updates,
        batch=job.batch,
        accumulate=1,
        max_tokens=job.max_tokens,
        checkpointing=job.checkpointing,
        seed=job.seed,
    )
    optimizer_given = {name: job.settings[name] for name in ("learning_rate", "weight_decay")}
    optimizer = section(OptimizerConfig, "optimizer/adamw_cosine.yaml", **optimizer_given)
    gauge = Gauge()
    base = load_base(Path(job.base))
    gauge.loaded()
    adapt(base.model, adapter_config(job), derived_seed(config.seed, Purpose.initial_weights))
    take_form(base.model, job.form)
    dropouts = Dropouts(base.model, job.settings["dropout"])
    if config.checkpointing:
        checkpoint_blocks(base.model)
    shown = examples(job, base.tokenizer)
    inputs, supervised = zip(*((len(example.tokens) - 1, example.supervised) for example in shown), strict=True)
    laid_out = plan(inputs, supervised, config, packing=config.packing)
    split = split_head(base.model)
    trainer = Trainer(base.model, split, shown, optimizer, dropouts, packing=config.packing, ranks=ALONE)
    for number, micro_batches in enumerate(laid_out.updates, 1):
        started_s = time.perf_counter()
        loss, _ = trainer.update(
            micro_batches, optimizer.learning_rate, derived_seed(config.seed, Purpose.dropout, number)
        )
        seconds = time.perf_counter() - started_s
        tokens = sum(shown[row].supervised for batch in micro_batches for row in batch.rows)
        gauge.updates.append(Update(seconds, loss, tokens))
    return gauge


def main() -> None:
    job, result = arguments()
    measure(job).write(result)


if __name__ == "__main__":
    main()
