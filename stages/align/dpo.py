"""Direct preference optimisation: trained adapter, pairs, real held-out replies → aligned adapter, metrics, curves.

It starts from the trained adapter, LoRA or DoRA, which is also the reference: its log-likelihoods are computed before
the first update, so that one model is in memory. Nothing is dropped out.
"""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx import nn

from stages.align.drift import Drift, drift
from stages.align.loop import lay_out
from stages.align.loop import run as learn
from stages.align.outcome import Outcome
from stages.align.pairs import encode_pairs
from stages.align.reference import Material, reference
from stages.align.report import Reporter, curves, metrics
from stages.align.state import FORM, State
from twin.adapter import CONFIG_FILE, WEIGHTS_FILE
from twin.base import resolve
from twin.config.adapter import AdapterConfig, Kind
from twin.config.align import AlignConfig
from twin.config.memory import MemoryConfig
from twin.errors import DataError, TrainError
from twin.files import read_json, read_jsonl, restore, sha256_file
from twin.identity import Inputs
from twin.model import Base, attach, load_base, split_head
from twin.plan.preflight import preflight_pairs, within
from twin.runlog import record
from twin.tokens import encode_split
from twin.training.checkpoint import Checkpoint, leftovers, machine, open_checkpoint
from twin.training.checkpointing import checkpoint_blocks
from twin.training.save import Logits, probe_both, prove_reload, write_adapter

PAIRS = Path("data/prefer/pairs.jsonl")
VALID = Path("data/split/valid.jsonl")

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Aligned:
    """A finished run, after its model is gone."""

    outcome: Outcome
    weights: dict[str, mx.array]
    material: Material
    drift: Drift
    adapted_logits: list[Logits]
    base_logits: list[Logits]
    resumed: int
    """Updates that an earlier process had done."""


def ready(folder: Path, adapter: Path, *, checkpointing: bool) -> Base:
    """Load the base with a saved adapter on it, whose parameters alone can be trained; nothing is dropped out."""
    base = load_base(folder)
    base.model.freeze()
    attach(base, adapter)
    for _, module in base.model.named_modules():
        if "lora_a" in module:
            module.dropout = nn.Dropout(0.0)
    if checkpointing:
        checkpoint_blocks(base.model)
    return base


def align(
    folder: Path,
    adapter: Path,
    rows: Mapping[str, list[Row]],
    config: AlignConfig,
    *,
    max_tokens: int,
    checkpoint: Checkpoint[State] | None = None,
    code: object = None,
) -> Aligned:
    """Train the adapter further on pairs.

    Args:
        folder: of the base.
        adapter: of the trained adapter, where the run starts.
        rows: `pairs`, and the real held-out replies, `valid`.
        config: from params.yaml.
        max_tokens: that the adapter was trained with.
        checkpoint: where the state is kept; with one the run goes on from it.
        code: what else decides the reference.

    Raises:
        DataError: there are no pairs.
        TrainError: no update was sound.
        StorageError: the state could not be kept.
    """
    base = ready(folder, adapter, checkpointing=config.checkpointing)
    material = _material(rows, base, max_tokens)
    made_of = {"base": _weights(folder), "adapter": _weights(adapter), "machine": machine(), "code": code}
    measured = reference(split_head(base.model), material, made_of)
    resumed = None if checkpoint is None else checkpoint.load(config.updates)
    done = 0 if resumed is None else resumed.update
    outcome = learn(
        base.model, material, measured, config,
        report=Reporter(config, done), checkpoint=checkpoint, resumed=resumed,
    )  # fmt: skip
    if all(step.skipped for step in outcome.steps):
        raise TrainError(
            f"none of {len(outcome.steps)} updates was sound: loss or gradient were not finite. Lower "
            "align.optimizer.learning_rate, or run with -S align=none."
        )
    # From the disk: kept in memory while training, it would be a copy that the plan does not count.
    start = _start(adapter)
    weights = outcome.best_weights or start
    drifted = drift(base, material.valid, start, weights)
    adapted_logits, base_logits = probe_both(base.model, material.real)
    return Aligned(outcome, weights, material, drifted, adapted_logits, base_logits, done)


def _material(rows: Mapping[str, list[Row]], base: Base, max_tokens: int) -> Material:
    train, valid = (encode_pairs(rows["pairs"], base.tokenizer, split) for split in ("train", "valid"))
    if not train or not valid:
        raise DataError(f"{PAIRS} has {len(train)} pairs of train and {len(valid)} of valid. {restore(PAIRS)}")
    return Material(train, valid, encode_split(rows["valid"], base.tokenizer, max_tokens, str(VALID)).examples)


def _start(adapter: Path) -> dict[str, mx.array]:
    saved = mx.load(str(adapter / WEIGHTS_FILE))
    assert isinstance(saved, dict)
    return saved


def _weights(folder: Path) -> dict[str, str]:
    names = [*sorted(folder.glob("*.safetensors")), *folder.glob(CONFIG_FILE), *folder.glob("config.json")]
    return {file.name: sha256_file(file) for file in names}


def run(
    source: Path,
    target: Path,
    config: AlignConfig,
    memory: MemoryConfig,
    *,
    recipe: Mapping[str, Any],
    place: str | None,
    inputs: Inputs,
) -> tuple[dict[str, Any], str]:
    """Align the adapter in `source`, prove and save it in `target`, and return metrics and curves.

    Args:
        source: of the trained adapter.
        target: of the aligned one.
        config: from params.yaml.
        memory: from params.yaml.
        recipe: of the aligned adapter.
        place: the base's folder, for a base outside the repository.
        inputs: of the stage.

    Raises:
        DataError: a file of the trained adapter is missing, or there are no pairs.
        MemoryPlanError: it would need, or needed, more memory than there is.
    """
    for name in (WEIGHTS_FILE, CONFIG_FILE):
        if not (source / name).exists():
            raise DataError(f"{source / name} is missing. {restore(source)}")
    folder = resolve(recipe["base"], place)
    rows = {"pairs": read_jsonl(PAIRS), "valid": read_jsonl(VALID)}
    max_tokens, adapter_config = recipe["max_tokens"], read_json(source / CONFIG_FILE)
    planned = preflight_pairs(folder, _adapter(adapter_config), config, memory, rows["pairs"], max_tokens=max_tokens)
    code = {path: md5 for path, md5 in inputs["deps"].items() if path.startswith(("stages/", "twin/"))}
    with open_checkpoint(inputs, FORM) as checkpoint:
        started_s = time.perf_counter()
        with within(planned, memory):
            aligned = align(folder, source, rows, config, max_tokens=max_tokens, checkpoint=checkpoint, code=code)
        training_s = time.perf_counter() - started_s
        mx.clear_cache()
        described = {**recipe, "alignment": _alignment(aligned, config)}
        _write(aligned, folder, adapter_config, described, target)
        if checkpoint is not None:
            checkpoint.remove()
    need = planned.need
    record("align", _facts(aligned, training_s) | {"planned_peak_bytes": need.total})
    if left := leftovers():
        print(left)
    seen = _seen(aligned, config)
    told = metrics(aligned.outcome, aligned.material, seen, aligned.drift, config)
    # Predicted only: what was measured differs from machine to machine, and goes to the facts.
    return told | {"predicted_bytes": asdict(need) | {"total": need.total}}, curves(aligned.outcome)


def _adapter(saved: Row) -> AdapterConfig:
    """Return what mlx-lm's adapter_config.json says of the trained adapter; nothing is dropped out."""
    made = saved["lora_parameters"]
    kind = Kind(saved["fine_tune_type"])
    return AdapterConfig(kind, made["keys"], saved["num_layers"], made["rank"], made["scale"], 0.0)


def _seen(aligned: Aligned, config: AlignConfig) -> int:
    updates = lay_out(aligned.material, config).updates[: len(aligned.outcome.steps)]
    return sum(len(batch.rows) for update in updates for batch in update)


def _alignment(aligned: Aligned, config: AlignConfig) -> dict[str, Any]:
    best, pairs = aligned.outcome.best.update, len(aligned.material.train)
    return {"method": config.method.value, "beta": config.beta, "best_update": best, "pairs": pairs}


def _write(aligned: Aligned, folder: Path, adapter_config: Row, described: Row, target: Path) -> None:
    def prove(part: Path) -> None:
        prove_reload(part, folder, aligned.material.real, aligned.adapted_logits, aligned.base_logits)

    write_adapter(target, aligned.weights, adapter_config, described, prove)


def _facts(aligned: Aligned, training_s: float) -> dict[str, object]:
    return {
        "resumed_after_update": aligned.resumed,
        "training_s": round(training_s, 3),
        "peak_array_bytes": mx.get_peak_memory(),
    }
