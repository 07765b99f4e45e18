"""The command of another run: what this run was started with, what is to change → `dvc exp run -S …`."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import fields
from enum import Enum
from pathlib import Path
from typing import Any

from twin.config.load import PARAMS
from twin.files import read_json, sha256_text

RECORD = Path("metrics/config.json")
ABSENT = "absent"  # as the config stage writes it: the side that does not have the key

Settings = dict[str, str]
"""A key, or a group, of conf/ and its value, as Hydra reads it."""


def overrides(params: Path = PARAMS, record: Path = RECORD) -> Settings:
    """Return what the run in the working tree was started with.

    `dvc exp run` composes conf/ anew: what a command does not name is lost, a preset's model included.
    """
    if not record.exists() or not params.exists():
        return {}
    found = read_json(record)
    if found.get("params_sha256") != sha256_text(params.read_text(encoding="utf-8")):
        return {}
    return recorded(found)


def recorded(record: Mapping[str, Any]) -> Settings:
    """Return the overrides that metrics/config.json has, as they are typed."""
    return dict(_override(key, values) for key, values in record.get("overrides", {}).items())


def _override(key: str, values: Mapping[str, str]) -> tuple[str, str]:
    if values["run"] == ABSENT:
        return f"~{key}", ""
    return f"{'+' if values['conf'] == ABSENT else ''}{key}", values["run"]


def changes(section: str, now: Any, wanted: Any) -> Settings:
    """Return what turns the dataclass `now` of a section into `wanted`."""
    return {
        f"{section}.{field.name}": _text(getattr(wanted, field.name))
        for field in fields(now)
        if getattr(wanted, field.name) != getattr(now, field.name)
    }


def _text(value: Any) -> str:
    return str(value.value) if isinstance(value, Enum) else json.dumps(value)


def command(settings: Settings) -> str:
    """Return the command that starts a run with `settings`."""
    typed = [f"-S {shlex.quote(f'{key}={value}' if value else key)}" for key, value in settings.items()]
    return " ".join(["dvc exp run", *typed])
