"""What a run says of itself: outcome → progress lines, metrics/train.json, metrics/train.csv."""

import csv
import io
import math
from typing import Any

import mlx.core as mx

from stages.train.outcome import Outcome, Step
from twin.progress import Eta, Progress, size_text
from twin.tokens import Encoded
from twin.training.order import Plan

COLUMNS = ("update", "epoch", "loss", "valid_loss", "learning_rate", "gradient_norm")


class Reporter:
    """Prints one line a report interval: every update on a terminal, every validation elsewhere."""

    def __init__(self, updates: int, done: int = 0) -> None:
        self._updates = updates
        self._eta = Eta(updates, done)
        self._progress = Progress()

    def __call__(self, step: Step, outcome: Outcome, tokens_per_s: float) -> None:
        """Report an update."""
        line = (
            f"update {step.update}/{self._updates}  epoch {step.epoch:.2f}  loss {step.loss:.4f}  "
            f"{_valid(step, outcome)}  lr {step.learning_rate:.2e}  norm {step.gradient_norm:.3f}  "
            f"{tokens_per_s:,.0f} supervised tokens/s  "
            f"peak {size_text(mx.get_peak_memory())}  {self._eta.left(step.update)} left"
        )
        if step.skipped:
            self._progress.keep(f"{line}  SKIPPED: loss or gradient is not finite")
        elif step.valid_loss is None:
            self._progress.show(line)
        else:
            self._progress.keep(line)


def _valid(step: Step, outcome: Outcome) -> str:
    best = f"best {outcome.best_loss:.4f} @ {outcome.best_update}" if outcome.best_update else "best –"
    return best if step.valid_loss is None else f"valid {step.valid_loss:.4f}  {best}"


def curves(outcome: Outcome) -> str:
    """Return one CSV row per update; a cell is empty where nothing finite was measured."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(COLUMNS)
    for step in outcome.steps:
        values = [getattr(step, column) for column in COLUMNS]
        rows.writerow(["" if value is None or not math.isfinite(value) else value for value in values])
    return text.getvalue()


def metrics(outcome: Outcome, encoded: dict[str, Encoded], plan: Plan, adapter: dict[str, Any]) -> dict[str, Any]:
    """Return metrics/train.json. Losses are of supervised tokens only, which `masked` in their name says."""
    ran = plan.updates[: len(outcome.steps)]
    rows = [row for update in ran for batch in update for row in batch.rows]
    train = encoded["train"].examples
    finite = [step.loss for step in outcome.steps if not step.skipped]
    return {
        "status": outcome.status.value,
        "train": {"masked_nats_per_token": _finite(first=finite[0], last=finite[-1])},
        "valid": {
            "masked_nats_per_token": _finite(
                initial=outcome.initial_loss, best=outcome.best_loss, last=outcome.last_loss
            )
        },
        "updates": {
            "run": len(outcome.steps),
            "skipped": sum(step.skipped for step in outcome.steps),
            "best": outcome.best_update,
        },
        "epochs": outcome.steps[-1].epoch,
        "examples": {name: len(split.examples) for name, split in encoded.items()} | {"seen": len(rows)},
        "supervised_tokens": {name: _supervised(split) for name, split in encoded.items()}
        | {"seen": sum(train[row].supervised for row in rows)},
        "dropped": {
            name: {"reply_too_long": len(split.too_long), "context_turns": split.dropped_turns}
            for name, split in encoded.items()
        },
        "adapter": adapter,
        "padding_share": plan.padding_share,
        "shapes": plan.shapes,
    }


def _supervised(split: Encoded) -> int:
    return sum(example.supervised for example in split.examples)


def _finite(**losses: float) -> dict[str, float]:
    return {name: loss for name, loss in losses.items() if math.isfinite(loss)}
