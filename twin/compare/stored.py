"""What a finished run left behind: revision → its parameters, hashes and the rows its stages stored."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from twin.compare.cache import Objects, Row, stored_bytes, stored_rows
from twin.errors import DataError, ProvenanceError
from twin.runs import Run

ARM = "X"
REAL = "R"
WORKSPACE = ("-", "workspace")
MAKING_NOTHING = ("config", "promote", "report")
"""What these read does not make an adapter, its replies or their scores."""
STAGES = ("split", "train", "align", "generate", "evaluate")
"""Without these nothing can be compared."""


@dataclass(frozen=True)
class Stored:
    """One run as it is compared."""

    name: str
    id: str
    params: Mapping[str, Any]
    """Dotted key → value."""
    sources: Mapping[str, str]
    """Path → md5 of the code and data that the run was made of and did not make."""
    test: tuple[Row, ...]
    """data/split/test.jsonl."""
    generations: tuple[Row, ...]
    likelihoods: tuple[Row, ...]
    scores: tuple[Row, ...]
    rubric: str
    """md5 of the fitted rubric."""
    instrument: str
    """State of the rubric's self-test; only PASS makes its scores mean something."""
    train: Mapping[str, Any]
    """metrics/train.json."""

    def answers(self, prompt_set: str) -> dict[str, Row]:
        """Return the compared arm's replies by prompt."""
        return self._by_prompt(self.generations, "generations.jsonl", prompt_set, ARM)

    def likelihood(self) -> dict[str, Row]:
        """Return how likely the compared arm finds each held-out reply."""
        return self._by_prompt(self.likelihoods, "nll.jsonl", "test", ARM)

    def scored(self, prompt_set: str, arm: str = ARM) -> dict[str, Row]:
        """Return an arm's scores by prompt."""
        return self._by_prompt(self.scores, "scores.jsonl", prompt_set, arm)

    def _by_prompt(self, rows: Iterable[Row], file: str, prompt_set: str, arm: str) -> dict[str, Row]:
        found: dict[str, Row] = {}
        for row in rows:
            if row["prompt_set"] == prompt_set and row["arm"] == arm:
                if row["prompt_id"] in found:
                    raise DataError(
                        f"{self.name}: {file} has {prompt_set} prompt {row['prompt_id']} twice for arm {arm}. "
                        "Make it again with `dvc repro`."
                    )
                found[row["prompt_id"]] = row
        if not found:
            raise DataError(
                f"{self.name}: {file} has no {prompt_set} prompt for arm {arm}. Make it again with `dvc repro`."
            )
        return found


def read(revision: str, objects: Objects) -> Stored:
    """Read a run by commit, branch, tag or experiment name; `-` or `workspace` is the working tree.

    Raises:
        DataError: there is no such run, it is not finished, or an output is not in the cache.
        ProvenanceError: dvc.lock and params.yaml, or two stages of dvc.lock, do not agree.
    """
    run = Run.at(None if revision in WORKSPACE else revision)
    name = "workspace" if revision in WORKSPACE else revision
    missing = [stage for stage in STAGES if stage not in run.inputs]
    if missing:
        raise DataError(f"{name}: dvc.lock has no {' and no '.join(missing)} yet: finish the run with `dvc repro`.")
    params = yaml.safe_load(run.text("params.yaml"))
    outs = run.outs
    require_locked(name, run, params)

    def rows(path: str) -> tuple[Row, ...]:
        return tuple(stored_rows(name, path, outs, objects))

    return Stored(
        name=name,
        id=run.id,
        params=flat(params),
        sources=sources(run, outs),
        test=rows("data/split/test.jsonl"),
        generations=rows("data/generate/generations.jsonl"),
        likelihoods=rows("data/generate/nll.jsonl"),
        scores=rows("data/evaluate/scores.jsonl"),
        rubric=hashlib.md5(stored_bytes(name, "data/evaluate/rubric.json", outs, objects)).hexdigest(),
        instrument=str(run.metrics("evaluate").get("instrument", {}).get("state", "UNKNOWN")),
        train=run.metrics("train"),
    )


def flat(values: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Return {dotted key: value}; lists and empty mappings are values."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{above}{key}.")
        else:
            found[f"{above}{key}"] = value
    return found


def sources(run: Run, outs: Mapping[str, str]) -> dict[str, str]:
    """Return {path: md5} of the code and data that a run was made of and did not make."""
    made = {stage: inputs for stage, inputs in run.inputs.items() if stage not in MAKING_NOTHING}
    deps = {path: md5 for inputs in made.values() for path, md5 in inputs["deps"].items()}
    return {
        path: md5
        for path, md5 in deps.items()
        if not any(path == out or path.startswith(f"{out}/") for out in outs)  # prefer reads files of data/split
    }


def require_locked(name: str, run: Run, params: Mapping[str, Any]) -> None:
    """Check that all stages of a run are of one run; `dvc exp run … train` leaves the later ones as they were.

    Raises:
        ProvenanceError: a stage read other files or parameters than the run has.
    """
    now, outs = flat(params), run.outs
    for stage, inputs in run.inputs.items():
        for key, value in flat(inputs["params"]).items():
            if _number(now.get(key)) != _number(value):
                raise ProvenanceError(
                    f"{name}: {stage} ran with {key}={value!r}, params.yaml says {now.get(key)!r}: the stored outputs "
                    "are of other parameters. Finish the run with `dvc repro`."
                )
        for path, md5 in inputs["deps"].items():
            if stage != "config" and outs.get(path, md5) != md5:
                raise ProvenanceError(
                    f"{name}: {stage} read {path} {md5[:8]}, dvc.lock has it as {outs[path][:8]}: the stages are of "
                    "different runs. Finish the run with `dvc repro`."
                )


def _number(value: object) -> object:
    """DVC writes 1e-05, which YAML 1.1 reads as text."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value
