"""Parameters of `ingest`."""

from dataclasses import dataclass
from enum import Enum


class Speaker(Enum):
    """What a raw role stands for."""

    person = "person"
    partner = "partner"
    drop = "drop"


@dataclass(frozen=True)
class IngestConfig:
    """Which export is read and who in it is the person."""

    source: str
    """Folder in data/raw/, as named by `twin bring --as`."""
    roles: dict[str, Speaker]
    """Raw role → person (the voice to learn), partner, or drop. Every role in the data must be named."""
