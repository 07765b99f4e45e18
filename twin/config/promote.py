"""Parameters of `promote`."""

from dataclasses import dataclass
from enum import Enum
from typing import Annotated

from twin.config.fields import Bounds


class Human(Enum):
    """Whether people must have rated the twin blind."""

    required = "required"
    waived = "waived"


class Primary(Enum):
    """What a challenger must be better at than the champion."""

    likelihood = "likelihood"
    rubric = "rubric"


@dataclass(frozen=True)
class PromoteConfig:
    """The thresholds of the decision; they may be raised, not lowered: what passes then would not be a PROMOTE."""

    protocol_min: Annotated[float, Bounds(ge=2, le=3)]
    """Rubric mean that the ten prompts, and the lower bound over the test prompts, must reach."""
    bits_min: Annotated[float, Bounds(ge=0.05)]
    """Bits per token the twin must gain over the prompted base."""
    gap_min: Annotated[float, Bounds(ge=0.25, le=1)]
    """Share of the distance to the person that the twin must close over the prompted base."""
    test_prompts_min: Annotated[int, Bounds(ge=60)]
    """Fewer test prompts decide nothing."""
    human: Human
    """`waived` decides without ratings, for staging only."""
    champion: str | None
    """sha256 of the adapter now in use; null while there is none."""
    primary: Primary
    """Declared before the run: what must be better than the champion's."""
