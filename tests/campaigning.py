"""A world of experiments that are decided beforehand: what tests of the walk run instead of DVC."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from twin.campaign.engine import Walk
from twin.campaign.journal import Journal, State
from twin.campaign.judging import Finding, Findings
from twin.campaign.queue import Campaign, parse
from twin.campaign.world import Asked, Budget, Ended, Measured

FREE = Budget()


class Killed(BaseException):
    """The campaign's process is gone, as after kill -9."""


class World:
    """Remembers what is finished, as git does, through any number of campaigns' lives."""

    def __init__(self, ends: dict[str, Ended] | None = None, ahead: dict[tuple[str, str], str] | None = None) -> None:
        self.ends = ends or {}
        """Row, or row-rung → how its run ends; all others finish."""
        self.ahead = ahead or {}
        """(reference row, compared row) → the likelihood's verdict; all others are inconclusive."""
        self.done: dict[str, Asked] = {}
        self.ran: list[str] = []
        self.limits: list[float | None] = []
        self.kill: str | None = None
        self.stalled: set[str] = set()
        self.parameters: dict[str, int] = {}
        self.p = 0.001

    def ask(self, prefix: str, overrides: Sequence[str]) -> Asked:
        return Asked(prefix, tuple(overrides), "\n".join(overrides))

    def choices(self, experiment: str, keep: Sequence[str], overrides: Sequence[str]) -> list[str]:
        return [f"{section}.of={experiment}" for section in keep]

    def is_finished(self, asked: Asked) -> bool:
        return asked.name in self.done

    def run(
        self, asked: Asked, log: Path, left_s: float | None, earlier: int | None, started: Callable[[int], None]
    ) -> Ended:
        name = self.row(asked.name)
        started(4711)
        self.ran.append(name)
        self.limits.append(left_s)
        if self.kill == name:
            self.kill = None
            raise Killed
        ended = self.ends.get(name, Ended(State.finished))
        if ended.state is State.finished:
            self.done[asked.name] = asked
        return ended

    def measured(self, experiment: str) -> Measured:
        row = self.row(experiment)
        status = "stalled" if row in self.stalled else "finished"
        return Measured(f"id of {row}", status, self.parameters.get(row, 1), {})

    def compared(self, reference: Sequence[str], compared: Sequence[str]) -> tuple[Findings, str]:
        pair = self.row(reference[0]).split("-")[0], self.row(compared[0]).split("-")[0]
        back = {"better": "worse", "worse": "better"}
        found = self.ahead.get(pair) or self.ahead.get((pair[1], pair[0]), "inconclusive")
        if pair not in self.ahead:
            found = back.get(found, found)
        p = self.p if found in back else 0.5
        return {"likelihood": Finding("likelihood", found, "+0.1", p)}, "artefact"

    @staticmethod
    def row(experiment: str) -> str:
        return experiment.partition("-")[2]


def campaign(*rows: dict[str, Any], **more: Any) -> Campaign:
    said = [{"says": "what the note says"} | row for row in rows]
    return parse({"about": "a test", "rows": said} | more, Path("queue.yaml"))


def walk(queue: Campaign, world: World, folder: Path, budget: Budget = FREE, **more: Any) -> list[dict[str, Any]]:
    return Walk(queue, world, Journal(folder), budget, lambda text: None, **more).rows()


def outcomes(rows: list[dict[str, Any]]) -> dict[str, str]:
    return {row["name"]: row["outcome"] for row in rows}
