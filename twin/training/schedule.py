"""The learning rate of each update: warm-up, then cosine."""

import math

from twin.config.optimizer import OptimizerConfig


def learning_rate(update: int, updates: int, config: OptimizerConfig) -> float:
    """Return the rate of update 1 … `updates`: linear to the peak, then cosine to `final` × peak at the last update."""
    warmup = round(config.warmup * updates)
    if update <= warmup:
        return config.learning_rate * update / warmup
    progress = (update - warmup) / (updates - warmup)
    return config.learning_rate * (config.final + (1 - config.final) * (1 + math.cos(math.pi * progress)) / 2)
