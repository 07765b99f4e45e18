"""Parameters of `base`: the group `model` chooses it."""

from dataclasses import dataclass
from enum import Enum
from typing import Annotated

from twin.config.fields import Bounds


class Origin(Enum):
    """Where the base's weights come from."""

    repository = "repository"
    folder = "folder"
    hub = "hub"


@dataclass(frozen=True)
class ModelConfig:
    """The base model."""

    id: str
    """Name in recipes and reports; for `hub` the repository to download."""
    origin: Origin
    """`repository`: a folder of this project; `folder`: an MLX model folder elsewhere; `hub`: downloaded."""
    folder: str | None
    """The folder, for `repository` (relative) and `folder`."""
    revision: str | None
    """Commit on the hub, 40 hex digits; a name that moves is refused."""
    fixture: bool
    """A stand-in that shows the machinery and can never be promoted."""
    learning_rate_min: Annotated[float, Bounds(gt=0)]
    """Below it, training this base is known to be too slow."""
    learning_rate_max: Annotated[float, Bounds(gt=0)]
    """Above it, training this base is known to diverge."""
