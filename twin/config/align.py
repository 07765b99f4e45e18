"""Parameters of `align`."""

from dataclasses import dataclass
from enum import Enum
from typing import Annotated

from twin.config.fields import Bounds
from twin.config.optimizer import OptimizerConfig


class Method(Enum):
    """How the trained adapter is aligned further."""

    none = "none"
    dpo = "dpo"


@dataclass(frozen=True)
class AlignConfig:
    """What happens to the adapter after supervised training; with `none` all but the method rests."""

    method: Method
    """`none` passes the adapter through; `dpo` goes on training it on the pairs of `prefer`."""
    beta: Annotated[float, Bounds(gt=0)]
    """Strength of the pull towards the trained adapter; lower moves further from it for the same preference."""
    optimizer: OptimizerConfig
    """As in supervised training, at about a tenth of its rate; weight decay would pull towards the base, not towards
    the trained adapter."""
    updates: Annotated[int, Bounds(ge=1)]
    """Optimizer updates; more than an epoch soon pushes down what the person says."""
    batch: Annotated[int, Bounds(ge=1)]
    """Pairs in a micro-batch, each two rows; more is faster and needs memory, and changes no gradient."""
    accumulate: Annotated[int, Bounds(ge=1)]
    """Micro-batches in an update; batch × accumulate pairs make one update."""
    checkpointing: bool
    """Recompute activations in the backward pass: less memory, more time."""
    validate_every: Annotated[int, Bounds(ge=1)]
    """Updates between looks at the held-out pairs and replies; rarer ones miss the best adapter."""
    displacement_max: Annotated[float, Bounds(ge=0)]
    """Bits per token that the person's real held-out replies may lose; an adapter that loses more is never kept."""
    seed: Annotated[int, Bounds(ge=0)]
    """Seed of the order."""
