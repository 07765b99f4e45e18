"""Parameters of the adapter."""

from dataclasses import dataclass
from enum import Enum
from typing import Annotated

from twin.config.fields import Bounds


class Kind(Enum):
    """LoRA adds a low-rank product; DoRA also learns each row's magnitude."""

    lora = "lora"
    dora = "dora"


@dataclass(frozen=True)
class AdapterConfig:
    """What is learned."""

    kind: Kind
    """DoRA learns more per parameter and costs more time and memory."""
    keys: list[str]
    """Linear layers that are adapted, as named inside a transformer block."""
    layers: Annotated[int | None, Bounds(ge=1)]
    """Adapted blocks, counted from the last; null adapts all."""
    rank: Annotated[int, Bounds(ge=1)]
    """Width of the low-rank product; more fits more and overfits sooner."""
    scale: Annotated[float, Bounds(gt=0)]
    """Factor of the product, alpha / rank; fixed while the rank changes."""
    dropout: Annotated[float, Bounds(ge=0, lt=1)]
    """Share of adapter inputs dropped in training."""

    @property
    def alpha(self) -> float:
        """Alpha of the LoRA paper: scale × rank, never configured."""
        return self.scale * self.rank
