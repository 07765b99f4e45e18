"""The decision for people: decision, gates → decision.md."""

from collections.abc import Mapping, Sequence

from stages.promote.decision import Decision, Gate, State, Verdict
from stages.promote.document import SOURCES

MEANING = {
    Verdict.promote: "The twin may be used.",
    Verdict.hold: "The twin is not promoted: something is unknown, or a benefit is not shown. No harm is shown.",
    Verdict.reject: "The twin is refused: harm is shown.",
}
MOVES = {
    "provenance": "Run `dvc repro` from a clean checkout, so that every file belongs to one run.",
    "enough_data": "Bring a longer export: `twin bring PATH --as NAME`, then `dvc exp run -S ingest.source=NAME`.",
    "profile": "Bring your own history (`twin bring`) and train on a real base: `dvc exp run -S model=qwen2.5-3b`.",
    "secrets": "Find the leaked text in data/generate/generations.jsonl, scrub the export and train again.",
    "rare_copy": "Train for fewer updates or at a lower rate; the twin recites.",
    "degenerate": "Read the replies with rules in data/evaluate/scores.jsonl; more training or more data may help.",
    "memorisation": "Train for fewer updates or with a smaller rank: the twin knows train replies too well.",
    "instrument": "See `instrument` in metrics/evaluate.json; until its self-test holds, rubric scores decide nothing.",
    "protocol": "Compare the replies, data/generate/generations.jsonl, with the scores, data/evaluate/scores.jsonl.",
    "likelihood": "Train on more of the person's replies, or with another adapter: `dvc exp run -S adapter=dora_r8`.",
    "gap": "Read where the twin still sounds like the base; lengths and slop are in metrics/evaluate.json.",
    "context": "See whether prompts and replies belong together in the data; show more of the conversation with "
    "augment.context_turns.",
    "champion": "Run again with the champion's adapter in place, so that both answer the same prompts.",
    "human": "Have people rate the twin blind, or decide for staging only: `dvc exp run -S promote.human=waived`.",
}
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
        "\n".join(f"- {move}" for move in _moves(gates)),
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


def _moves(gates: Sequence[Gate]) -> list[str]:
    pending = [gate for gate in gates if gate.state in (State.failed, State.unknown)]
    pending.sort(key=lambda gate: not (gate.rejects and gate.state is State.failed))
    return [MOVES[gate.name] for gate in pending] or ["Put the adapter into use."]
