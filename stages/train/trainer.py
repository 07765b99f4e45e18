"""One optimizer update: micro-batches → exact gradient → changed parameters.

The loss of an update is the sum of the cross-entropies of its supervised tokens divided by their number,
whatever the micro-batches and ranks: sums of gradients are accumulated and divided once.
"""

from collections.abc import Sequence
from typing import Any

import mlx.core as mx
from mlx import nn
from mlx.utils import tree_map

from stages.train.packing import pack, require_packable
from stages.train.ranks import Ranks
from twin.config.optimizer import OptimizerConfig
from twin.likelihood import Batch, collate, token_nats
from twin.model import Split
from twin.tokens import Example
from twin.training.attention import blocked_attention
from twin.training.dropout import Dropouts
from twin.training.order import MicroBatch
from twin.training.seeds import Purpose, derived_seed
from twin.training.updater import Gradients, Updater


class Trainer(Updater):
    """Updates from micro-batches of examples, some of which other ranks compute."""

    def __init__(
        self,
        model: nn.Module,
        split: Split,
        examples: Sequence[Example],
        config: OptimizerConfig,
        dropouts: Dropouts,
        *,
        packing: bool,
        ranks: Ranks,
    ) -> None:
        super().__init__(model, config)
        self._examples = examples
        self._dropouts = dropouts
        self._ranks = ranks
        self.split = split
        self._packing = packing
        if packing:
            require_packable(split, len(model.layers), examples)
        self._value_and_grad = nn.value_and_grad(
            model, lambda batch, cache: token_nats(split, batch, cache, learn=True).sum()
        )

    def update(self, micro_batches: Sequence[MicroBatch], rate: float, seed: int) -> tuple[float, float]:
        """Change the parameters once and return loss (nats per token) and gradient norm before clipping.

        Nothing changes if either is not finite.
        """
        self.model.train()
        loss, gradients = self.gradients(micro_batches, seed)
        norm = self.apply(loss, gradients, rate)
        self.model.eval()
        return loss, norm

    def gradients(self, micro_batches: Sequence[MicroBatch], seed: int) -> tuple[float, Gradients]:
        """Return the update's loss and its gradient: sums over all supervised tokens, divided by their number.

        `seed` decides what dropout drops.
        """
        parameters = self.model.trainable_parameters()
        total_nats, sums = mx.array(0.0), None
        for number, micro_batch in self._ranks.share(micro_batches):
            self._dropouts.draw(derived_seed(seed, Purpose.dropout, number))
            with blocked_attention(self.model):
                nats, gradient = self._value_and_grad(*self._collated(micro_batch))
            total_nats = total_nats + nats
            sums = gradient if sums is None else tree_map(mx.add, sums, gradient)
            mx.eval(total_nats, sums)
        # Differentiation leaves its own copies in the model.
        self.model.update(parameters)
        sums = tree_map(mx.zeros_like, parameters) if sums is None else sums
        total_nats, sums = self._ranks.total((total_nats, sums))
        tokens = sum(self._examples[row].supervised for batch in micro_batches for row in batch.rows)
        return float(total_nats.item()) / tokens, tree_map(lambda total: total / tokens, sums)

    def _collated(self, micro_batch: MicroBatch) -> tuple[Batch, Any]:
        rows = [self._examples[row] for row in micro_batch.rows]
        if not self._packing:
            return collate(rows, micro_batch.length, micro_batch.positions), None
        batch, row = pack(rows, micro_batch.length, micro_batch.positions)
        return batch, [row] * len(self.model.layers)
