"""What a session of blind ratings is, and which arm its key puts on the left."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

CANT_TELL = "cant_tell"
SIDES = ("left", "right")
SHOWN = "shown"
SCORES = range(4)


class Mode(Enum):
    """What is asked."""

    pairs = "pairs"
    identify = "identify"
    protocol = "protocol"
    prefer = "prefer"
    """Of prompts that teach; no gate counts it."""


@dataclass(frozen=True)
class Answer:
    """One answer, with what was shown where."""

    item: int
    prompt_set: str
    prompt_id: str
    arms: Mapping[str, str]
    """Side → arm; one side, `shown`, where a score is asked."""
    answer: str | int
    """A side or `cant_tell`; a score from 0 to 3."""
    repeat_of: int | None
    catch: bool
    right: str | int | None
    """The answer of a catch item, None for others."""
    seconds: float

    @property
    def counts(self) -> bool:
        """Repeats and catch items judge the rater, not the twin."""
        return self.repeat_of is None and not self.catch

    @property
    def chosen(self) -> str | int | None:
        """The arm chosen, the score given, or None: can't tell."""
        return self.arms.get(self.answer) if isinstance(self.answer, str) else self.answer


@dataclass(frozen=True)
class Session:
    """One sitting of one rater."""

    path: Path
    id: str
    rater: str
    run_id: str
    adapter_sha256: str
    generations_sha256: str
    mode: Mode
    key_sha256: str
    n_items: int
    answers: tuple[Answer, ...]
    key: str | None
    """None: the session was not ended."""
    answers_declared: int | None


def left_items(key: str, n_items: int) -> frozenset[int]:
    """Return the items that show on the left the arm whose name sorts first: half of them, as the salt orders them."""
    salt = bytes.fromhex(key)
    ordered = sorted(range(n_items), key=lambda item: hmac.digest(salt, str(item).encode(), hashlib.sha256))
    return frozenset(ordered[: (n_items + 1) // 2])
