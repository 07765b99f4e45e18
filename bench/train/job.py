"""One measurement as both sides are told it: case → job → mlx-lm's settings, the explicit equal of its YAML."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.train.cases import SETTINGS, Case
from bench.train.material import example_tokens

MIXED_TOKENS_MAX = 2048


@dataclass(frozen=True)
class Job:
    """One run of one side."""

    base: str
    rows: str
    """A folder with train.jsonl, chat rows."""
    adapter: str
    layers: int
    batch: int
    updates: int
    """All of them, warm-up included: one epoch of the rows."""
    checkpointing: bool
    everything: bool
    max_tokens: int
    seed: int
    settings: dict[str, Any]
    form: str
    """Which of our forms of a layer, where there is a choice."""


def job(case: Case, checkpointing: bool, number: int, form: str, work: Path) -> Job:
    """Return what a side is told in round `number`, which is the seed."""
    return Job(
        base=str(work / case.model.name),
        rows=str(work / case.name),
        adapter=case.adapter,
        layers=case.model.layers,
        batch=case.batch,
        updates=case.warmup + case.updates,
        checkpointing=checkpointing,
        everything=case.everything,
        # Exactly the length, where there is one: mlx-lm then pads nothing.
        max_tokens=max(example_tokens(case)) if case.inputs else MIXED_TOKENS_MAX,
        seed=number,
        settings=SETTINGS,
        form=form,
    )


def peer_settings(job: Job) -> dict[str, Any]:
    """Return what stands in mlx-lm's YAML, paths aside: every setting that changes what is computed."""
    given = job.settings
    return {
        "train": True,
        "fine_tune_type": job.adapter,
        "lora_parameters": {name: given[name] for name in ("rank", "scale", "dropout", "keys")},
        "num_layers": job.layers,
        "optimizer": "adamw",
        "optimizer_config": {"adamw": {"weight_decay": given["weight_decay"], "bias_correction": True}},
        "learning_rate": given["learning_rate"],
        "batch_size": job.batch,
        "grad_accumulation_steps": 1,
        "iters": job.updates,
        "max_seq_length": job.max_tokens,
        "mask_prompt": not job.everything,
        "grad_checkpoint": job.checkpointing,
        "steps_per_report": 1,
        "save_every": job.updates + 1,
        "seed": job.seed,
    }
