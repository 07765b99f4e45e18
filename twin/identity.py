"""Which run this is: declared inputs → one fingerprint.

A stage's inputs are its command, the hash of each declared dependency and the values of its declared
parameters, exactly as dvc.lock records them. The run id covers `train` and `align`, which make the adapter; what
`prefer` chose enters with the pairs that `align` learns from, and not with the ratings it looked at: a twin that is
rated stays the same twin. The id is the same in the workspace, in `--temp`, in another clone and from a finished
dvc.lock.
"""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import yaml

from twin.errors import ConfigError, DataError
from twin.files import canonical_json, restore, sha256_text

RUN_STAGES = ("train", "align")
# Kept in step with .dvcignore; a test compares the hashes with DVC's own.
IGNORED = {"__pycache__", ".DS_Store", ".ipynb_checkpoints"}

Inputs = dict[str, Any]


class _LockLoader(yaml.SafeLoader):
    """Reads numbers as DVC writes them: 5e-06 has no point, which YAML 1.1 takes for text."""


_LockLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def run_id(inputs: dict[str, Inputs]) -> str:
    """Return the id of the run, 64 hex digits, from the inputs of `train` and `align`."""
    return sha256_text(canonical_json({stage: inputs[stage] for stage in RUN_STAGES}))


def fingerprint(inputs: Inputs) -> str:
    """Return the hash of one stage's inputs, 64 hex digits."""
    return sha256_text(canonical_json(inputs))


def stage_inputs(stage: str, root: Path = Path()) -> Inputs:
    """Return {cmd, deps, params} of a stage from dvc.yaml and the files as they are now.

    Raises:
        ConfigError: dvc.yaml has no such stage, or a declared parameter is missing.
        DataError: a declared dependency is missing.
    """
    declared = _yaml(root / "dvc.yaml")["stages"]
    if stage not in declared:
        raise ConfigError(f"dvc.yaml has no stage {stage}; it has {', '.join(declared)}.")
    entry = declared[stage]
    deps = {path: md5_path(root / path) for path in entry.get("deps", [])}
    keys = entry.get("params", [])
    values = _yaml(root / "params.yaml") if keys else {}
    return {"cmd": entry["cmd"], "deps": deps, "params": {key: _at(values, key) for key in keys}}


def locked_inputs(lock_text: str) -> dict[str, Inputs]:
    """Return {stage: {cmd, deps, params}} from the text of a dvc.lock."""
    stages = (yaml.load(lock_text, _LockLoader) or {}).get("stages", {})
    return {
        name: {
            "cmd": entry["cmd"],
            "deps": {dep["path"]: dep["md5"] for dep in entry.get("deps", [])},
            "params": dict(entry.get("params", {}).get("params.yaml", {})),
        }
        for name, entry in stages.items()
    }


def md5_path(path: Path) -> str:
    """Return DVC's md5 of a file, or of a folder (`….dir`).

    Source: dvc-data's tree object, the md5 of the JSON list of {md5, relpath} sorted by relpath.

    Raises:
        DataError: there is nothing at `path`.
    """
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "md5").hexdigest()
    if not path.is_dir():
        raise DataError(f"{path} is missing. {restore(path)}")
    files = [file for file in path.rglob("*") if file.is_file() and not _ignored(file.relative_to(path))]
    entries = [{"md5": md5_path(file), "relpath": file.relative_to(path).as_posix()} for file in files]
    entries.sort(key=lambda entry: entry["relpath"])
    return hashlib.md5(json.dumps(entries, sort_keys=True).encode()).hexdigest() + ".dir"


def _ignored(path: Path) -> bool:
    return bool(IGNORED.intersection(path.parts)) or path.name.endswith((".old", ".part", ".pyc"))


def _yaml(path: Path) -> Any:
    if not path.exists():
        raise ConfigError(f"{path} is missing; run this from the repository's root.")
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _at(values: Any, key: str) -> Any:
    for part in key.split("."):
        if not isinstance(values, dict) or part not in values:
            raise ConfigError(f"params.yaml: {key} is missing. Run `python -m stages.config reset`.")
        values = values[part]
    return values
