"""Parameters of `generate`."""

from dataclasses import dataclass
from typing import Annotated

from twin.config.fields import Bounds


@dataclass(frozen=True)
class GenerateConfig:
    """What the arms are asked, and how they decode (greedily)."""

    max_new_tokens: Annotated[int, Bounds(ge=1)]
    """A reply that has not ended by then is invalid."""
    few_shot: Annotated[int, Bounds(ge=1)]
    """Train replies shown to the prompted base (arm B1); more raise the bar."""
    test_prompts: Annotated[int | None, Bounds(ge=1)]
    """Test prompts answered, spread over the conversations; null answers all."""
