"""Parameters of the optimizer."""

from dataclasses import dataclass
from typing import Annotated

from twin.config.fields import Bounds


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW with warm-up and cosine decay, counted in optimizer updates."""

    learning_rate: Annotated[float, Bounds(gt=0)]
    """Peak rate; its safe range belongs to the model."""
    weight_decay: Annotated[float, Bounds(ge=0)]
    """Pull towards zero; more forgets the base less and learns slower."""
    warmup: Annotated[float, Bounds(ge=0, lt=1)]
    """Share of the updates in which the rate rises from zero."""
    final: Annotated[float, Bounds(ge=0, le=1)]
    """Rate at the last update, as a share of the peak."""
    clip: Annotated[float, Bounds(gt=0)]
    """Global gradient norm above which the update's gradient is scaled down."""
