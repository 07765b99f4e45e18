"""Git, DVC and the project's own stage of parameters, run in a folder: arguments → what they print."""

import os
import subprocess
import sys
from pathlib import Path

from twin.errors import ProvenanceError


def git(root: Path, *arguments: str) -> str:
    """Return what git prints.

    Raises:
        ProvenanceError: git refused; it says why.
    """
    return _run(root, ["git", *arguments], f"git {arguments[0]}")


def found(root: Path, *arguments: str) -> str | None:
    """Return what git prints, or None when it fails: what was asked for is not there."""
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    return done.stdout.rstrip("\n") if done.returncode == 0 else None


def dvc(root: Path, *arguments: str) -> str:
    """Return what DVC prints.

    Raises:
        ProvenanceError: DVC refused; it says why.
    """
    return _run(root, [sys.executable, "-m", "dvc", *arguments], f"dvc {' '.join(arguments)}")


def parameters(root: Path, command: str) -> None:
    """Run `check` or `reset` of the stage that keeps params.yaml in step with conf/.

    Raises:
        ProvenanceError: params.yaml and conf/ disagree, or break the schema.
    """
    _run(root, [sys.executable, "-m", "stages.config", command], f"python -m stages.config {command}")


def _run(root: Path, command: list[str], name: str) -> str:
    here = {
        "PYTHONPATH": os.pathsep.join([str(root.resolve()), os.environ.get("PYTHONPATH", "")]),
        "PYTHONDONTWRITEBYTECODE": "1",  # nothing may appear in a tree that is about to be committed
    }
    done = subprocess.run(command, cwd=root, env=os.environ | here, capture_output=True, text=True, check=False)
    if done.returncode:
        told = done.stderr.strip() or done.stdout.strip() or f"status {done.returncode}"
        raise ProvenanceError(f"`{name}` failed: {told}\nMend that and run the same command again.")
    return done.stdout.rstrip("\n")
