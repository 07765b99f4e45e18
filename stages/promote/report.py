"""The decision for people: decision, gates → decision.md."""

from collections.abc import Mapping, Sequence

from stages.promote.decision import Decision, Gate, State, Verdict
from stages.promote.document import SOURCES
from stages.promote.words import MEANING, moves

MARKS = {State.passed: "pass", State.failed: "**fail**", State.unknown: "**unknown**", State.not_applicable: "n/a"}


def markdown(
    decision: Decision, gates: Sequence[Gate], run_id: str, limits: Sequence[str], hashes: Mapping[str, str]
) -> str:
    """Return the report."""
    scope = f" ({decision.scope.value})" if decision.verdict is Verdict.promote else ""
    sections = [
        f"# {decision.verdict.value}{scope}",
        f"{MEANING[decision.verdict]} Run `{run_id[:12]}`.",
        "## Why",
        "\n".join(f"- {reason}" for reason in decision.reasons),
        "## Gates",
        _table(gates),
        "## Where the numbers come from",
        "\n".join(f"- {gate.name}: {', '.join(f'`{one}`' for one in SOURCES[gate.name])}" for gate in gates),
        "\n".join(f"- `{path}` `{sha256[:12]}`" for path, sha256 in sorted(hashes.items())),
        "## Limits",
        "\n".join(f"- {limit}" for limit in limits),
        "## Next",
        "\n".join(f"- {move}" for move in moves(gates)),
    ]
    return "\n\n".join(sections) + "\n"


def _table(gates: Sequence[Gate]) -> str:
    head = "| gate | state | value | bound | threshold | n |\n| --- | --- | --- | --- | --- | --- |\n"
    rows = (
        [gate.name, MARKS[gate.state], *map(_number, (gate.value, gate.bound, gate.threshold)), str(gate.n or "")]
        for gate in gates
    )
    return head + "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}".rstrip("0").rstrip(".")
