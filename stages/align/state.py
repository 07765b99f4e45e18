"""All of a preference run that its inputs do not determine, as a checkpoint keeps it."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass

import mlx.core as mx

from stages.align.outcome import Look, Outcome, Status, Step
from twin.training.checkpoint import Arrays, Form, joined, parted
from twin.training.health import Health


@dataclass(frozen=True)
class State:
    """A run after an update."""

    outcome: Outcome
    health: Health
    weights: Arrays
    optimizer: Arrays

    @property
    def update(self) -> int:
        """Number of updates done, skipped ones included."""
        return len(self.outcome.steps)


def packed(state: State) -> tuple[str, Arrays]:
    """Return `state` as one JSON text and arrays by name."""
    outcome = state.outcome
    values = {
        "looks": [dataclasses.astuple(look) for look in outcome.looks],
        "steps": [dataclasses.astuple(step) for step in outcome.steps],
        "best": dataclasses.astuple(outcome.best),
        "moved": outcome.best_weights is not None,
        "status": outcome.status.value,
        "health": vars(state.health),
    }
    groups = {"weights": state.weights, "optimizer": state.optimizer, "best": outcome.best_weights or {}}
    return json.dumps(values, sort_keys=True), joined(groups)


def unpacked(text: str, arrays: Mapping[str, mx.array]) -> State:
    """Return the state that `packed` made `text` and `arrays` of."""
    values = json.loads(text)
    groups = parted(arrays, "weights", "optimizer", "best")
    outcome = Outcome(
        looks=[Look(*look) for look in values["looks"]],
        best=Look(*values["best"]),
        best_weights=groups["best"] if values["moved"] else None,
        status=Status(values["status"]),
        steps=[Step(*step) for step in values["steps"]],
    )
    return State(outcome, Health(**values["health"]), groups["weights"], groups["optimizer"])


FORM = Form(packed, unpacked)
