"""Parameters of `augment`."""

from dataclasses import dataclass
from enum import Enum
from typing import Annotated

from twin.config.embedder import EmbedderConfig
from twin.config.fields import Bounds


class Tags(Enum):
    """Which trajectory tag the system line carries."""

    none = "none"
    context = "context"
    shuffled = "shuffled"


class Scalar(Enum):
    """One scalar of the reading; its value is the letter in the tag."""

    commitment = "c"
    uncertainty = "u"
    transition_pressure = "p"
    recovery_margin = "r"
    phase_stiffness = "k"
    novelty = "n"
    stability = "s"


@dataclass(frozen=True)
class AugmentConfig:
    """How a reply's context becomes a prompt."""

    persona: str
    """First sentences of the system line; one line, the same in training and live."""
    tags: Tags
    """`none` leaves the situation out of the prompt; `context` tells it, at about 40 tokens; `shuffled` tells another
    reply's, the placebo that a claim for `context` has to beat."""
    shuffle_seed: int
    """Which other reply's, for `shuffled`."""
    scalars: list[Scalar]
    """Scalars in the tag, in this order; fewer are cheaper and say less."""
    decimals: Annotated[int, Bounds(ge=1, le=6)]
    """Decimals of a scalar in the tag; more tell more apart and cost tokens."""
    cold_turns: Annotated[int, Bounds(ge=2)]
    """With fewer merged turns before the reply the tag says `cold-start`: there is no trajectory to speak of."""
    window: Annotated[int, Bounds(ge=2)]
    """Merged turns before the reply that the reading sees; more remember longer and cost more."""
    context_turns: Annotated[int, Bounds(ge=1)]
    """Merged turns the prompt shows; more inform the reply and cost tokens."""
    neighbours: Annotated[int, Bounds(ge=2)]
    """k of the uncertainty scalar."""
    bins: Annotated[int, Bounds(ge=2)]
    """Angle bins of the uncertainty scalar."""
    smoothing: Annotated[int, Bounds(ge=1)]
    """Width of the moving average in transition pressure; odd."""
    embedder: EmbedderConfig
    scheduler: str
    """`local`, on this machine's cores, or a Dask cluster's address, `tcp://HOST:PORT`; the bytes are the same."""
