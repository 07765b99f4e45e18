"""Parameters of `prefer`."""

from dataclasses import dataclass
from enum import Enum
from typing import Annotated

from twin.config.fields import Bounds


class Rejected(Enum):
    """Whose reply the person's own is preferred to."""

    base = "base"
    twin = "twin"
    both = "both"


@dataclass(frozen=True)
class PreferConfig:
    """Which pairs of replies say what the person would rather have said; with `align.method: none` none are made."""

    rejected: Rejected
    """`base` is unlike the person and easily told apart; `twin`, the trained adapter, is near and teaches finer
    things; `both` asks twice."""
    pairs: Annotated[int, Bounds(ge=1)]
    """Prompts of train that are answered; more teach more and take time to answer."""
    held_out: Annotated[int, Bounds(ge=1)]
    """Prompts of valid that are answered, for the pairs that choose the best adapter."""
    max_new_tokens: Annotated[int, Bounds(ge=1)]
    """A rejected reply that has not ended by then makes no pair: its end would be learned as wrong."""
    agreement: Annotated[float, Bounds(gt=0, le=100)]
    """rapidfuzz ratio from which the two replies agree and make no pair; lower loses fine differences."""
    length_ratio: Annotated[float | None, Bounds(ge=1)]
    """Length-matched: pairs whose replies differ in tokens by more than this factor are left out; null keeps all, and
    may teach length instead of voice."""
    seed: Annotated[int, Bounds(ge=0)]
    """Which prompts."""
