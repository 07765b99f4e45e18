"""What preference training came to, update by update: plain values, which a checkpoint can hold."""

import math
from dataclasses import dataclass, field
from enum import Enum

import mlx.core as mx


class Status(Enum):
    """How a run ended."""

    finished = "finished"
    diverged = "diverged"


@dataclass(frozen=True)
class Step:
    """What one update did; a skipped one changed nothing."""

    update: int
    epoch: float
    loss: float
    margin: float
    """Mean reward margin of the update's pairs, before it."""
    accuracy: float
    learning_rate: float
    gradient_norm: float
    """Before clipping."""

    @property
    def skipped(self) -> bool:
        """Whether loss or gradient were not finite."""
        return not (math.isfinite(self.loss) and math.isfinite(self.gradient_norm))


@dataclass(frozen=True)
class Look:
    """What an adapter makes of the held-out pairs and of the person's real held-out replies."""

    update: int
    accuracy: float
    """Share of pairs whose chosen reply gained more than the rejected one; no change is one half."""
    margin: float
    """Mean reward margin."""
    chosen_nats: float
    """Mean negative log-likelihood of a chosen reply."""
    rejected_nats: float
    bits: float
    """Bits per token of the real replies."""


@dataclass
class Outcome:
    """The looks are in order; the first is at the trained adapter itself, update 0."""

    looks: list[Look]
    best: Look
    best_weights: dict[str, mx.array] | None = None
    """None: the trained adapter's."""
    status: Status = Status.finished
    steps: list[Step] = field(default_factory=list)

    @property
    def initial(self) -> Look:
        """The look at the trained adapter."""
        return self.looks[0]


def displaced(look: Look, initial: Look, most: float) -> bool:
    """Whether the person's real replies lost more than `most` bits per token; what cannot be compared did."""
    return not look.bits - initial.bits <= most


def better(look: Look, best: Look, initial: Look, most: float) -> bool:
    """Whether `look` is at a better adapter than `best`.

    Of the adapters under which real replies are not displaced, the one with the highest held-out accuracy; of equal
    ones the one under which real replies are likelier; then the earlier one.
    """
    if displaced(look, initial, most):
        return False
    return (look.accuracy, -look.bits) > (best.accuracy, -best.bits)
