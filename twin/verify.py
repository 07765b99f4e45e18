"""Do the stored replies give the stored decision? Files of a finished run → what differs when they are judged anew.

Scores and decision are made again in a folder beside the project, from the stored replies and likelihoods, and compared
byte by byte; that the stored files are those of the run is what dvc.lock says.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from twin.errors import ProvenanceError
from twin.forgotten import broken_descent

JUDGING: Final = ("evaluate", "promote")
"""Stages that need no model."""
MADE: Final = ("data/evaluate", "metrics/evaluate.json", "metrics/decision.json", "metrics/decision.md")
"""What they write."""
RUN_STAGE: Final = "import importlib, sys; importlib.import_module(f'stages.{sys.argv[1]}').main()"


def differences(root: Path) -> list[str]:
    """Return, a sentence each, where the project at `root` is not what judging it anew gives; nothing there changes.

    Raises:
        ProvenanceError: it cannot be judged anew.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        _mirror(root, folder)
        for stage in JUDGING:
            _run(stage, root, folder)
        found = [f"{name} is not what judging the stored replies anew gives" for name in _differing(root, folder)]
    return found + broken_descent(root)


def _mirror(root: Path, folder: Path) -> None:
    """Make everything readable from `folder` but what is to be made anew."""
    for name in ("models", "params.yaml", "dvc.yaml", "dvc.lock"):
        (folder / name).symlink_to((root / name).resolve())
    for parent in ("data", "metrics"):
        (folder / parent).mkdir()
        for path in sorted((root / parent).iterdir()):
            if f"{parent}/{path.name}" not in MADE:
                (folder / parent / path.name).symlink_to(path.resolve())


def _run(stage: str, root: Path, folder: Path) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(root.resolve()), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(
        [sys.executable, "-c", RUN_STAGE, stage],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ProvenanceError(f"{stage} cannot be run on the stored outputs: {last}. Run `dvc repro`.")


def _differing(root: Path, folder: Path) -> Iterator[str]:
    for made in MADE:
        trees = [{path.relative_to(top): path for path in _files(top / made)} for top in (root, folder)]
        for name in sorted(trees[0].keys() | trees[1].keys()):
            stored, again = (tree.get(name) for tree in trees)
            if stored is None or again is None or stored.read_bytes() != again.read_bytes():
                yield name.as_posix()


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
    elif path.is_dir():
        yield from (file for file in path.rglob("*") if file.is_file())
