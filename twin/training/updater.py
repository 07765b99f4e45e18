"""Changes a model's trainable parameters by a gradient: clipped, guarded, AdamW."""

import math
from typing import Any

import mlx.core as mx
import mlx.optimizers as optim
from mlx import nn
from mlx.utils import tree_flatten, tree_unflatten

from twin.config.optimizer import OptimizerConfig
from twin.model import trainable
from twin.training.checkpoint import Arrays

Gradients = Any
"""A tree of arrays shaped like the trainable parameters."""


class Updater:
    """A model and the optimizer that changes its trainable parameters."""

    def __init__(self, model: nn.Module, config: OptimizerConfig) -> None:
        self.model = model
        self.optimizer = optim.AdamW(
            learning_rate=config.learning_rate, weight_decay=config.weight_decay, bias_correction=True
        )
        self._clip = config.clip

    def apply(self, loss: float, gradients: Gradients, rate: float) -> float:
        """Change the parameters once and return the gradient's norm before clipping.

        Nothing changes if loss or norm is not finite.
        """
        clipped, norm = optim.clip_grad_norm(gradients, self._clip)
        mx.eval(clipped, norm)
        if math.isfinite(loss) and math.isfinite(norm.item()):
            self.optimizer.learning_rate = rate
            self.optimizer.update(self.model, clipped)
            mx.eval(self.model.trainable_parameters(), self.optimizer.state)
        return float(norm.item())

    def arrays(self) -> tuple[Arrays, Arrays]:
        """Return the trainable weights and the optimizer's arrays by name; they hold until the next update."""
        return trainable(self.model), dict(tree_flatten(self.optimizer.state))

    def restore(self, weights: Arrays, optimizer: Arrays) -> None:
        """Go on from what `arrays` returned."""
        assert weights.keys() == trainable(self.model).keys(), "equal keys mean an equal model"
        self.model.load_weights(list(weights.items()), strict=False)
        self.optimizer.state = tree_unflatten(list(optimizer.items()))
