"""All of a training run that its inputs do not determine, as a checkpoint keeps it."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass

import mlx.core as mx

from stages.train.outcome import Outcome, Status, Step
from stages.train.trainer import Trainer
from stages.train.validation import Marks
from twin.training.checkpoint import Arrays, Form, joined, parted
from twin.training.health import Health


@dataclass(frozen=True)
class State:
    """A run after an update: plain values, trainable weights and the optimizer's arrays, each by name."""

    outcome: Outcome
    health: Health
    marks: Marks
    weights: Arrays
    optimizer: Arrays

    @property
    def update(self) -> int:
        """Number of updates done, skipped ones included."""
        return len(self.outcome.steps)


def capture(trainer: Trainer, outcome: Outcome, health: Health, marks: Marks) -> State:
    """Return the state of a run between two updates; it holds until the next one."""
    return State(outcome, health, marks, *trainer.arrays())


def packed(state: State) -> tuple[str, Arrays]:
    """Return `state` as one JSON text and arrays by name; NaN and infinities are Python's `NaN` and `Infinity`."""
    outcome = {**vars(state.outcome), "status": state.outcome.status.value}
    outcome |= {"steps": [dataclasses.astuple(step) for step in state.outcome.steps]}
    best = outcome.pop("best_weights")
    values = {"outcome": outcome, "health": vars(state.health), "marks": vars(state.marks), "best": best is not None}
    arrays = joined({"weights": state.weights, "optimizer": state.optimizer, "best": best or {}})
    return json.dumps(values, sort_keys=True), arrays


def unpacked(text: str, arrays: Mapping[str, mx.array]) -> State:
    """Return the state that `packed` made `text` and `arrays` of."""
    values = json.loads(text)
    groups = parted(arrays, "weights", "optimizer", "best")
    outcome = values["outcome"] | {
        "status": Status(values["outcome"]["status"]),
        "steps": [Step(*step) for step in values["outcome"]["steps"]],
        "best_weights": groups["best"] if values["best"] else None,
    }
    state = Health(**values["health"]), Marks(**values["marks"])
    return State(Outcome(**outcome), *state, groups["weights"], groups["optimizer"])


FORM = Form(packed, unpacked)
