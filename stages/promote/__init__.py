"""Decides what becomes of the adapter: metrics, recipe and base identity → decision.json and decision.md.

A function of the declared files and parameters alone; the commit, the time and the versions are added by those who
act on the decision.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stages.promote.decision import Decision, Gate, State, decide
from stages.promote.evidence import Evidence, look_up
from stages.promote.gates import gates
from stages.promote.report import markdown
from twin.config.load import load
from twin.config.promote import PromoteConfig
from twin.errors import DataError
from twin.files import read_json, sha256_file, write_json, write_text

EVALUATE = Path("metrics/evaluate.json")
SPLIT = Path("metrics/split.json")
RECIPE = Path("models/adapter/recipe.json")
BASE = Path("models/base/identity.json")
INGEST = Path("metrics/ingest.json")
HASHED = (
    EVALUATE,
    SPLIT,
    RECIPE,
    BASE,
    INGEST,
    Path("models/adapter/adapters.safetensors"),
    Path("data/split/train.jsonl"),
    Path("data/split/cal.jsonl"),
    Path("data/split/test.jsonl"),
    Path("data/generate/generations.jsonl"),
    Path("data/generate/nll.jsonl"),
    Path("data/evaluate/rubric.json"),
    Path("data/evaluate/scores.jsonl"),
)
DECISION = Path("metrics/decision.json")
REPORT = Path("metrics/decision.md")

REPRODUCE = ("make env", "dvc repro", "dvc metrics show")
STANDING_LIMITS = (
    "One adapter was judged: this says nothing about its recipe, which takes several seeds.",
    "The rubric sees register, that a reply is not an assistant's; it does not see whose it is.",
)


def read_or_none(path: Path) -> Any:
    """Read a JSON file, an empty mapping if it is missing: the gates that need it are then UNKNOWN.

    Raises:
        DataError: the file is there and is not JSON.
    """
    return read_json(path) if path.exists() else {}


def limits(all_gates: Sequence[Gate]) -> list[str]:
    """Return what the decision does not cover."""
    unknown = [gate.name for gate in all_gates if gate.state is State.unknown]
    return [*([f"Not known: {', '.join(unknown)}."] if unknown else []), *STANDING_LIMITS]


def document(decision: Decision, all_gates: Sequence[Gate], run_id: str, hashes: dict[str, str]) -> dict[str, object]:
    """Return decision.json.

    Sentences and hashes are lists, which `dvc metrics` leaves out: its tables show the states and numbers.
    """
    return {
        "decision": decision.verdict.value,
        "scope": decision.scope.value,
        "reasons": list(decision.reasons),
        "run": {"id": run_id},
        "gates": {gate.name: gate.to_json() for gate in all_gates},
        "explanations": [f"{gate.name}: {gate.why}" for gate in all_gates],
        "hashes": [{"path": path, "sha256": sha256} for path, sha256 in sorted(hashes.items())],
        "limits": limits(all_gates),
        "reproduce": list(REPRODUCE),
    }


def main() -> None:
    """Run the stage."""
    config = load(PromoteConfig)
    evidence = Evidence(*map(read_or_none, (EVALUATE, SPLIT, RECIPE, BASE, INGEST)))
    run_id = look_up(evidence.recipe, "run", "id")
    if not isinstance(run_id, str):
        raise DataError(f"{RECIPE} names no run (run.id). Run `dvc repro align` to make it again.")
    all_gates = gates(evidence, config)
    decision = decide(all_gates, config.human)
    hashes = {str(path): sha256_file(path) for path in HASHED if path.exists()}
    write_json(DECISION, document(decision, all_gates, run_id, hashes))
    write_text(REPORT, markdown(decision, all_gates, run_id, limits(all_gates), hashes))
