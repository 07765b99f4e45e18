"""Parameters of `ingest.cleaning`."""

from dataclasses import dataclass
from typing import Annotated

from twin.config.fields import Bounds


@dataclass(frozen=True)
class CleaningConfig:
    """Which rows nobody said, and which turns of the person are no example of their voice."""

    noise_prefixes: list[str]
    """Starts of what programs write in a speaker's name; more catch more noise, and a common start catches speech."""
    machine_share: Annotated[float, Bounds(gt=0, le=1)]
    """Share of a text in logs, code or data from which it is held back; lower also loses the words around a paste."""
    quoted_share: Annotated[float, Bounds(gt=0, le=1)]
    """Share of a text in words of the partner from which it is held back; lower also loses answers to a quotation."""
    duplicate_characters: Annotated[int, Bounds(ge=1)]
    """Shorter texts may be said again; a lower limit takes the person's stock phrases for pasted templates."""
    similarity: Annotated[float | None, Bounds(gt=50, le=100)]
    """rapidfuzz ratio from which a long text is a copy of an earlier one; lower loses variations; null is off."""
    characters_min: Annotated[int, Bounds(ge=1)]
    """Shorter replies are held back; 1 keeps all: short answers are voice, and many of them make a twin terse."""
    languages: list[str]
    """Two-letter codes of the languages to learn; texts surely in another are held back; empty keeps all."""
    long_form_characters: Annotated[int, Bounds(ge=1)]
    """Replies of this length are marked as long; they are kept, as thin data need each of them."""
