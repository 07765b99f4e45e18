"""Parameters of the embedder in `augment`: the group `augment/embedder` chooses it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Annotated

from twin.config.fields import Bounds


class Embedder(Enum):
    """What turns a turn into a state vector."""

    hashing = "hashing"
    minilm = "minilm"
    states = "states"


@dataclass(frozen=True)
class EmbedderConfig:
    """What makes states of turns; independent of the base, so that every base sees the same rows."""

    kind: Embedder
    """`hashing` needs no model and is the same on every machine; `minilm` knows meaning; `states` are those of an MLX
    model, which cost most."""
    dimensions: Annotated[int | None, Bounds(ge=8)]
    """Width of hashed states; wider ones collide less. A model has its own width: null."""
    id: str | None
    """Name of the model in the recipe; the hub's repository where `folder` is null."""
    revision: str | None
    """Commit on the hub, 40 hex digits; a name that moves is refused."""
    folder: str | None
    """Folder with the model's files, instead of the hub."""
    tokens_max: Annotated[int | None, Bounds(ge=8)]
    """Tokens that the model reads at a time; longer turns are read in pieces."""


def contradictions(config: EmbedderConfig) -> Iterator[str]:
    """Yield what in the embedder's parameters cannot work together."""
    kind, section = config.kind.value, "augment.embedder"
    model = {"id": config.id, "tokens_max": config.tokens_max}
    absent = ["dimensions"] if config.dimensions is None else []
    files = model | {"revision": config.revision, "folder": config.folder}
    foreign = [name for name, value in files.items() if value is not None]
    if config.kind is not Embedder.hashing:
        absent = [name for name, value in model.items() if value is None]
        foreign = ["dimensions"] if config.dimensions is not None else []
    yield from (f"{section}.{name} is null; {kind} needs it. Choose -S augment/embedder={kind}." for name in absent)
    yield from (f"{section}.{name} is set, and {kind} has none; it must be null." for name in foreign)
    hub = config.kind is not Embedder.hashing and config.folder is None
    if hub and not re.fullmatch(r"[0-9a-f]{40}", config.revision or ""):
        yield (
            f"{section}.revision is {config.revision}; a hub model needs its commit, 40 hex digits: a name can move. "
            f"Or name a folder: -S {section}.folder=PATH."
        )
