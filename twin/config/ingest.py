"""Parameters of `ingest`."""

from dataclasses import dataclass
from enum import Enum

from twin.config.cleaning import CleaningConfig


class Speaker(Enum):
    """What a raw role or an author stands for."""

    person = "person"
    partner = "partner"
    drop = "drop"


class Damaged(Enum):
    """What becomes of a text that is not as it was written: cut by the dashboard, or other than its hash says."""

    refuse = "refuse"
    drop = "drop"
    keep = "keep"


@dataclass(frozen=True)
class ForgetConfig:
    """Who and what is removed before anything is stored."""

    conversations: list[str]
    """Ids of conversations."""
    authors: list[str]
    """Names of authors, compared in lower case; all they wrote goes."""
    dates: list[str]
    """Intervals `2025-01-01/2025-01-31`, both days included, in UTC."""


@dataclass(frozen=True)
class IngestConfig:
    """Which export is read, who in it is the person, and what of it is fit to learn from."""

    source: str
    """Folder in data/raw/, as named by `twin bring --as`."""
    roles: dict[str, Speaker]
    """Raw role → person (the voice to learn), partner, or drop. Every role in the data must be named, or `*`."""
    authors: dict[str, Speaker]
    """Author → speaker, for group chats; when not empty it decides instead of the role. `*` is everybody else."""
    damaged: Damaged
    """refuse stops at the first cut text; drop counts and loses it; keep learns from half a text."""
    forget: ForgetConfig
    phone_region: str | None
    """Two-letter region whose telephone numbers are replaced, such as DE; null leaves numbers alone."""
    cleaning: CleaningConfig
