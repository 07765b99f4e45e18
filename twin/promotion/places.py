"""Where the champion is, and the one line that names it: text of conf/promote/standard.yaml ↔ sha256."""

import re
from pathlib import Path
from typing import Final

import yaml

from twin.errors import ConfigError

ADAPTER: Final = Path("models/adapter")
WEIGHTS: Final = "adapters.safetensors"
CHAMPION: Final = Path("models/champion/adapter")
POINTER: Final = Path("models/champion/adapter.dvc")
IGNORE: Final = Path("models/champion/.gitignore")
CONF: Final = Path("conf/promote/standard.yaml")
PARAMS: Final = Path("params.yaml")
RECORD: Final = Path("metrics/config.json")
COMMITTED: Final = (POINTER, IGNORE, CONF, PARAMS, RECORD)
"""All that an act changes in git."""
LINE: Final = re.compile(r"^champion:[^\n#]*[^\s#]", re.MULTILINE)


def champion_of(text: str) -> str | None:
    """Return the sha256 that the text of a section or of conf/promote/ names as champion."""
    values = yaml.safe_load(text)
    value = values.get("champion") if isinstance(values, dict) else None
    return None if value is None else str(value)


def entry(text: str) -> str:
    """Return the entry that names the champion, without a comment behind it.

    Raises:
        ConfigError: there is none, or there are several.
    """
    entries: list[str] = LINE.findall(text)
    if len(entries) != 1:
        raise ConfigError(f"{CONF}: {len(entries)} lines start with champion:, where one is needed. Mend it by hand.")
    return entries[0]


def entry_for(champion: str) -> str:
    """Return the entry for a champion; quoted, for 64 hex digits may read as a number."""
    return f'champion: "{champion}"'


def with_entry(text: str, new: str) -> str:
    """Return the text with another entry; every other byte stays.

    Raises:
        ConfigError: there is no line to replace, or there are several.
    """
    entry(text)
    return LINE.sub(lambda _: new, text)
