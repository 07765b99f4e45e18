"""Parameters of `split`."""

from dataclasses import dataclass
from typing import Annotated

from twin.config.fields import Bounds


@dataclass(frozen=True)
class SplitConfig:
    """Which conversations are learned from and which judge."""

    train: Annotated[float, Bounds(gt=0, lt=1)]
    """Share of the replies, by whole conversations, oldest first; the four shares sum to 1."""
    valid: Annotated[float, Bounds(gt=0, lt=1)]
    """Share that picks the best adapter."""
    cal: Annotated[float, Bounds(gt=0, lt=1)]
    """Share that calibrates the rubric."""
    test: Annotated[float, Bounds(gt=0, lt=1)]
    """Share, newest, that only the evaluation opens."""
    near_duplicate_ratio: Annotated[float, Bounds(gt=0, le=100)]
    """rapidfuzz ratio from which two replies are near-duplicates; lower purges more of train."""
    near_duplicate_characters: Annotated[int, Bounds(ge=0)]
    """Shorter replies are near-duplicates only when equal."""
    stock_conversations: Annotated[int, Bounds(ge=2)]
    """A reply said in this many train conversations is a stock phrase: kept everywhere, reported apart."""
    purge_share_max: Annotated[float, Bounds(gt=0, le=1)]
    """More of train purged than this is an error: the data repeat themselves."""
    reply_characters_max: Annotated[int, Bounds(ge=1)]
    """Longer replies are dropped, so that every model is judged on the same test set."""
    canaries: Annotated[int, Bounds(ge=0, le=64)]
    """Made-up secrets planted in train to see what a twin gives away; such a run is never promoted."""
    prompt_characters_max: Annotated[int | None, Bounds(ge=1)]
    """Replies to longer prompts are dropped, for a base of short context; null keeps all."""
