"""The training loop: base with fresh adapter layers, plan → best adapter weights.

Everything is counted in optimizer updates.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

from mlx import nn

from stages.train.outcome import Outcome, Status, Step
from stages.train.ranks import Ranks
from stages.train.state import State, capture
from stages.train.trainer import Trainer
from stages.train.validation import Marks, Validation
from twin.config.optimizer import OptimizerConfig
from twin.config.train import TrainConfig
from twin.model import split_head
from twin.tokens import Example
from twin.training.checkpoint import Checkpoint
from twin.training.dropout import Dropouts
from twin.training.health import Health
from twin.training.interrupt import Stop, postponed
from twin.training.order import Plan
from twin.training.schedule import learning_rate
from twin.training.seeds import Purpose, derived_seed


def run(
    model: nn.Module,
    examples: Sequence[Example],
    valid: Sequence[Example],
    plan: Plan,
    *,
    dropouts: Dropouts,
    config: TrainConfig,
    optimizer: OptimizerConfig,
    ranks: Ranks,
    report: Callable[[Step, Outcome, float], None],
    checkpoint: Checkpoint[State] | None,
    resumed: State | None,
) -> Outcome:
    """Train the trainable parameters of `model` in place and return the best of them.

    Args:
        ranks: this process among those that share each update's micro-batches.
        report: called after every update with the step, the outcome so far and the seconds the update itself took.
        checkpoint: where the state is kept from time to time; with one, a first Ctrl-C waits for the update to end.
        resumed: the state to go on from.

    Raises:
        StorageError: the state could not be kept.
        KeyboardInterrupt: the run was told to stop, and its state is kept.
    """
    split = split_head(model)
    trainer = Trainer(model, split, examples, optimizer, dropouts, packing=config.packing, ranks=ranks)
    if resumed is not None:
        trainer.restore(resumed.weights, resumed.optimizer)
    health, marks = (Health(), Marks()) if resumed is None else (resumed.health, resumed.marks)
    validation = Validation(model, split, valid, config, marks, ranks=ranks)
    outcome = Outcome(initial_loss=validation.whole()) if resumed is None else resumed.outcome
    going = _Run(trainer, validation, outcome, health, marks, plan, config, optimizer, len(examples), report)
    # A rank that waits for others inside MLX takes no signal in: it must end at the first.
    with postponed() if checkpoint is not None and ranks.size == 1 else nullcontext(Stop()) as stop:
        for number in range(len(outcome.steps) + 1, len(plan.updates) + 1):
            if not going.update(number):
                break
            if checkpoint is not None and (stop.asked or checkpoint.due()):
                checkpoint.save(capture(trainer, outcome, health, marks))
            if stop.asked:
                break
    validation.finish(outcome)
    return outcome


@dataclass
class _Run:
    """A run between two updates."""

    trainer: Trainer
    validation: Validation
    outcome: Outcome
    health: Health
    marks: Marks
    plan: Plan
    config: TrainConfig
    optimizer: OptimizerConfig
    examples: int
    report: Callable[[Step, Outcome, float], None]

    def update(self, number: int) -> bool:
        """Take update `number`, validate if it is time, and say whether the run goes on after it."""
        started_s = time.perf_counter()
        updates = len(self.plan.updates)
        rate = learning_rate(number, updates, self.optimizer)
        seed = derived_seed(self.config.seed, Purpose.dropout, number)
        loss, norm = self.trainer.update(self.plan.updates[number - 1], rate, seed)
        update_s = time.perf_counter() - started_s
        diverged = self.health.diverged(loss, norm)
        due = number % self.config.validate_every == 0 or number == updates
        valid_loss = self.validation(number, self.outcome) if due and not diverged else None
        epoch = sum(len(batch.rows) for update in self.plan.updates[:number] for batch in update) / self.examples
        self.outcome.steps.append(Step(number, epoch, loss, valid_loss, rate, norm))
        self.report(self.outcome.steps[-1], self.outcome, update_s)
        if diverged:
            self.outcome.status = Status.diverged
        elif valid_loss is not None and self._stalled(number):
            self.outcome.status = Status.stalled
        elif self.marks.stale >= self.config.patience and number < updates:
            self.outcome.status = Status.early_stopped
        return self.outcome.status is Status.finished

    def _stalled(self, number: int) -> bool:
        """Whether it is time to have learned something, and nothing was: the research note's first stop rule."""
        by, fallen = self.config.learn_by, self.outcome.initial_loss - self.outcome.best_loss
        return by is not None and number >= by and fallen <= self.config.min_delta
