"""What arms said to what a run asks: rows, in the order of the questions, and what saying them took."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mlx.core as mx

from twin.asking.arm import Row
from twin.asking.asked import Asked
from twin.asking.questions import Question
from twin.errors import ProvenanceError
from twin.files import read_jsonl, write_jsonl

ANSWERS, LIKELIHOODS, FURTHER = "generations.jsonl", "nll.jsonl", "further.jsonl"
"""Names of the files, in data/baseline and in data/generate."""


@dataclass(frozen=True)
class Said:
    """What some arms said."""

    answers: list[Row] = field(default_factory=list)
    likelihoods: list[Row] = field(default_factory=list)
    further: list[Row] = field(default_factory=list)
    """Draws of X after the first, and the base arms' replies to the rest of valid."""

    @classmethod
    def read(cls, folder: Path) -> "Said":
        """Read what `write` wrote."""
        return cls(*(read_jsonl(folder / name) for name in (ANSWERS, LIKELIHOODS, FURTHER)))

    def write(self, folder: Path) -> None:
        """Write the three files."""
        for name, rows in ((ANSWERS, self.answers), (LIKELIHOODS, self.likelihoods), (FURTHER, self.further)):
            write_jsonl(folder / name, rows)

    def __add__(self, other: "Said") -> "Said":
        return Said(self.answers + other.answers, self.likelihoods + other.likelihoods, self.further + other.further)

    def ordered(self, asked: Asked) -> "Said":
        """Return the rows in the order of the questions, then of the arms.

        Raises:
            ProvenanceError: a row answers what is not asked.
        """
        scored = {
            (task.prompt_set, task.question.id, task.reply["id"]): place
            for place, task in enumerate([*asked.held_out, *asked.extra])
        }

        def place(row: Row) -> tuple[int, str]:
            key = (row["prompt_set"], row["prompt_id"], row["reply_id"])
            if key not in scored:
                raise _foreign(row)
            return scored[key], row["arm"]

        answers, further = (in_order(some, asked.every) for some in (self.answers, self.further))
        return Said(answers, sorted(self.likelihoods, key=place), further)


def in_order(answers: Iterable[Row], asked: Iterable[Question]) -> list[Row]:
    """Return answers in the order of the questions, then of the arms, then of the draws.

    Raises:
        ProvenanceError: one answers what is not asked.
    """
    order = {(one.prompt_set, one.id): place for place, one in enumerate(asked)}

    def place(row: Row) -> tuple[int, str, int]:
        key = (row["prompt_set"], row["prompt_id"])
        if key not in order:
            raise _foreign(row)
        return order[key], row["arm"], row.get("sample", 0)

    return sorted(answers, key=place)


def _foreign(row: Row) -> ProvenanceError:
    return ProvenanceError(
        f"arm {row['arm']} answered {row['prompt_set']} {row['prompt_id']}, which this run does not ask. "
        "Let it answer again with `dvc repro`."
    )


def cost(answers: Sequence[Row], started_s: float) -> dict[str, Any]:
    """Return what answering took, for the run's log; `started_s` is of `time.perf_counter`."""
    return {
        "replies": len(answers),
        "reply_tokens": sum(row["tokens"] for row in answers),
        "answering_s": round(time.perf_counter() - started_s, 3),
        "peak_array_bytes": mx.get_peak_memory(),
    }
