"""Learns the person's voice: data/split/{train,valid}.jsonl, a base → models/sft/, metrics/train.{json,csv}.

The loop is ours; models, tokenizer, LoRA and DoRA layers, loading and file formats are mlx-lm's.
"""

import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx import nn

from stages.train.launch import is_parent, start
from stages.train.loop import run
from stages.train.outcome import Outcome, Status, Step
from stages.train.ranks import ALONE, Ranks, join
from stages.train.report import Reporter, curves, metrics
from stages.train.state import FORM, State, packed, unpacked
from twin.base import resolve
from twin.config.adapter import AdapterConfig
from twin.config.load import load
from twin.config.memory import MemoryConfig
from twin.config.model import ModelConfig
from twin.config.optimizer import OptimizerConfig
from twin.config.train import TrainConfig
from twin.errors import TrainError
from twin.files import read_json, read_jsonl, write_json, write_text
from twin.identity import Inputs, stage_inputs
from twin.model import adapt, load_base
from twin.plan.memory import Need
from twin.plan.preflight import preflight, within
from twin.runlog import record
from twin.tokens import Encoded, encode_split
from twin.training.checkpoint import Checkpoint, leftovers, open_checkpoint
from twin.training.checkpointing import checkpoint_blocks
from twin.training.dropout import Dropouts
from twin.training.order import Plan, plan
from twin.training.save import Logits, probe_both, prove_reload, write_adapter
from twin.training.seeds import Purpose, derived_seed

SPLITS = {"train": Path("data/split/train.jsonl"), "valid": Path("data/split/valid.jsonl")}
CANARIES = Path("data/split/canaries.jsonl")
"""Empty but for an audit."""
BASE = Path("models/base/identity.json")
PROMPT = Path("data/augment/recipe.json")
OUT = Path("models/sft")
METRICS = Path("metrics/train.json")
CURVES = Path("metrics/train.csv")

RECIPE_VERSION = 1


@dataclass(frozen=True)
class Settings:
    """The parameters of a run."""

    adapter: AdapterConfig
    optimizer: OptimizerConfig
    train: TrainConfig


@dataclass(frozen=True)
class Trained:
    """A finished run, after its model is gone."""

    outcome: Outcome
    weights: dict[str, mx.array]
    encoded: dict[str, Encoded]
    plan: Plan
    adapter_config: dict[str, Any]
    adapted_logits: list[Logits]
    base_logits: list[Logits]
    resumed: int
    """Updates that an earlier process had done."""

    @property
    def parameters(self) -> int:
        """Number of trained parameters."""
        return sum(array.size for array in self.weights.values())


def train(
    folder: Path,
    rows: Mapping[str, list[Any]],
    settings: Settings,
    checkpoint: Checkpoint[State] | None = None,
    ranks: Ranks = ALONE,
) -> Trained:
    """Train an adapter on the base in `folder` from the rows of `train` and `valid`.

    With a checkpoint the run goes on from it, and keeps its state there; only rank 0 has one.

    Raises:
        TrainError: the run diverged before it had learned anything.
        StorageError: the state could not be kept.
    """
    config = settings.train
    base = load_base(folder)
    encoded = {
        name: encode_split(split, base.tokenizer, config.max_tokens, str(SPLITS[name])) for name, split in rows.items()
    }
    examples, valid = encoded["train"].examples, encoded["valid"].examples
    adapter_config, dropouts = _adapted(base.model, settings)
    inputs, supervised = zip(*((len(example.tokens) - 1, example.supervised) for example in examples), strict=True)
    laid_out = plan(inputs, supervised, config, packing=config.packing)
    resumed = _resumed(checkpoint, config.updates, ranks)
    done = 0 if resumed is None else resumed.update
    reporter = Reporter(config.updates, done)

    def report(step: Step, outcome: Outcome, wall_s: float) -> None:
        if ranks.rank:
            return
        rows = [row for batch in laid_out.updates[step.update - 1] for row in batch.rows]
        reporter(step, outcome, sum(examples[row].supervised for row in rows) / wall_s)

    outcome = run(
        base.model, examples, valid, laid_out, dropouts=dropouts, config=config, optimizer=settings.optimizer,
        ranks=ranks, report=report, checkpoint=checkpoint, resumed=resumed,
    )  # fmt: skip
    weights = _best(outcome)
    base.model.load_weights(list(weights.items()), strict=False)
    adapted_logits, base_logits = probe_both(base.model, valid)
    return Trained(outcome, weights, encoded, laid_out, adapter_config, adapted_logits, base_logits, done)


def _adapted(model: nn.Module, settings: Settings) -> tuple[dict[str, Any], Dropouts]:
    """Put trainable layers on `model` and return mlx-lm's adapter_config and their dropout."""
    adapter_config = adapt(model, settings.adapter, derived_seed(settings.train.seed, Purpose.initial_weights))
    dropouts = Dropouts(model, settings.adapter.dropout)
    if settings.train.checkpointing:
        checkpoint_blocks(model)
    return adapter_config, dropouts


def _resumed(checkpoint: Checkpoint[State] | None, updates: int, ranks: Ranks) -> State | None:
    state = None if checkpoint is None else checkpoint.load(updates)
    if ranks.size == 1:
        return state
    text, arrays = ranks.broadcast(*(("", {}) if state is None else packed(state)))
    return unpacked(text, arrays) if text else None


def _best(outcome: Outcome) -> dict[str, mx.array]:
    learned = outcome.status is not Status.diverged or outcome.best_loss < outcome.initial_loss
    if outcome.best_weights is None or not learned:
        skipped = sum(step.skipped for step in outcome.steps)
        raise TrainError(
            f"training diverged after {len(outcome.steps)} updates ({skipped} skipped) before it had learned anything: "
            f"the best validation loss is {outcome.best_loss:.4g}, the base's is {outcome.initial_loss:.4g}. "
            "Lower optimizer.learning_rate, or raise optimizer.warmup."
        )
    return outcome.best_weights


def recipe(
    identity: Mapping[str, Any], prompt: object, trained: Trained, settings: Settings, inputs: Inputs
) -> dict[str, Any]:
    """Return what a live reply needs besides the weights, what the training came to, and the stage's inputs."""
    outcome = trained.outcome
    return {
        "version": RECIPE_VERSION,
        "base": dict(identity),
        "prompt": prompt,
        "max_tokens": settings.train.max_tokens,
        "adapter": _adapter(settings.adapter, trained) | {"keys": trained.adapter_config["lora_parameters"]["keys"]},
        "training": {
            "status": outcome.status.value,
            "updates": len(outcome.steps),
            "best_update": outcome.best_update,
            "best_valid_masked_nats_per_token": outcome.best_loss,
            "examples": len(trained.encoded["train"].examples),
            "too_long": {name: list(split.too_long) for name, split in trained.encoded.items()},
        },
        "run": {"inputs": {"train": inputs}},
    }


def _adapter(config: AdapterConfig, trained: Trained) -> dict[str, Any]:
    return {
        "kind": config.kind.value,
        "rank": config.rank,
        "scale": config.scale,
        "alpha": config.alpha,
        "layers": trained.adapter_config["num_layers"],
        "parameters": trained.parameters,
    }


def main() -> None:
    """Train, prove and save the adapter."""
    inputs = stage_inputs("train")  # first: an edit while they are read must not file its checkpoint under the new ones
    settings = Settings(load(AdapterConfig), load(OptimizerConfig), load(TrainConfig))
    if is_parent(settings.train.ranks):
        start(settings.train.ranks, CURVES)
        return
    ranks = join(settings.train.ranks)
    ranks.agree({"the command": inputs["cmd"], **inputs["deps"], **inputs["params"]})
    identity, prompt = read_json(BASE), read_json(PROMPT)
    folder = resolve(identity, load(ModelConfig).folder)
    rows = {name: read_jsonl(path) for name, path in SPLITS.items()}
    rows["train"] += read_jsonl(CANARIES)
    memory = load(MemoryConfig)
    planned = preflight(folder, settings.adapter, settings.train, memory, chain(*rows.values()))
    with open_checkpoint(inputs, FORM) if ranks.rank == 0 else nullcontext() as checkpoint:
        started_s = time.perf_counter()
        with within(planned, memory):
            trained = train(folder, rows, settings, checkpoint, ranks)
        training_s = time.perf_counter() - started_s
        mx.clear_cache()
        if ranks.rank == 0:
            _write(trained, folder, settings, recipe(identity, prompt, trained, settings, inputs), planned.need)
        if checkpoint is not None:
            checkpoint.remove()
    if ranks.rank == 0:
        record("train", _facts(trained, training_s) | {"planned_peak_bytes": planned.need.total})
        if left := leftovers():
            print(left)
    ranks.wait()


def _write(trained: Trained, folder: Path, settings: Settings, described: dict[str, Any], need: Need) -> None:
    def prove(part: Path) -> None:
        probes = trained.encoded["valid"].examples
        prove_reload(part, folder, probes, trained.adapted_logits, trained.base_logits)

    write_adapter(OUT, trained.weights, trained.adapter_config, described, prove)
    told = metrics(trained.outcome, trained.encoded, trained.plan, _adapter(settings.adapter, trained))
    # Predicted only: what was measured differs from machine to machine, and goes to the facts.
    write_json(METRICS, told | {"predicted_bytes": asdict(need) | {"total": need.total}})
    write_text(CURVES, curves(trained.outcome))


def _facts(trained: Trained, training_s: float) -> dict[str, object]:
    """Return what this process did; the updates of an earlier one took other seconds."""
    examples = trained.encoded["train"].examples
    updates = trained.plan.updates[trained.resumed : len(trained.outcome.steps)]
    tokens = sum(examples[row].supervised for update in updates for batch in update for row in batch.rows)
    return {
        "resumed_after_update": trained.resumed,
        "training_s": round(training_s, 3),
        "supervised_tokens_per_s": round(tokens / training_s, 1),
        "peak_array_bytes": mx.get_peak_memory(),
    }
