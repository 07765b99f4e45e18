"""Keeps params.yaml and conf/ in step: conf/ → params.yaml, metrics/config.json.

Only `dvc exp run` composes conf/; `dvc repro` would never see an edit there. This stage does, and it refuses
to guess: a hand edit, or the overrides of an earlier experiment, stop the pipeline with both ways out.

    python -m stages.config check   exit 1 unless params.yaml is what conf/ composes
    python -m stages.config reset   write params.yaml from conf/
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from twin.config.compose import checked, compose
from twin.config.load import PARAMS, read
from twin.config.rules import check_rules
from twin.config.schema import Config
from twin.errors import ConfigError, TwinError
from twin.files import read_json, sha256_text, write_json, write_text

RECORD = Path("metrics/config.json")
ABSENT = "absent"


def validate(path: Path = PARAMS) -> Config:
    """Check every section of params.yaml, then the rules between them; warnings go to stderr.

    Raises:
        ConfigError: what is wrong, and where.
    """
    config = checked(read(path), path)
    for warning in check_rules(config):
        print(f"warning: {warning}", file=sys.stderr)
    return config


def sync() -> None:
    """Bring params.yaml in step with conf/, or say why not.

    Raises:
        ConfigError: params.yaml was edited by hand, carries overrides that conf/ disagrees with, or is invalid.
    """
    wanted = compose()
    found = PARAMS.read_text(encoding="utf-8") if PARAMS.exists() else None
    if found is not None and found != wanted and not _in_experiment():
        _refuse_to_guess(found, wanted)
        _print_differences(differences(found, wanted), "conf/ moved on", "conf", "params.yaml was")
        found = wanted
    if found is None:
        found = wanted
    if not PARAMS.exists() or PARAMS.read_text(encoding="utf-8") != found:
        write_text(PARAMS, found)
    validate()
    _record(found, wanted)


def check() -> None:
    """Fail unless params.yaml is valid and exactly what conf/ composes."""
    validate()
    changed = differences(read_params_text(), compose())
    if changed:
        lines = "\n".join(f"  {key}: params.yaml={run} conf={conf}" for key, (run, conf) in changed.items())
        raise ConfigError(f"params.yaml is not what conf/ composes:\n{lines}\n{_ways_out()}")


def reset() -> None:
    """Write params.yaml from conf/, dropping whatever it said."""
    wanted = compose()
    write_text(PARAMS, wanted)
    validate()
    _record(wanted, wanted)


def read_params_text() -> str:
    """Return the text of params.yaml."""
    read()
    return PARAMS.read_text(encoding="utf-8")


def differences(run: str, conf: str) -> dict[str, tuple[Any, Any]]:
    """Return {dotted key: (value in `run`, value in `conf`)} where two params.yaml texts differ."""
    left, right = (_flat(OmegaConf.to_container(OmegaConf.create(text))) for text in (run, conf))
    keys = sorted(left.keys() | right.keys())
    pairs = {key: (left.get(key, ABSENT), right.get(key, ABSENT)) for key in keys}
    return {key: (run, conf) for key, (run, conf) in pairs.items() if run != conf}


def _flat(values: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(values, dict) or not values:
        return {prefix: values}
    return {
        key: leaf
        for name, value in values.items()
        for key, leaf in _flat(value, f"{prefix}.{name}".lstrip(".")).items()
    }


def _in_experiment() -> bool:
    # Both: an exported DVC_EXP_NAME alone would keep an old file for ever.
    return "DVC_EXP_NAME" in os.environ and "DVC_EXP_BASELINE_REV" in os.environ


def _refuse_to_guess(found: str, wanted: str) -> None:
    blessed = read_json(RECORD) if RECORD.exists() else {}
    ours = blessed.get("params_sha256") == sha256_text(found)
    if ours and not blessed.get("overrides"):
        return
    why = "carries the overrides of an experiment and conf/ disagrees" if ours else "was edited by hand"
    changed = differences(found, wanted)
    lines = "\n".join(f"  {key}: params.yaml={run} conf={conf}" for key, (run, conf) in changed.items())
    raise ConfigError(f"params.yaml {why}:\n{lines}\n{_ways_out()}")


def _ways_out() -> str:
    return (
        "Drop these: `python -m stages.config reset`. Keep them: put them into conf/, or pass each as "
        "`dvc exp run -S KEY=VALUE`."
    )


def _print_differences(changed: dict[str, tuple[Any, Any]], title: str, conf_name: str, run_name: str) -> None:
    for key, (run, conf) in changed.items():
        print(f"{title}: {key}: {conf_name} {conf}, {run_name} {run}")


def _record(found: str, wanted: str) -> None:
    changed = differences(found, wanted)
    _print_differences(changed, "override", "conf", "this run")
    overrides = {key: {"conf": _shown(conf), "run": _shown(run)} for key, (run, conf) in changed.items()}
    write_json(RECORD, {"params_sha256": sha256_text(found), "overrides": overrides})


def _shown(value: Any) -> str:
    """Return a value as Hydra's override grammar reads it back."""
    return ABSENT if value == ABSENT else json.dumps(value, ensure_ascii=False)


def main() -> None:
    """Run the stage."""
    sync()


def command() -> None:
    """Run `check`, `reset` or `sync` from the command line."""
    commands = {"check": check, "reset": reset, "sync": sync}
    if len(sys.argv) != 2 or sys.argv[1] not in commands:
        sys.exit(f"usage: python -m stages.config {'|'.join(commands)}")
    try:
        commands[sys.argv[1]]()
    except TwinError as error:
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    command()
