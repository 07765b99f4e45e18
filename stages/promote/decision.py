"""The decision: gates of three-valued logic → PROMOTE, HOLD or REJECT, and why.

Missing is never PASS, and a better number never worsens the decision.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from twin.config.promote import Human

NAMES: Final = (
    "provenance", "enough_data", "profile", "secrets", "rare_copy", "degenerate", "memorisation", "instrument",
    "protocol", "likelihood", "gap", "context", "champion", "human",
)  # fmt: skip
"""Every gate of a decision."""


NUMBERS: Final = ("value", "lower", "upper", "bound", "threshold", "n")
"""What a gate may rest on."""
DECIMALS: Final = 9
"""The last digits of a float are those of a processor."""


class State(Enum):
    """What a gate says; NOT_APPLICABLE only where the rules say so."""

    passed = "PASS"
    failed = "FAIL"
    unknown = "UNKNOWN"
    not_applicable = "NOT_APPLICABLE"


class Verdict(Enum):
    """What becomes of the adapter."""

    promote = "PROMOTE"
    hold = "HOLD"
    reject = "REJECT"


class Scope(Enum):
    """How far a promotion reaches."""

    champion = "champion"
    staging = "staging"
    none = "none"


@dataclass(frozen=True)
class Gate:
    """One condition of promotion with the numbers it rests on."""

    name: str
    state: State
    why: str
    """A sentence for people, with the numbers."""
    rejects: bool = False
    """A FAIL shows harm, where that of other gates only leaves the benefit unshown."""
    value: float | None = None
    bound: float | None = None
    threshold: float | None = None
    n: int | None = None
    lower: float | None = None
    upper: float | None = None
    """Of these two `bound` is the one that counts."""

    def to_json(self) -> dict[str, object]:
        """Return the gate without what it does not have."""
        numbers = {name: getattr(self, name) for name in NUMBERS}
        known = {name: round(number, DECIMALS) for name, number in numbers.items() if number is not None}
        return {"state": self.state.value, **known}


@dataclass(frozen=True)
class Decision:
    """The verdict, how far it reaches, and its reasons as sentences."""

    verdict: Verdict
    scope: Scope
    reasons: tuple[str, ...]


def decide(gates: Sequence[Gate], human: Human) -> Decision:
    """Return the decision that the gates leave.

    Harm shown rejects; anything failed or unknown holds; what is promoted without ratings goes to staging only. A gate
    that is not there is unknown.
    """
    there = {gate.name for gate in gates}
    gates = [*gates, *(Gate(name, State.unknown, "It was not judged.") for name in NAMES if name not in there)]
    harmful = [gate for gate in gates if gate.state is State.failed and gate.rejects]
    failed = [gate for gate in gates if gate.state is State.failed and not gate.rejects]
    unknown = [gate for gate in gates if gate.state is State.unknown]
    open_gates = [*harmful, *failed, *unknown]
    if open_gates:
        verdict = Verdict.reject if harmful else Verdict.hold
        return Decision(verdict, Scope.none, tuple(_reason(gate) for gate in open_gates))
    scope = Scope.staging if human is Human.waived else Scope.champion
    return Decision(Verdict.promote, scope, tuple(_reason(gate) for gate in gates))


def _reason(gate: Gate) -> str:
    return f"{gate.name} {gate.state.value}: {gate.why}"
