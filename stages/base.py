"""Names the base model exactly: params model → models/base/identity.json.

The weights stay where they are; only what they are is written down, and checked again whenever they are loaded.
"""

import re
from pathlib import Path
from typing import Any

from twin.base import identify, snapshot
from twin.config.load import load
from twin.config.model import ModelConfig, Origin
from twin.errors import ConfigError
from twin.files import write_json

OUT = Path("models/base/identity.json")
COMMIT = re.compile(r"[0-9a-f]{40}")


def find(config: ModelConfig) -> tuple[Path, dict[str, Any]]:
    """Return the base's folder and what its identity says about the place.

    Raises:
        ConfigError: the parameters do not name one exact place.
        ModelError: a base on the hub cannot be fetched.
    """
    match config.origin:
        case Origin.repository:
            return _in_repository(config), {"kind": "folder", "folder": config.folder, "revision": None}
        case Origin.folder:
            return _elsewhere(config), {"kind": "local", "folder": None, "revision": None}
        case Origin.hub:
            revision = _commit(config)
            place = {"kind": "hub", "folder": None, "revision": revision}
            return snapshot(config.id, revision, download=True), place


def _in_repository(config: ModelConfig) -> Path:
    folder = Path(_named(config))
    if folder.is_absolute() or ".." in folder.parts:
        raise ConfigError(f"model.folder is {folder}; a base of the repository lies inside it. Use -S model=local.")
    return folder


def _elsewhere(config: ModelConfig) -> Path:
    return Path(_named(config)).expanduser()


def _named(config: ModelConfig) -> str:
    if config.folder is None:
        raise ConfigError(f"model.folder is null, and model.origin is {config.origin.value}. Name the model's folder.")
    return config.folder


def _commit(config: ModelConfig) -> str:
    if config.revision is None or not COMMIT.fullmatch(config.revision):
        raise ConfigError(
            f"model.revision is {config.revision}; a base from the hub is pinned to a commit of 40 hex digits. "
            f"Copy it from https://huggingface.co/{config.id}/commits/main."
        )
    return config.revision


def main() -> None:
    """Identify the configured base."""
    config = load(ModelConfig)
    folder, place = find(config)
    write_json(OUT, identify(folder, {"id": config.id, "fixture": config.fixture, **place}))


if __name__ == "__main__":
    main()
