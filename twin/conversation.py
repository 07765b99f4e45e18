"""What was said, by whom and when: turns → merged turns."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from typing import Literal

Role = Literal["person", "partner"]
"""`person` is the one whose voice is learned; `partner` is everyone who talks with them."""


@dataclass(frozen=True)
class Turn:
    """One message, or several merged ones, of one speaker."""

    id: str
    role: Role
    content: str
    created_at: datetime
    held: bool = False
    """Context only: no reply to learn from."""


def merge(turns: Iterable[Turn]) -> list[Turn]:
    """Join consecutive turns of one speaker with newlines; id and time are those of the first.

    One turn that is held back holds the joined one back.

    Merging merged turns changes nothing, so a caller may merge a conversation once and pass parts of it on.
    """
    runs = (list(run) for _, run in groupby(turns, key=lambda turn: turn.role))
    return [run[0] if len(run) == 1 else _joined(run) for run in runs]


def _joined(run: list[Turn]) -> Turn:
    return replace(
        run[0], content="\n".join(turn.content for turn in run), held=any(turn.held for turn in run)
    )  # fmt: skip
