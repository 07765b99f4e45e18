"""What a run came to, update by update: plain values, which a checkpoint can hold."""

import math
from dataclasses import dataclass, field
from enum import Enum

import mlx.core as mx


class Status(Enum):
    """How a run ended."""

    finished = "finished"
    early_stopped = "early_stopped"
    stalled = "stalled"
    diverged = "diverged"


@dataclass(frozen=True)
class Step:
    """What one update did; a skipped one changed nothing."""

    update: int
    epoch: float
    loss: float
    valid_loss: float | None
    """On the fixed subset; None where nothing was validated."""
    learning_rate: float
    gradient_norm: float
    """Before clipping."""

    @property
    def skipped(self) -> bool:
        """Whether loss or gradient were not finite."""
        return not (math.isfinite(self.loss) and math.isfinite(self.gradient_norm))


@dataclass
class Outcome:
    """Losses are of the whole validation split, in nats per token."""

    initial_loss: float
    best_loss: float = math.inf
    best_update: int = 0
    best_weights: dict[str, mx.array] | None = None
    last_loss: float = math.nan
    """Of the weights the run ended with."""
    last_update: int = 0
    status: Status = Status.finished
    steps: list[Step] = field(default_factory=list)
