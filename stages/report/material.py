"""What the report is made of: the stage's declared files → values; a file that is not declared is not read."""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from twin.files import read_json, read_jsonl, read_text

Tree = Mapping[str, Any]
Row = Mapping[str, Any]

METRICS: Final = ("config", "ingest", "augment", "split", "train", "evaluate", "decision")
"""Those that have a place of their own in the page; any other is shown as it is."""
KINDS: Final = {"lora": "LoRA", "dora": "DoRA"}
CURVES: Final = Path("metrics/train.csv")
GENERATIONS: Final = Path("data/generate/generations.jsonl")
SCORES: Final = Path("data/evaluate/scores.jsonl")
SCALARS: Final = Path("data/augment/scalars.json")
RECIPE: Final = Path("models/adapter/recipe.json")


@dataclass(frozen=True)
class Material:
    """A finished run."""

    metrics: Mapping[str, Tree]
    """metrics/NAME.json by name."""
    curves: list[dict[str, float | None]]
    """A row an update; None where nothing was measured."""
    generations: list[Row]
    scores: list[Row]
    scalars: Tree
    """Histograms of the readings."""
    recipe: Tree


def gather(declared: list[str]) -> Material:
    """Read the run.

    Args:
        declared: the stage's dependencies; every metrics/NAME.json among them is read.

    Raises:
        DataError: a file is missing or damaged.
    """
    names = [path for path in map(Path, declared) if path.parent == Path("metrics") and path.suffix == ".json"]
    return Material(
        metrics={path.stem: read_json(path) for path in names},
        curves=read_curves(read_text(CURVES)),
        generations=read_jsonl(GENERATIONS),
        scores=read_jsonl(SCORES),
        scalars=read_json(SCALARS),
        recipe=read_json(RECIPE),
    )


def read_curves(text: str) -> list[dict[str, float | None]]:
    """Return the rows of train.csv as numbers."""
    rows = csv.DictReader(io.StringIO(text))
    return [{key: float(value) if value else None for key, value in row.items()} for row in rows]


def at(tree: Tree, path: str) -> Any:
    """Return what stands at a dotted path, None if nothing does."""
    found: Any = tree
    for part in path.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def flat(tree: Tree, above: str = "") -> list[tuple[str, Any]]:
    """Return every (dotted path, value) of a tree; lists are left out."""
    found: list[tuple[str, Any]] = []
    for key, value in tree.items():
        if isinstance(value, Mapping):
            found += flat(value, f"{above}{key}.")
        elif not isinstance(value, list):
            found.append((f"{above}{key}", value))
    return found
