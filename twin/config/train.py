"""Parameters of `train`."""

from dataclasses import dataclass
from typing import Annotated

from twin.config.fields import Bounds


@dataclass(frozen=True)
class TrainConfig:
    """How long, in what portions, and when to stop."""

    updates: Annotated[int, Bounds(ge=1)]
    """Optimizer updates; epochs follow."""
    batch: Annotated[int, Bounds(ge=1)]
    """Examples in a micro-batch; more is faster and needs memory, and changes no gradient."""
    accumulate: Annotated[int, Bounds(ge=1)]
    """Micro-batches in an update; batch × accumulate examples make one update."""
    packing: bool
    """Put the examples of a micro-batch into one row instead of padding each; changes no gradient."""
    ranks: Annotated[int, Bounds(ge=1)]
    """Processes that share an update's micro-batches; their sums are added, so the update stays the same."""
    max_tokens: Annotated[int, Bounds(ge=16)]
    """Longest example; longer ones lose their oldest context turns."""
    checkpointing: bool
    """Recompute activations in the backward pass: less memory, more time."""
    validate_every: Annotated[int, Bounds(ge=1)]
    """Updates between validations."""
    validate_examples: Annotated[int, Bounds(ge=1)]
    """Size of the fixed subset for interim validations; the whole split decides what is best."""
    patience: Annotated[int, Bounds(ge=1)]
    """Validations without improvement after which training stops."""
    min_delta: Annotated[float, Bounds(ge=0)]
    """Improvement of the validation loss, in nats per token, that counts."""
    learn_by: Annotated[int | None, Bounds(ge=1)]
    """Update from which the next validation ends a run whose loss has not fallen below the base's; null ends none."""
    seed: Annotated[int, Bounds(ge=0)]
    """Seed of the adapter's initial weights, the order and the dropout."""
