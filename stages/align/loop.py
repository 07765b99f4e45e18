"""The loop of preference training: trained adapter, pairs → the best adapter that keeps the person's replies likely.

Everything is counted in optimizer updates.
"""

import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

from mlx import nn

from stages.align.outcome import Look, Outcome, Status, Step, better
from stages.align.pairs import pair_nats
from stages.align.reference import Material, Reference
from stages.align.state import State
from stages.align.trainer import PairTrainer, accuracy
from twin.config.align import AlignConfig
from twin.likelihood import score
from twin.model import Split, split_head, trainable
from twin.training.checkpoint import Checkpoint
from twin.training.health import Health
from twin.training.interrupt import Stop, postponed
from twin.training.order import Plan, plan
from twin.training.schedule import learning_rate

LOSS_AT_REST = math.log(2)
"""Of a pair about which the adapter says what the reference says."""

Report = Callable[[Step, Outcome], None]


def lay_out(material: Material, config: AlignConfig) -> Plan:
    """Return which pairs make which update."""
    inputs, supervised = zip(*((pair.inputs, pair.supervised) for pair in material.train), strict=True)
    return plan(inputs, supervised, config)


def first_look(material: Material, reference: Reference) -> Look:
    """Return the look at the trained adapter, which prefers nothing to itself."""
    chosen, rejected = reference.valid.mean(axis=0).tolist()
    return Look(0, 0.5, 0.0, chosen, rejected, material.bits(reference.real_nats))


def run(
    model: nn.Module,
    material: Material,
    reference: Reference,
    config: AlignConfig,
    *,
    report: Report,
    checkpoint: Checkpoint[State] | None = None,
    resumed: State | None = None,
) -> Outcome:
    """Train the trainable parameters of `model` in place and return the best of them.

    Args:
        model: with the trained adapter on it.
        material: pairs and replies.
        reference: what the trained adapter makes of them.
        config: from params.yaml.
        report: called after every update.
        checkpoint: where the state is kept from time to time; with one, a first Ctrl-C waits for the update to end.
        resumed: the state to go on from.

    Raises:
        StorageError: the state could not be kept.
        KeyboardInterrupt: the run was told to stop, and its state is kept.
    """
    split, laid_out = split_head(model), lay_out(material, config)
    trainer = PairTrainer(model, split, material.train, reference.train, config)
    start = first_look(material, reference)
    outcome, health = Outcome([start], start), Health()
    if resumed is not None:
        trainer.restore(resumed.weights, resumed.optimizer)
        outcome, health = resumed.outcome, resumed.health
    going = _Run(trainer, split, material, reference, config, laid_out, outcome, health, report)
    with postponed() if checkpoint is not None else nullcontext(Stop()) as stop:
        for number in range(len(outcome.steps) + 1, len(laid_out.updates) + 1):
            if not going.update(number):
                break
            if checkpoint is not None and (stop.asked or checkpoint.due()):
                checkpoint.save(State(outcome, health, *trainer.arrays()))
            if stop.asked:
                break
    return outcome


@dataclass
class _Run:
    """A run between two updates."""

    trainer: PairTrainer
    split: Split
    material: Material
    reference: Reference
    config: AlignConfig
    plan: Plan
    outcome: Outcome
    health: Health
    report: Report

    def update(self, number: int) -> bool:
        """Take update `number`, look if it is time, and say whether the run goes on after it."""
        updates = self.plan.updates
        rate = learning_rate(number, len(updates), self.config.optimizer)
        learned, norm = self.trainer.update(updates[number - 1], rate)
        # A loss far below that at rest is what is wanted; its median must not make the next pair an explosion.
        diverged = self.health.diverged(max(learned.loss, LOSS_AT_REST), norm)
        seen = sum(len(batch.rows) for update in updates[:number] for batch in update)
        epoch = seen / len(self.material.train)
        step = Step(number, epoch, learned.loss, learned.margin, learned.accuracy, rate, norm)
        self.outcome.steps.append(step)
        if diverged:
            self.outcome.status = Status.diverged
        elif number % self.config.validate_every == 0 or number == len(updates):
            self._look(number)
        self.report(step, self.outcome)
        return not diverged

    def _look(self, number: int) -> None:
        nats = pair_nats(self.split, self.material.valid)
        gained = self.reference.valid - nats
        margins_N = self.config.beta * (gained[:, 0] - gained[:, 1])
        real_nats = sum(one.total_nats for one in score(self.split, self.material.real))
        chosen, rejected = nats.mean(axis=0).tolist()
        margin = float(margins_N.mean())
        look = Look(number, accuracy(margins_N), margin, chosen, rejected, self.material.bits(real_nats))
        outcome = self.outcome
        outcome.looks.append(look)
        if better(look, outcome.best, outcome.initial, self.config.displacement_max):
            outcome.best, outcome.best_weights = look, trainable(self.trainer.model)
