"""What terminal and server ask of a live twin, and what they get: messages → pieces, then what is behind them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from threading import Event
from typing import Protocol

from twin.prompt import Message


class Action(Enum):
    """What may be done with a reply."""

    auto = "auto"
    """It may be sent as it is."""
    draft = "draft"
    """A person looks at it first."""
    abstain = "abstain"
    """The twin has no reply it would stand by."""


@dataclass(frozen=True)
class Options:
    """How one reply is made."""

    max_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    stop: tuple[str, ...] = ()
    adapter: str | None = None
    """Name of a loaded adapter; None lets the routes choose."""
    facts: bool = True
    """Whether the graph is asked."""
    conversation: str | None = None
    """Whose turns these are, for the limit on automatic replies."""


@dataclass(frozen=True)
class Behind:
    """What lies behind a reply."""

    run_id: str
    adapter: str
    tag: str
    """The trajectory tag of the system line; empty where the recipe wants none."""
    facts: tuple[str, ...]
    graph: str
    """`ok`, `off`, or why there are no facts."""
    confidence: float | None
    """Calibrated probability, 0 to 1, that a person would let the reply stand; None without calibration."""
    action: Action
    reason: str
    finish: str
    """`stop` or `length`."""
    prompt_tokens: int
    cached_tokens: int
    """Of the prompt, taken from the kept keys and values."""
    reply_tokens: int
    first_token_s: float
    tokens_per_s: float


class Answerer(Protocol):
    """A loaded twin; one reply at a time, by one thread at a time."""

    def models(self) -> Sequence[str]:
        """Return the names that a client may ask for: the adapters', the default first."""
        ...

    def answer(self, messages: Sequence[Message], options: Options, cancelled: Event) -> Iterator[str | Behind]:
        """Yield the reply in pieces, an empty one where it is whole, then once what lies behind it.

        Ends early when `cancelled` is set.

        Args:
            messages: roles user and assistant, the last a user's; a system message is an error of the client's, since
                the recipe writes that line.
            options: how the reply is made.
            cancelled: set by whoever no longer wants the reply.

        Raises:
            DataError: the messages are no conversation to answer.
            ModelError: prompt and reply do not fit into the model's context.
        """
        ...
