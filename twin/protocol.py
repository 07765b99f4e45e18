"""The ten fixed prompts every arm answers: protocol.yaml → prompts with their admissible anchors."""

from dataclasses import dataclass
from pathlib import Path

import yaml

from twin.errors import DataError
from twin.files import read_text

PROTOCOL = Path(__file__).with_name("protocol.yaml")


@dataclass(frozen=True)
class Prompt:
    """One fixed prompt."""

    id: str
    text: str
    anchors: tuple[str, ...]
    """Lower-case words or phrases of which an on-topic answer holds at least one; a final * is any ending."""


def protocol(path: Path = PROTOCOL) -> tuple[Prompt, ...]:
    """Read the fixed prompts, in their order.

    Raises:
        DataError: a prompt lacks its id, text or anchors, or an id occurs twice.
    """
    rows = yaml.safe_load(read_text(path))
    prompts = tuple(_prompt(row, number, path) for number, row in enumerate(rows, 1))
    ids = [prompt.id for prompt in prompts]
    twice = sorted({one for one in ids if ids.count(one) > 1})
    if twice:
        raise DataError(f"{path}: the id {twice[0]} is used by {ids.count(twice[0])} prompts. Give each its own.")
    return prompts


def _prompt(row: object, number: int, path: Path) -> Prompt:
    fields = row if isinstance(row, dict) else {}
    missing = [name for name in ("id", "text", "anchors") if not fields.get(name)]
    if missing:
        raise DataError(f"{path}: prompt {number} has no {' and no '.join(missing)}. Add it, or take the prompt out.")
    return Prompt(str(fields["id"]), str(fields["text"]), tuple(str(anchor).lower() for anchor in fields["anchors"]))
