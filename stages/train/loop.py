"""The training loop: base with fresh adapter layers, plan → best adapter weights.

Everything is counted in optimizer updates.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext

from mlx import nn

from stages.train.checkpoint import Checkpoint, State, capture, restore
from stages.train.dropout import Dropouts
from stages.train.health import Health
from stages.train.interrupt import Stop, postponed
from stages.train.order import Plan
from stages.train.outcome import Outcome, Status, Step
from stages.train.ranks import Ranks
from stages.train.schedule import learning_rate
from stages.train.seeds import Purpose, derived_seed
from stages.train.trainer import Trainer
from stages.train.validation import Marks, Validation
from twin.config.optimizer import OptimizerConfig
from twin.config.train import TrainConfig
from twin.model import split_head
from twin.tokens import Example


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
    checkpoint: Checkpoint | None,
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
        restore(resumed, trainer)
    health, marks = (Health(), Marks()) if resumed is None else (resumed.health, resumed.marks)
    validation = Validation(model, split, valid, config, marks, ranks=ranks)
    outcome = Outcome(initial_loss=validation.whole()) if resumed is None else resumed.outcome
    done, updates = len(outcome.steps), len(plan.updates)
    seen = sum(len(batch.rows) for update in plan.updates[:done] for batch in update)
    # A rank that waits for others inside MLX takes no signal in: it must end at the first.
    with postponed() if checkpoint is not None and ranks.size == 1 else nullcontext(Stop()) as stop:
        for number, micro_batches in enumerate(plan.updates[done:], done + 1):
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
            if diverged or (marks.stale >= config.patience and number < updates):
                outcome.status = Status.diverged if diverged else Status.early_stopped
                break
            if checkpoint is not None and (stop.asked or checkpoint.due()):
                checkpoint.save(capture(trainer, outcome, health, marks))
            if stop.asked:
                break
    validation.finish(outcome)
    return outcome
