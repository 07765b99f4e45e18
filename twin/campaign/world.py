"""What the walk asks of the world, and what it gets: composed, run and measured experiments; a budget."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from twin.campaign.journal import State
from twin.campaign.judging import Findings

Tree = dict[str, Any]
JOULES_PER_KWH = 3.6e6


@dataclass(frozen=True)
class Asked:
    """An experiment by what it is asked to be; its name holds the hash of that."""

    name: str
    overrides: tuple[str, ...]
    params: str
    """Text of params.yaml."""


@dataclass(frozen=True)
class Ended:
    """How a process ended."""

    state: State
    why: str = ""


@dataclass(frozen=True)
class Measured:
    """What a finished experiment says of itself."""

    run_id: str
    status: str
    """Of the training."""
    parameters: int
    facts: Tree
    """What the table shows."""


class Experiments(Protocol):
    """The world, as the walk needs it."""

    def ask(self, prefix: str, overrides: Sequence[str]) -> Asked:
        """Compose what a run would be, and name it."""

    def choices(self, experiment: str, keep: Sequence[str], overrides: Sequence[str]) -> list[str]:
        """Return the overrides that, after `overrides`, make the sections `keep` those of an experiment."""

    def is_finished(self, asked: Asked) -> bool:
        """Tell whether exactly this was run to its end."""

    def run(
        self, asked: Asked, log: Path, left_s: float | None, earlier: int | None, started: Callable[[int], None]
    ) -> Ended:
        """Run it; `earlier` is the group of a process that may still run, `started` is told the group."""

    def measured(self, experiment: str) -> Measured:
        """Read a finished experiment."""

    def compared(self, reference: Sequence[str], compared: Sequence[str]) -> tuple[Findings, str]:
        """Return the paired tests of two sides, seeds together, and what they speak of."""


@dataclass(frozen=True)
class Budget:
    """What all runs of a campaign together may take."""

    hours: float | None = None
    kwh: float | None = None
    watts: float | None = None

    def left_s(self, spent_s: float) -> float | None:
        """Return the wall time left, None where nothing limits it."""
        limits = [self.hours * 3600] if self.hours is not None else []
        if self.kwh is not None and self.watts is not None:
            limits.append(self.kwh * JOULES_PER_KWH / self.watts)
        return min(limits) - spent_s if limits else None
