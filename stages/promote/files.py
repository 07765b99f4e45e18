"""Are the stored files those of one run? Files, and what `generate` noted of the models → what is missing or another.

A number says nothing of an adapter whose replies are gone, or that is not the one which gave them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from twin.files import canonical_json, read_json, read_jsonl, sha256_file, sha256_text

ADAPTER: Final = Path("models/adapter/adapters.safetensors")
RECIPE: Final = Path("models/adapter/recipe.json")
BASE: Final = Path("models/base/identity.json")
GENERATIONS: Final = Path("data/generate/generations.jsonl")
FURTHER: Final = Path("data/generate/further.jsonl")
MODELS: Final = Path("data/generate/models.json")
CHALLENGER: Final = "X"


@dataclass(frozen=True)
class Files:
    """What is known of the files behind the numbers."""

    missing: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    """Sentences: what is not of the run that answered."""
    replies: int = 0
    """How many replies of the twin are stored."""


def inspect(paths: Sequence[Path], champion: str | None) -> Files:
    """Return what is wrong with the files that a decision rests on.

    Args:
        paths: all of them.
        champion: sha256 of the adapter that is registered.

    Raises:
        DataError: a file is not what it is named for.
    """
    missing = tuple(str(path) for path in paths if not path.exists())
    noted = read_json(MODELS) if MODELS.exists() else {}
    rows = [row for path in (GENERATIONS, FURTHER) if path.exists() for row in read_jsonl(path)]
    return Files(missing, tuple(_foreign(noted, champion)), sum(row.get("arm") == CHALLENGER for row in rows))


def _foreign(noted: Mapping[str, str | None], champion: str | None) -> list[str]:
    found = {
        "adapter": (ADAPTER, sha256_file),
        "recipe": (RECIPE, sha256_file),
        "base": (BASE, lambda path: sha256_text(canonical_json(read_json(path)))),
    }
    wrong = [
        f"{path} is {_short(hashed(path))}, the replies are of {_short(noted.get(name))}"
        for name, (path, hashed) in found.items()
        if path.exists() and hashed(path) != noted.get(name)
    ]
    if noted.get("champion") != champion:
        wrong.append(f"the champion is {_short(champion)}, the replies are of {_short(noted.get('champion'))}")
    return wrong


def _short(sha256: str | None) -> str:
    return sha256[:12] if sha256 else "none"
