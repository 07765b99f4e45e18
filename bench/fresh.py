"""More test sets of the demo's person: another export of the same generator → conversations that no run has seen.

Drawing the conversations of one test set again repeats replies, which the checks for repeated and copied replies
rightly refuse. So a second export, of another seed, goes through ingest, augment and split as the run's did, and is cut
into sets as large as the run's own. What resembles a reply of the run's train leaves them, as the split would have it.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stages.split.near_duplicates import copies
from twin.config.load import load
from twin.config.split import SplitConfig
from twin.files import read_jsonl
from twin.text import normalise

ROOT = Path(__file__).parents[1]
SEED = 1007
"""Of the export; the demo's own is 7."""
COPIED = ("conf", "data", "hydra_plugins", "metrics", "models", "stages", "tools", "twin", "dvc.yaml", "params.yaml")
Rows = list[dict[str, Any]]


def fresh_sets(count: int, train: Sequence[dict[str, Any]], conversations: int, seed: int = SEED) -> list[Rows]:
    """Return disjoint sets of rows as those of test, each of so many conversations.

    Raises:
        ValueError: the export holds fewer.
    """
    learned = {normalise(row["messages"][-1]["content"]) for row in train}
    stock = {normalise(row["messages"][-1]["content"]) for row in train if row["stock"]}
    rows = [row | {"said": normalise(row["messages"][-1]["content"])} for row in _rows(seed)]
    alike = set().union(*copies({row["said"] for row in rows} - stock, learned, load(SplitConfig)))
    by_conversation: dict[str, Rows] = {}
    for row in rows:
        if row["said"] not in alike:
            kept = {key: value for key, value in row.items() if key not in ("said", "half")}
            by_conversation.setdefault(row["conversation_id"], []).append(
                kept | {"split": "test", "stock": row["said"] in stock}
            )
    every = list(by_conversation.values())
    if len(every) < count * conversations:
        raise ValueError(f"{len(every)} conversations make {len(every) // conversations} sets of {conversations}")
    return [
        [row for one in every[place * conversations : (place + 1) * conversations] for row in one]
        for place in range(count)
    ]


def _rows(seed: int) -> Rows:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for name in COPIED:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
            copy(ROOT / name, folder / name)
        environment = {**os.environ, "PYTHONPATH": str(folder), "DVC_NO_ANALYTICS": "1"}
        told = ["-m", "tools.demo_export", "--seed", str(seed)]
        for words in (told, *(["-m", "twin.guard", stage] for stage in ("ingest", "augment", "split"))):
            subprocess.run([sys.executable, *words], cwd=folder, env=environment, check=True, stdout=sys.stderr)
        return [
            row for part in ("train", "valid", "cal", "test") for row in read_jsonl(folder / f"data/split/{part}.jsonl")
        ]
