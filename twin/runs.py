"""A finished run, read from the working tree or from any commit: revision → files, id, facts."""

import json
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from twin.errors import DataError
from twin.identity import Inputs, fingerprint, locked_inputs, run_id
from twin.runlog import facts_path, read_facts


@dataclass(frozen=True)
class Run:
    """The outcome of the pipeline at `commit`, or in the working tree when that is None."""

    commit: str | None = None
    name: str | None = None

    @classmethod
    def at(cls, revision: str | None) -> "Run":
        """Find a run by commit, branch, tag or experiment name; None is the working tree.

        Raises:
            DataError: git knows no such revision.
        """
        if revision is None:
            return cls()
        experiment = git("for-each-ref", "--format=%(objectname)", f"refs/exps/*/*/{revision}")
        if experiment:
            return cls(commit=experiment.splitlines()[0], name=revision)
        commit = git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
        if not commit:
            raise DataError(
                f"{revision} is neither a commit nor an experiment. `dvc exp list --all-commits` lists these."
            )
        return cls(commit=commit)

    def text(self, path: str) -> str:
        """Return a tracked file's text at this run.

        Raises:
            DataError: the run has no such file.
        """
        if self.commit is None:
            file = Path(path)
            found = file.read_text(encoding="utf-8") if file.exists() else None
        else:
            found = git("show", f"{self.commit}:{path}")
        if found is None:
            where = self.name or self.commit or "the working tree"
            raise DataError(f"{path} is missing in {where}: the run is not finished. Finish it with `dvc repro`.")
        return found

    def metrics(self, name: str) -> dict[str, Any]:
        """Return metrics/NAME.json."""
        return dict(json.loads(self.text(f"metrics/{name}.json")))

    @cached_property
    def inputs(self) -> dict[str, Inputs]:
        """The inputs of every stage, from dvc.lock."""
        return locked_inputs(self.text("dvc.lock"))

    @cached_property
    def made(self) -> dict[str, dict[str, str]]:
        """What each stage made, {path: md5}, from dvc.lock."""
        stages = yaml.safe_load(self.text("dvc.lock"))["stages"]
        return {name: {out["path"]: out["md5"] for out in entry.get("outs", [])} for name, entry in stages.items()}

    @property
    def outs(self) -> dict[str, str]:
        """What the stages made, {path: md5}."""
        return {path: md5 for outs in self.made.values() for path, md5 in outs.items()}

    @property
    def id(self) -> str:
        """The run id, 64 hex digits.

        Raises:
            DataError: the run has no adapter yet.
        """
        missing = [stage for stage in ("train", "align") if stage not in self.inputs]
        if missing:
            raise DataError(f"dvc.lock has no {' and no '.join(missing)} yet: finish the run with `dvc repro`.")
        return run_id(self.inputs)

    def facts(self) -> dict[str, dict[str, Any]]:
        """Return {stage: times, memory, …} as far as the stages ran on this machine."""
        found = {stage: read_facts(facts_path(stage, fingerprint(inputs))) for stage, inputs in self.inputs.items()}
        return {stage: facts for stage, facts in found.items() if facts}


def git(*arguments: str) -> str | None:
    """Return what git prints, or None when it fails or there is no repository."""
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    return done.stdout.rstrip("\n") if done.returncode == 0 else None
