"""Loss on held-out replies, and when it stops falling: model → validation loss, best weights, staleness."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import mlx.core as mx
import numpy as np
from mlx import nn

from stages.train.outcome import Outcome
from stages.train.ranks import Ranks
from twin.config.train import TrainConfig
from twin.likelihood import Likelihood, nats_per_token, score
from twin.model import Split, trainable
from twin.tokens import Example
from twin.training.seeds import Purpose, derived_seed


@dataclass
class Marks:
    """How far validation has come."""

    best_subset_loss: float = math.inf
    best: float = math.inf
    """Loss on the whole split that the next improvement is measured from."""
    stale: int = 0
    """Validations since the last improvement by `min_delta`."""


class Validation:
    """A fixed subset at intervals, the whole split for what may be the best."""

    def __init__(
        self,
        model: nn.Module,
        split: Split,
        examples: Sequence[Example],
        config: TrainConfig,
        marks: Marks,
        *,
        ranks: Ranks,
    ) -> None:
        self._model = model
        self._ranks = ranks
        self._split = split
        self._min_delta = config.min_delta
        self._marks = marks
        order = np.random.default_rng(derived_seed(config.seed, Purpose.validation_subset)).permutation(len(examples))
        subset, rest = (sorted(rows.tolist()) for rows in np.split(order, [config.validate_examples]))
        self._subset = [examples[row] for row in subset]
        self._rest = [examples[row] for row in rest]

    def whole(self) -> float:
        """Return the loss on the whole split."""
        return nats_per_token([*self._score(self._subset), *self._score(self._rest)])

    def __call__(self, update: int, outcome: Outcome) -> float:
        """Validate after `update`, keep the weights in `outcome` if they are the best, and return the subset's loss."""
        mx.clear_cache()  # buffers of other shapes than the next update's
        self._marks.stale += 1
        subset = self._score(self._subset)
        subset_loss = nats_per_token(subset)
        if subset_loss < self._marks.best_subset_loss:
            self._marks.best_subset_loss = subset_loss
            self._consider(update, outcome, nats_per_token([*subset, *self._score(self._rest)]))
        return subset_loss

    def finish(self, outcome: Outcome) -> None:
        """Validate the last weights on the whole split; they may be the best."""
        update = len(outcome.steps)
        if outcome.last_update != update:
            self._consider(update, outcome, self.whole())

    def _score(self, examples: Sequence[Example]) -> list[Likelihood]:
        """Return the likelihood of each example's reply, which one of the ranks has computed."""
        if self._ranks.size == 1:
            return score(self._split, examples)
        by_length = sorted(range(len(examples)), key=lambda row: len(examples[row].tokens))
        mine = [row for _, row in self._ranks.share(by_length)]
        nats_N = np.zeros(len(examples))
        nats_N[mine] = [one.total_nats for one in score(self._split, [examples[row] for row in mine])]
        total_N = np.array(self._ranks.total(mx.array(nats_N, dtype=mx.float64)))
        return [Likelihood(float(nats), one.supervised) for nats, one in zip(total_N, examples, strict=True)]

    def _consider(self, update: int, outcome: Outcome, loss: float) -> None:
        outcome.last_loss, outcome.last_update = loss, update
        if loss < outcome.best_loss:  # never true of NaN
            outcome.best_loss, outcome.best_update = loss, update
            outcome.best_weights = trainable(self._model)
        if loss <= self._marks.best - self._min_delta:
            self._marks.best, self._marks.stale = loss, 0
