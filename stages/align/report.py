"""What preference training says of itself: outcome → progress lines, metrics/align.json, metrics/align.csv."""

import csv
import io
import math
from typing import Any

import mlx.core as mx

from stages.align.columns import COLUMNS
from stages.align.drift import Drift
from stages.align.outcome import Look, Outcome, Step, displaced
from stages.align.reference import Material
from twin.config.align import AlignConfig
from twin.progress import Eta, Progress, size_text


class Reporter:
    """Prints one line a report interval: every update on a terminal, every look elsewhere."""

    def __init__(self, config: AlignConfig, done: int) -> None:
        self._config = config
        self._eta = Eta(config.updates, done)
        self._progress = Progress()

    def __call__(self, step: Step, outcome: Outcome) -> None:
        """Report an update."""
        line = (
            f"update {step.update}/{self._config.updates}  epoch {step.epoch:.2f}  loss {step.loss:.4f}  margin "
            f"{step.margin:+.3f}{self._looked(step, outcome)}  lr {step.learning_rate:.2e}  norm "
            f"{step.gradient_norm:.3f}  peak {size_text(mx.get_peak_memory())}  {self._eta.left(step.update)} left"
        )
        if step.skipped:
            self._progress.keep(f"{line}  SKIPPED: loss or gradient is not finite")
        elif outcome.looks[-1].update == step.update:
            self._progress.keep(line)
        else:
            self._progress.show(line)

    def _looked(self, step: Step, outcome: Outcome) -> str:
        look, first = outcome.looks[-1], outcome.initial
        if look.update != step.update:
            return ""
        alarm = " DISPLACED" if displaced(look, first, self._config.displacement_max) else ""
        change = f"{look.bits - first.bits:+.4f} bits/token{alarm}"
        return f"  held out {look.accuracy:.0%}  real replies {change}  best @ {outcome.best.update}"


def curves(outcome: Outcome) -> str:
    """Return one CSV row per update; a cell is empty where nothing finite was measured."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(COLUMNS)
    looks = {look.update: (look.accuracy, look.margin, look.bits) for look in outcome.looks}
    for step in outcome.steps:
        own = (
            step.update, step.epoch, step.loss, step.margin, step.accuracy, step.learning_rate, step.gradient_norm,
        )  # fmt: skip
        values = [*own, *looks.get(step.update, ("", "", ""))]
        rows.writerow(["" if isinstance(value, float) and not math.isfinite(value) else value for value in values])
    return text.getvalue()


def metrics(outcome: Outcome, material: Material, seen: int, drift: Drift, config: AlignConfig) -> dict[str, Any]:
    """Return metrics/align.json.

    Rewards say how well the pairs are told apart, never how good the replies are: they are no gates. The alarm is
    the likelihood of the person's real replies, which preference training can lower while its rewards rise.
    """
    first, best, last = outcome.initial, outcome.best, outcome.looks[-1]
    steps = [step for step in outcome.steps if not step.skipped]
    return {
        "method": config.method.value,
        "status": outcome.status.value,
        "kept": "trained adapter" if outcome.best_weights is None else "aligned adapter",
        "updates": {
            "run": len(outcome.steps),
            "skipped": len(outcome.steps) - len(steps),
            "best": best.update,
        },
        "pairs": {"train": len(material.train), "valid": len(material.valid), "seen": seen},
        "loss": _finite(first=steps[0].loss, last=steps[-1].loss) if steps else {},
        "rewards_never_gates": {
            "accuracy": _finite(best=best.accuracy, last=last.accuracy),
            "margin": _finite(best=best.margin, last=last.margin),
        },
        "real_replies": {
            "replies": len(material.real),
            "tokens": material.real_tokens,
            "bits_per_token": _finite(before=first.bits, after=best.bits, last=last.bits),
        },
        "displacement": _displacement(outcome, config.displacement_max),
        "held_out_nats_per_reply": {
            "chosen": _finite(before=first.chosen_nats, after=best.chosen_nats, last=last.chosen_nats),
            "rejected": _finite(before=first.rejected_nats, after=best.rejected_nats, last=last.rejected_nats),
        },
        "length": drift.to_json(),
    }


def _displacement(outcome: Outcome, most: float) -> dict[str, Any]:
    looks: list[Look] = outcome.looks[1:]
    found = [look.update for look in looks if displaced(look, outcome.initial, most)]
    lost = [look.bits - outcome.initial.bits for look in looks]
    worst = {} if not lost else _finite(worst_bits_per_token=max(lost, key=lambda bits: (math.isnan(bits), bits)))
    return {"alarm": bool(found), "looks": len(looks), "displaced": len(found), "most": most, **worst}


def _finite(**values: float) -> dict[str, float]:
    return {name: value for name, value in values.items() if math.isfinite(value)}
