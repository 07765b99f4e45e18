"""Parameters of the memory plan."""

from dataclasses import dataclass
from typing import Annotated

from twin.config.fields import Bounds


@dataclass(frozen=True)
class MemoryConfig:
    """What training may use."""

    budget_gib: Annotated[float | None, Bounds(gt=0)]
    """Memory for training, declared so that equal inputs stay equal; a plan above it is refused. null refuses none."""
