"""The model card beside what it is about: models/card/README.md → README.md of a champion or of a fused model."""

import re
from pathlib import Path
from typing import Final

from twin.files import read_json, read_text, write_text

CARD: Final = Path("models/card/README.md")
"""As the `report` stage writes it."""
README: Final = "README.md"
OF_THE_BASE: Final = "README-base.md"
LOADED: Final = re.compile(r"--model \S+ --adapter-path ADAPTER")


def about(card: str, run_id: str) -> bool:
    """Say whether a card is of this run."""
    return card.rstrip().endswith(f"Run `{run_id}`.")


def fused(card: str) -> str:
    """Return the card of the model that base and adapter become together."""
    told = card.replace("base_model_relation: adapter\n", "base_model_relation: finetune\n", 1)
    return LOADED.sub("--model MODEL", told).replace("where ADAPTER is", "where MODEL is")


def card_of(recipe: Path, card: Path = CARD) -> str | None:
    """Return the card of the adapter that a recipe.json belongs to; None if the last report was of another run."""
    if not card.exists():
        return None
    text = read_text(card)
    return text if about(text, read_json(recipe).get("run", {}).get("id", "")) else None


def put(text: str, folder: Path) -> None:
    """Make a card the README of a model's folder; a README of its base stays beside it."""
    if (folder / README).exists():
        (folder / README).rename(folder / OF_THE_BASE)
    write_text(folder / README, text)
