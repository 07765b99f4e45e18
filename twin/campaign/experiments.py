"""DVC as the walk sees it: overrides → an experiment named by its inputs; a finished one → figures and verdicts."""

import json
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from twin.campaign import process
from twin.campaign.journal import State
from twin.campaign.judging import Finding
from twin.campaign.kept import Said, code, kept
from twin.campaign.world import Asked, Ended, Measured
from twin.compare.cache import Objects, dvc_objects
from twin.compare.groups import Group
from twin.compare.inference import Margins
from twin.compare.report import compare
from twin.compare.stored import Stored, flat, read
from twin.config.compose import checked, compose
from twin.config.rules import check_rules
from twin.errors import DataError, ProvenanceError
from twin.files import canonical_json, sha256_text
from twin.identity import md5_path
from twin.runs import Run, git

RUNS = Path(".dvc/tmp/exps/standalone")
"""Where DVC checks out what `exp run --temp` runs."""
DIGITS = 8
"""Of the hash in an experiment's name."""


@dataclass(frozen=True)
class Dvc:
    """Experiments of the repository in the current folder."""

    margins: Margins
    sources: Mapping[str, str]
    """Path → md5 of the code and data that no stage makes, as they were when the walk began."""

    @classmethod
    def here(cls, margins: Margins | None = None) -> "Dvc":
        """Take the repository in the current folder as it is now."""
        return cls(margins or Margins(), sources())

    @cached_property
    def _objects(self) -> Objects:
        return dvc_objects()

    @cached_property
    def _stored(self) -> dict[str, Stored]:
        return {}

    def ask(self, prefix: str, overrides: Sequence[str]) -> Asked:
        """Compose what a run would be, check it as the first stage does, and name it.

        Raises:
            ConfigError: the overrides do not compose, or contradict each other.
        """
        params = compose(overrides=overrides)
        check_rules(checked(yaml.safe_load(params)))
        digest = sha256_text(canonical_json({"params": yaml.safe_load(params), "sources": dict(self.sources)}))
        return Asked(f"{prefix}-{digest[:DIGITS]}", tuple(overrides), params)

    def choices(self, experiment: str, keep: Sequence[str], overrides: Sequence[str]) -> list[str]:
        """Return what, after `overrides`, makes the sections `keep` those of an experiment."""
        theirs = flat(yaml.safe_load(Run.at(experiment).text("params.yaml")))
        ours = flat(yaml.safe_load(compose(overrides=overrides)))
        wanted = {key: value for key, value in theirs.items() if key.split(".")[0] in keep}
        return [f"{key}={json.dumps(value)}" for key, value in wanted.items() if ours.get(key) != value]

    def is_finished(self, asked: Asked) -> bool:
        """Tell whether there is an experiment of that name, of those parameters, code and data, with every stage done.

        Raises:
            ProvenanceError: one of that name is another, or code or data changed since the walk began.
        """
        if not git("for-each-ref", "--format=%(objectname)", f"refs/exps/*/*/{asked.name}"):
            return False
        run = Run.at(asked.name)
        read_md5 = {
            path: md5
            for entry in run.inputs.values()
            for path, md5 in entry["deps"].items()
            if not _is_made(path, _stages())
        }
        same = yaml.safe_load(run.text("params.yaml")) == yaml.safe_load(asked.params)
        if same and read_md5 == dict(self.sources) and run.inputs.keys() == _stages().keys():
            return True
        raise ProvenanceError(
            f"the experiment {asked.name} is not what its name says: its parameters, code or data are others. "
            f"Remove it with `dvc exp remove {asked.name}`."
        )

    def run(
        self, asked: Asked, log: Path, left_s: float | None, earlier: int | None, started: Callable[[int], None]
    ) -> Ended:
        """Run an experiment in a folder of its own, and keep its output in `log`.

        Raises:
            ProvenanceError: code or data changed since the walk began.
        """
        changed = [path for path, md5 in sources().items() if self.sources.get(path) != md5]
        if changed:
            raise ProvenanceError(
                f"{', '.join(changed[:3])} changed while the campaign runs: its rows would not be alike. Start it "
                "again; what is still the same is not run again."
            )
        if not process.outlives(log):
            clear(asked.name)
        settings = [part for override in asked.overrides for part in ("-S", override)]
        command = [sys.executable, "-m", "dvc", "exp", "run", "--temp", "--name", asked.name, *settings]
        ended = process.run(command, log, left_s, earlier, started)
        if ended.state is State.finished and ended.why == "outlived" and not self.is_finished(asked):
            return process.run(command, log, left_s, None, started)
        return ended

    def measured(self, experiment: str) -> Measured:
        """Read what a finished experiment says of itself."""
        run = Run.at(experiment)
        train, evaluate, decision = (run.metrics(name) for name in ("train", "evaluate", "decision"))
        loss = train["valid"]["masked_nats_per_token"]
        facts = {
            "valid_nats_per_token": {"initial": loss["initial"], "best": loss["best"]},
            "updates": train["updates"]["run"],
            "adapter": f"{train['adapter']['kind']} r{train['adapter']['rank']}",
            "decision": decision["decision"],
            **_scores(evaluate),
        }
        return Measured(run.id, train["status"], train["adapter"]["parameters"], facts)

    def compared(self, reference: Sequence[str], compared: Sequence[str]) -> Said:
        """Return the paired tests of two sides on the same prompts, and what they speak of; each is made once.

        Raises:
            DataError, ProvenanceError: they cannot be compared.
        """
        # A commit is the hash of parameters, metrics and dvc.lock, which has those of all that was stored.
        sides = [[[name, Run.at(name).commit] for name in side] for side in (reference, compared)]
        made_of = {"sides": sides, "margins": asdict(self.margins), "code": code()}
        return kept(made_of, lambda: self._compared(reference, compared))

    def _compared(self, reference: Sequence[str], compared: Sequence[str]) -> Said:
        groups = [Group(tuple(self._read(name) for name in side)) for side in (reference, compared)]
        tree = compare(groups, self.margins)["comparisons"][0]
        found = {named(name): finding(name, metric) for name, metric in tree["metrics"].items()}
        return found, tree["scope"]

    def _read(self, name: str) -> Stored:
        if name not in self._stored:
            self._stored[name] = read(name, self._objects)
        return self._stored[name]


def named(metric: str) -> str:
    """Return a metric's name among the rules: bits per token and per byte are both the likelihood."""
    return "likelihood" if metric.startswith("bits_per_") else metric


def finding(name: str, metric: Mapping[str, Any]) -> Finding:
    """Return what a comparison says of one metric; a refused bits_per_token is followed by bits_per_byte instead."""
    if "refused" in metric:
        return Finding(named(name), "refused", metric["refused"])
    ahead = metric["difference"]
    value, lower, upper = (f"{round(ahead[key], 3) + 0.0:+.3f}" for key in ("value", "lower", "upper"))
    words = f"{value} {'points' if named(name) != 'likelihood' else name.replace('_', ' ')}, {lower} to {upper}"
    return Finding(named(name), metric["verdict"], words, metric["p"])


def _scores(evaluate: Mapping[str, Any]) -> dict[str, Any]:
    twin = evaluate.get("rubric_test", {}).get("all", {}).get("X")
    gain = evaluate.get("likelihood", {}).get("all", {}).get("bits_per_token_gain_over_B1")
    keys = ("value", "lower", "upper", "n")
    found = {"rubric_test": twin, "bits_per_token_gain_over_B1": gain}
    return {name: {key: one[key] for key in keys if key in one} for name, one in found.items() if one}


def clear(experiment: str) -> None:
    """Delete the folders in which runs of `experiment` were killed; DVC leaves them and tells whose they were."""
    for told in RUNS.glob("run/*/*.run"):
        found = json.loads(told.read_text(encoding="utf-8"))
        folder = Path(found["root_dir"])
        if found["name"] == experiment and folder.parent.resolve() == RUNS.resolve():
            shutil.rmtree(folder, ignore_errors=True)
            told.unlink(missing_ok=True)


def sources() -> dict[str, str]:
    """Return path → md5 of everything the stages read and none of them makes.

    Raises:
        DataError: the current folder has no dvc.yaml, or something declared is missing.
    """
    stages = _stages()
    deps = {path for entry in stages.values() for path in entry.get("deps", [])}
    return {path: md5_path(Path(path)) for path in sorted(deps) if not _is_made(path, stages)}


def _stages() -> dict[str, Any]:
    path = Path("dvc.yaml")
    if not path.exists():
        raise DataError("there is no dvc.yaml here; go to the project's root.")
    return dict(yaml.safe_load(path.read_text(encoding="utf-8"))["stages"])


def _is_made(path: str, stages: Mapping[str, Any]) -> bool:
    """Whether a stage makes `path`, or a folder that it lies in."""
    made = {out for entry in stages.values() for out in _outs(entry)}
    return any(path == out or path.startswith(f"{out}/") for out in made)


def _outs(entry: Mapping[str, Any]) -> list[str]:
    outs = [out for kind in ("outs", "metrics", "plots") for out in entry.get(kind, [])]
    return [str(next(iter(out))) if isinstance(out, dict) else str(out) for out in outs]
