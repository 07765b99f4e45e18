"""Parameters of `generate`."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from twin.config.fields import Bounds


@dataclass(frozen=True)
class GenerateConfig:
    """What the arms are asked, and how they decode."""

    max_new_tokens: Annotated[int, Bounds(ge=1)]
    """A reply that has not ended by then is invalid."""
    few_shot: Annotated[int, Bounds(ge=1)]
    """Train replies shown to the prompted base (arm B1); more raise the bar."""
    test_prompts: Annotated[int | None, Bounds(ge=1)]
    """Test prompts answered, spread over the conversations; null answers all."""
    temperature: Annotated[float, Bounds(ge=0, le=2)]
    """0 takes the likeliest token, which repeats best; higher draws more freely, by a seed."""
    samples: Annotated[int, Bounds(ge=1, le=32)]
    """Replies the twin draws to each prompt; from 2 on an arm more answers with the most personal of them."""
    seed: Annotated[int, Bounds(ge=0)]
    """Fixes what is drawn."""
    graph: str | None
    """Facts under data/graph that the twin answers with too (arm F), to see whether its voice bears them and whether it
    says one that it is asked for; null asks nothing."""


def contradictions(config: GenerateConfig) -> Iterator[str]:
    """Yield what cannot work together."""
    if config.samples > 1 and config.temperature == 0:
        yield f"generate.samples is {config.samples} at temperature 0: all would be equal. -S generate.temperature=0.7."
