"""One update of preference training: micro-batches of pairs → exact gradient → changed parameters.

The loss of an update is the sum of its pairs' losses divided by their number, whatever the micro-batches: sums of
gradients are accumulated and divided once. B pairs, P supervised positions.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import mlx.core as mx
import numpy as np
from mlx import nn
from mlx.utils import tree_map

from stages.align.loss import PairNats, losses
from stages.align.pairs import Nats, Pair
from twin.config.align import AlignConfig
from twin.likelihood import Batch, collate, token_nats
from twin.model import Split
from twin.training.attention import blocked_attention
from twin.training.order import MicroBatch
from twin.training.updater import Gradients, Updater


@dataclass(frozen=True)
class Learned:
    """What an update's pairs came to before it."""

    loss: float
    margin: float
    accuracy: float


class PairTrainer(Updater):
    """Updates from micro-batches of pairs."""

    def __init__(
        self, model: nn.Module, split: Split, pairs: Sequence[Pair], reference: Nats, config: AlignConfig
    ) -> None:
        """Take the nats of `pairs` under the reference, (N, 2)."""
        super().__init__(model, config.optimizer)
        self._pairs = pairs
        self._reference = reference
        self._beta = config.beta

        def loss(batch: Batch, owners_2B_P: mx.array, reference: PairNats) -> tuple[mx.array, mx.array]:
            nats_2B = (owners_2B_P * token_nats(split, batch, learn=True)).sum(axis=1)
            losses_B, margins_B = losses(PairNats(*mx.split(nats_2B, 2)), reference, self._beta)
            return losses_B.sum(), margins_B

        self._value_and_grad = nn.value_and_grad(model, loss)

    def update(self, micro_batches: Sequence[MicroBatch], rate: float) -> tuple[Learned, float]:
        """Change the parameters once and return what was learned and the gradient norm before clipping.

        Nothing changes if loss or norm is not finite.
        """
        self.model.train()
        learned, gradients = self.gradients(micro_batches)
        norm = self.apply(learned.loss, gradients, rate)
        self.model.eval()
        return learned, norm

    def gradients(self, micro_batches: Sequence[MicroBatch]) -> tuple[Learned, Gradients]:
        """Return the update's loss and its gradient: sums over all pairs, divided by their number."""
        parameters = self.model.trainable_parameters()
        total, sums, margins = mx.array(0.0), None, []
        for micro_batch in micro_batches:
            with blocked_attention(self.model):
                (loss, margins_B), gradient = self._value_and_grad(*self._collated(micro_batch))
            total, sums = total + loss, gradient if sums is None else tree_map(mx.add, sums, gradient)
            margins.append(margins_B)
            mx.eval(total, sums, margins_B)
        # Differentiation leaves its own copies in the model.
        self.model.update(parameters)
        margins_N = np.concatenate([np.array(part, dtype=np.float64) for part in margins])
        count = len(margins_N)
        learned = Learned(float(np.array(total)) / count, float(margins_N.mean()), accuracy(margins_N))
        return learned, tree_map(lambda sum_: sum_ / count, sums)

    def _collated(self, micro_batch: MicroBatch) -> tuple[Batch, mx.array, PairNats]:
        rows = list(micro_batch.rows)
        pairs = [self._pairs[row] for row in rows]
        examples = [*(pair.chosen for pair in pairs), *(pair.rejected for pair in pairs)]
        owner_P = np.repeat(np.arange(len(examples)), [example.supervised for example in examples])
        owners_2B_P = np.zeros((len(examples), micro_batch.positions), dtype=np.float32)
        owners_2B_P[owner_P, np.arange(len(owner_P))] = 1
        reference = PairNats(*(mx.array(nats_B.astype(np.float32)) for nats_B in self._reference[rows].T))
        return collate(examples, micro_batch.length, micro_batch.positions), mx.array(owners_2B_P), reference


def accuracy(margins_N: Nats) -> float:
    """Return the share of positive margins; one of zero counts half, as a coin would."""
    return float(np.mean((margins_N > 0) + 0.5 * (margins_N == 0)))
