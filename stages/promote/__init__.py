"""Decides what becomes of the adapter: metrics, recipe, base identity and ratings → decision.json and decision.md.

A function of the declared files and parameters alone; the commit, the time and the versions are added by those who
act on the decision.
"""

from dataclasses import fields, replace
from enum import Enum
from pathlib import Path
from typing import Any

from stages.promote.decision import decide
from stages.promote.document import document, limits
from stages.promote.evidence import Evidence, look_up
from stages.promote.files import ADAPTER, BASE, FURTHER, GENERATIONS, MODELS, RECIPE, inspect
from stages.promote.gates import gates
from stages.promote.human import Judged, Ratings, summarise
from stages.promote.report import markdown
from twin.config.evaluate import EvaluateConfig
from twin.config.load import load
from twin.config.promote import PromoteConfig
from twin.errors import DataError
from twin.files import canonical_json, read_json, sha256_file, sha256_text, write_json, write_text
from twin.ratings import read_sessions

EVALUATE = Path("metrics/evaluate.json")
SPLIT = Path("metrics/split.json")
INGEST = Path("metrics/ingest.json")
DECODING = Path("data/generate/decoding.json")
RATINGS = Path("data/ratings")
HASHED = (
    EVALUATE,
    SPLIT,
    RECIPE,
    BASE,
    INGEST,
    DECODING,
    MODELS,
    ADAPTER,
    *(Path(f"data/split/{name}.jsonl") for name in ("train", "valid", "cal", "test")),
    GENERATIONS,
    FURTHER,
    Path("data/generate/nll.jsonl"),
    Path("data/evaluate/rubric.json"),
    Path("data/evaluate/scores.jsonl"),
)
"""All that a decision rests on; every run writes all of them."""
DECISION = Path("metrics/decision.json")
REPORT = Path("metrics/decision.md")


def read_or_none(path: Path) -> Any:
    """Read a JSON file, an empty mapping if it is missing: the gates that need it are then UNKNOWN.

    Raises:
        DataError: the file is there and is not JSON.
    """
    return read_json(path) if path.exists() else {}


def rated(run_id: str) -> Ratings:
    """Return what people said of this run's adapter and its replies.

    Raises:
        DataError: a row of a session is malformed.
    """
    about = Judged(run_id, *(sha256_file(path) if path.exists() else "" for path in (ADAPTER, GENERATIONS)))
    return summarise(read_sessions(RATINGS), about)


def parameters(config: PromoteConfig, scoring: EvaluateConfig) -> dict[str, object]:
    """Return the parameters of scoring and deciding, and the hash of them all."""
    found = {
        f"{section}.{field.name}": _plain(getattr(values, field.name))
        for section, values in (("evaluate", scoring), ("promote", config))
        for field in fields(values)
    }
    return found | {"sha256": sha256_text(canonical_json(found))}


def main() -> None:
    """Run the stage."""
    config = load(PromoteConfig)
    evidence = Evidence(*map(read_or_none, (EVALUATE, SPLIT, RECIPE, BASE, INGEST)))
    run_id = look_up(evidence.recipe, "run", "id")
    if not isinstance(run_id, str):
        raise DataError(f"{RECIPE} names no run (run.id). Run `dvc repro align` to make it again.")
    evidence = replace(evidence, ratings=rated(run_id), files=inspect(HASHED, config.champion))
    all_gates = gates(evidence, config)
    decision = decide(all_gates, config.human)
    hashes = {str(path): sha256_file(path) for path in (*HASHED, *sorted(RATINGS.glob("*.jsonl"))) if path.exists()}
    settings = {"parameters": parameters(config, load(EvaluateConfig)), "decoding": read_or_none(DECODING)}
    write_json(DECISION, document(decision, all_gates, evidence.ratings, run_id, hashes, settings=settings))
    write_text(REPORT, markdown(decision, all_gates, run_id, limits(all_gates), hashes))


def _plain(value: object) -> object:
    return value.value if isinstance(value, Enum) else value
