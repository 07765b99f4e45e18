"""Sweeps are queued as the README says: one experiment for each combination, none of them run."""

import os
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]


def shell(*command: str, cwd: Path) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    who = {f"GIT_{role}_{what}": "x@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment = {**os.environ, **who, "PATH": path, "DVC_NO_ANALYTICS": "1"}
    for name in ("DVC_EXP_NAME", "DVC_EXP_BASELINE_REV", "DVC_ROOT"):
        environment.pop(name, None)
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_ranks_and_seeds_are_queued_as_one_experiment_each(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    shell("git", "clone", "--quiet", "--depth", "1", ROOT.as_uri(), str(clone), cwd=tmp_path)
    for key in ("user.name", "user.email"):
        shell("git", "config", key, "x@example.org", cwd=clone)
    sweep = ("-S", "adapter.rank=8,16,32", "-S", "train.seed=17,18")
    shell(sys.executable, "-m", "dvc", "exp", "run", "--queue", *sweep, "-n", "sweep", cwd=clone)
    stashed = shell("git", "rev-list", "--walk-reflogs", "refs/exps/celery/stash", cwd=clone).split()
    params = [yaml.safe_load(shell("git", "show", f"{commit}:params.yaml", cwd=clone)) for commit in stashed]
    found = sorted((one["adapter"]["rank"], one["train"]["seed"]) for one in params)
    assert found == [(rank, seed) for rank in (8, 16, 32) for seed in (17, 18)]
    assert not (clone / ".dvc/tmp/exps/run").exists() or not list((clone / ".dvc/tmp/exps/run").iterdir())
