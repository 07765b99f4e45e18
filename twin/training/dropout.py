"""Dropout that is told what to drop: one key per adapter layer and micro-batch, no global random state.

mlx-lm's adapter layers draw their masks from MLX's global state. Under checkpointing a block runs again in the
backward pass and would draw other masks than its forward pass did: the gradient of another function.
"""

import mlx.core as mx
from mlx import nn


class KeyedDropout(nn.Module):
    """Drops elements with probability `rate` while training, as its key decides."""

    def __init__(self, rate: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._kept = 1 - rate
        self._key = mx.random.key(0)

    def __call__(self, x: mx.array) -> mx.array:
        """Return `x` with dropped elements at zero and the others scaled up."""
        if not self.training:
            return x
        return mx.random.bernoulli(self._kept, x.shape, key=self._key) * x * (1 / self._kept)


class Dropouts:
    """The dropout of all adapter layers of a model."""

    def __init__(self, model: nn.Module, rate: float) -> None:
        adapted = [module for _, module in model.named_modules() if "lora_a" in module] if rate > 0 else []
        self._layers = [KeyedDropout(rate) for _ in adapted]
        for module, dropout in zip(adapted, self._layers, strict=True):
            module.dropout = dropout.train(model.training)

    def draw(self, seed: int) -> None:
        """Decide what the next forward pass drops, and its recomputation."""
        keys = mx.random.split(mx.random.key(seed), max(len(self._layers), 1))
        for layer, key in zip(self._layers, keys, strict=False):
            layer._key = key
