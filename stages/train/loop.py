"""The training loop: base with fresh adapter layers, plan → best adapter weights.

Everything is counted in optimizer updates. The loss of an update is the sum of the cross-entropies of its
supervised tokens divided by their number, whatever the micro-batches: sums of gradients are accumulated and
divided once.
"""

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import mlx.core as mx
import mlx.optimizers as optim
import numpy as np
from mlx import nn
from mlx.utils import tree_map

from stages.train.dropout import Dropouts
from stages.train.order import MicroBatch, Plan
from stages.train.schedule import learning_rate
from stages.train.seeds import Purpose, derived_seed
from twin.config.optimizer import OptimizerConfig
from twin.config.train import TrainConfig
from twin.likelihood import Batch, collate, nats_per_token, score, token_nats
from twin.model import Split, split_head, trainable
from twin.tokens import Example

SKIPS_MAX = 3  # skipped updates in a row that stop the run
LOSS_RATIO_MAX = 3.0  # of the running median
EXPLODED_MAX = 5  # updates in a row above that ratio that stop the run
MEDIAN_UPDATES = 50

Gradients = Any
"""A tree of arrays shaped like the trainable parameters."""


class Status(Enum):
    """How a run ended."""

    finished = "finished"
    early_stopped = "early_stopped"
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
    """What a run came to; losses are of the whole validation split, in nats per token."""

    initial_loss: float
    best_loss: float = math.inf
    best_update: int = 0
    best_weights: dict[str, mx.array] | None = None
    last_loss: float = math.nan
    """Of the weights the run ended with."""
    last_update: int = 0
    status: Status = Status.finished
    steps: list[Step] = field(default_factory=list)


def run(
    model: nn.Module,
    examples: Sequence[Example],
    valid: Sequence[Example],
    plan: Plan,
    *,
    dropouts: Dropouts,
    config: TrainConfig,
    optimizer: OptimizerConfig,
    report: Callable[[Step, Outcome, float], None],
) -> Outcome:
    """Train the trainable parameters of `model` in place and return the best of them.

    Args:
        report: called after every update with the step, the outcome so far and the seconds the update itself took.
    """
    split = split_head(model)
    trainer, health = Trainer(model, split, examples, optimizer, dropouts), Health()
    validation = Validation(model, split, valid, config)
    outcome = Outcome(initial_loss=validation.whole())
    seen, updates = 0, len(plan.updates)
    for number, micro_batches in enumerate(plan.updates, 1):
        started_s = time.perf_counter()
        rate = learning_rate(number, updates, optimizer)
        loss, norm = trainer.update(micro_batches, rate, derived_seed(config.seed, Purpose.dropout, number))
        update_s = time.perf_counter() - started_s
        seen += sum(len(batch.rows) for batch in micro_batches)
        due = number % config.validate_every == 0 or number == updates
        diverged = health.diverged(loss, norm)
        valid_loss = validation(number, outcome) if due and not diverged else None
        outcome.steps.append(Step(number, seen / len(examples), loss, valid_loss, rate, norm))
        report(outcome.steps[-1], outcome, update_s)
        if diverged or (validation.stale >= config.patience and number < updates):
            outcome.status = Status.diverged if diverged else Status.early_stopped
            break
    validation.finish(outcome)
    return outcome


class Trainer:
    """The model's trainable parameters and the optimizer that changes them."""

    def __init__(
        self, model: nn.Module, split: Split, examples: Sequence[Example], config: OptimizerConfig, dropouts: Dropouts
    ) -> None:
        self._model = model
        self._examples = examples
        self._dropouts = dropouts
        self._clip = config.clip
        self._optimizer = optim.AdamW(
            learning_rate=config.learning_rate, weight_decay=config.weight_decay, bias_correction=True
        )
        self._value_and_grad = nn.value_and_grad(model, lambda batch: token_nats(split, batch).sum())

    def update(self, micro_batches: Sequence[MicroBatch], rate: float, seed: int) -> tuple[float, float]:
        """Change the parameters once and return loss (nats per token) and gradient norm before clipping.

        Nothing changes if either is not finite.
        """
        self._model.train()
        loss, gradients = self.gradients(micro_batches, seed)
        clipped, norm = optim.clip_grad_norm(gradients, self._clip)
        mx.eval(clipped, norm)
        if math.isfinite(loss) and math.isfinite(norm.item()):
            self._optimizer.learning_rate = rate
            self._optimizer.update(self._model, clipped)
            mx.eval(self._model.trainable_parameters(), self._optimizer.state)
        self._model.eval()
        return loss, float(norm.item())

    def gradients(self, micro_batches: Sequence[MicroBatch], seed: int) -> tuple[float, Gradients]:
        """Return the update's loss and its gradient: sums over all supervised tokens, divided by their number.

        `seed` decides what dropout drops.
        """
        parameters = self._model.trainable_parameters()
        total_nats, tokens, sums = 0.0, 0, None
        for number, micro_batch in enumerate(micro_batches):
            self._dropouts.draw(derived_seed(seed, Purpose.dropout, number))
            rows = [self._examples[row] for row in micro_batch.rows]
            nats, gradient = self._value_and_grad(self._collated(rows, micro_batch))
            sums = gradient if sums is None else tree_map(mx.add, sums, gradient)
            mx.eval(nats, sums)
            total_nats += float(nats.item())
            tokens += sum(example.supervised for example in rows)
        # Differentiation leaves its own copies in the model.
        self._model.update(parameters)
        return total_nats / tokens, tree_map(lambda total: total / tokens, sums)

    @staticmethod
    def _collated(rows: Sequence[Example], micro_batch: MicroBatch) -> Batch:
        return collate(rows, micro_batch.length, micro_batch.positions)


class Health:
    """Whether the run still learns: skipped updates in a row, and losses far above their running median."""

    def __init__(self) -> None:
        self._losses: list[float] = []
        self._skips = 0
        self._exploded = 0

    def diverged(self, loss: float, norm: float) -> bool:
        """Take in one update's loss and gradient norm; True if the run has to stop."""
        if not (math.isfinite(loss) and math.isfinite(norm)):
            self._skips += 1
            return self._skips >= SKIPS_MAX
        self._skips = 0
        if self._losses and loss > LOSS_RATIO_MAX * statistics.median(self._losses[-MEDIAN_UPDATES:]):
            self._exploded += 1
            return self._exploded >= EXPLODED_MAX
        self._exploded = 0
        self._losses.append(loss)
        return False


class Validation:
    """Loss on held-out replies: a fixed subset at intervals, the whole split for what may be the best."""

    def __init__(self, model: nn.Module, split: Split, examples: Sequence[Example], config: TrainConfig) -> None:
        self._model = model
        self._split = split
        self._min_delta = config.min_delta
        order = np.random.default_rng(derived_seed(config.seed, Purpose.validation_subset)).permutation(len(examples))
        subset, rest = (sorted(rows.tolist()) for rows in np.split(order, [config.validate_examples]))
        self._subset = [examples[row] for row in subset]
        self._rest = [examples[row] for row in rest]
        self._best_subset_loss = math.inf
        self._mark = math.inf
        self.stale = 0
        """Validations since the last improvement by `min_delta`."""

    def whole(self) -> float:
        """Return the loss on the whole split."""
        return nats_per_token([*score(self._split, self._subset), *score(self._split, self._rest)])

    def __call__(self, update: int, outcome: Outcome) -> float:
        """Validate after `update`, keep the weights in `outcome` if they are the best, and return the subset's loss."""
        mx.clear_cache()  # buffers of other shapes than the next update's
        self.stale += 1
        subset = score(self._split, self._subset)
        subset_loss = nats_per_token(subset)
        if subset_loss < self._best_subset_loss:
            self._best_subset_loss = subset_loss
            self._consider(update, outcome, nats_per_token([*subset, *score(self._split, self._rest)]))
        return subset_loss

    def finish(self, outcome: Outcome) -> None:
        """Validate the last weights on the whole split; they may be the best."""
        update = len(outcome.steps)
        if outcome.last_update != update:
            self._consider(update, outcome, self.whole())

    def _consider(self, update: int, outcome: Outcome, loss: float) -> None:
        outcome.last_loss, outcome.last_update = loss, update
        if loss < outcome.best_loss:  # never true of NaN
            outcome.best_loss, outcome.best_update = loss, update
            outcome.best_weights = trainable(self._model)
        if loss <= self._mark - self._min_delta:
            self._mark, self.stale = loss, 0
