"""Every finished experiment of this repository: refs/exps → parameters, how they were judged, scores with bounds."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from twin.compare.stored import flat, require_locked
from twin.errors import DataError, ProvenanceError
from twin.files import canonical_json, sha256_text
from twin.runs import Run, git

SCORES = {"rubric": "rubric 0–3 over test prompts", "bits": "bits per token gained over the prompted base"}
JUDGED_BY = ("split", "generate", "evaluate")
"""Sections that make two runs' scores mean the same."""


@dataclass(frozen=True)
class Score:
    """A measured value with its one-sided 95 % bounds."""

    value: float
    lower: float
    upper: float


@dataclass(frozen=True)
class Trial:
    """A finished run."""

    name: str
    params: Mapping[str, Any]
    """Dotted key → value."""
    train: Mapping[str, Any]
    """metrics/train.json."""
    scores: Mapping[str, Score]
    """None where the run ended before its evaluation: what lies there is another run's."""
    judged: str
    """Hash of the data, base and ways in which it was judged; scores are set side by side where it is the same."""


def trials() -> list[Trial]:
    """Return the finished experiments of all baselines and the run of the working tree, by name.

    Raises:
        DataError: this is no git repository.
    """
    listed = git("for-each-ref", "--format=%(refname)", "refs/exps")
    if listed is None:
        raise DataError("there is no git repository here; go to the project's root.")
    names = {ref.split("/", 4)[4] for ref in listed.splitlines() if ref.count("/") == 4}
    found = [trial(Run.at(name), name) for name in sorted(names)]
    return [one for one in [*found, trial(Run(), "workspace")] if one is not None]


def trial(run: Run, name: str) -> Trial | None:
    """Read a run, None where it is not finished or not of this pipeline."""
    try:
        params = yaml.safe_load(run.text("params.yaml"))
        train, evaluate = run.metrics("train"), run.metrics("evaluate")
        raw = run.inputs["ingest"]["deps"]["data/raw"]
    except (DataError, KeyError, json.JSONDecodeError):
        return None
    judged = {"raw": raw, "base": params.get("model"), **{name: params.get(name) for name in JUDGED_BY}}
    scores = _scores(evaluate) if _of_one_run(name, run, params) else {}
    return Trial(name, flat(params), train, scores, sha256_text(canonical_json(judged)))


def _of_one_run(name: str, run: Run, params: Mapping[str, Any]) -> bool:
    try:
        require_locked(name, run, params)
    except ProvenanceError:
        return False
    return True


def _scores(evaluate: Mapping[str, Any]) -> dict[str, Score]:
    rubric = evaluate.get("rubric_test", {}).get("all", {}).get("X")
    bits = evaluate.get("likelihood", {}).get("all", {}).get("bits_per_token_gain_over_B1")
    known = {"rubric": rubric, "bits": bits}
    bounds = ("value", "lower", "upper")
    return {
        name: Score(*(one[key] for key in bounds))
        for name, one in known.items()
        if one and all(key in one for key in bounds)
    }
