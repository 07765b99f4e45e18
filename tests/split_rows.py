"""Examples for the tests of `split`, and the split of a list of them through files."""

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from stages.split import split
from stages.split.parts import PARTS
from twin.config.split import SplitConfig
from twin.files import read_jsonl, write_jsonl

START = datetime(2024, 1, 1, tzinfo=UTC)
CONFIG = SplitConfig(
    train=0.80,
    valid=0.05,
    cal=0.07,
    test=0.08,
    near_duplicate_ratio=90,
    near_duplicate_characters=30,
    stock_conversations=3,
    purge_share_max=0.30,
    reply_characters_max=200,
    prompt_characters_max=None,
    canaries=0,
)
LONG = "please rerun the whole migration on staging"
Row = dict[str, Any]
Parts = dict[str, list[Row]]


def rows(*conversations: list[str], minutes: list[int] | None = None) -> list[Row]:
    """Return examples; conversation n starts at `minutes[n]`, by default in the order given."""
    starts = minutes or list(range(len(conversations)))
    return [
        {
            "id": f"c{n}-{m}",
            "conversation_id": f"c{n:03}",
            "conversation_started_at": (START + timedelta(minutes=starts[n])).isoformat(timespec="microseconds"),
            "messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": text}],
            "turns_before": 2 * m + 1,
            "reading": None,
        }
        for n, texts in enumerate(conversations)
        for m, text in enumerate(texts)
    ]


def numbered(conversations: int, replies: int = 1) -> list[Row]:
    """Return examples no two of which say the same."""
    return rows(*[[f"reply {n} {m}" for m in range(replies)] for n in range(conversations)])


def said(row: Row) -> str:
    """Return the reply."""
    return str(row["messages"][-1]["content"])


def parted(examples: list[Row], config: SplitConfig = CONFIG) -> tuple[Parts, Row]:
    """Return the rows that the stage writes of these examples, by part, and its metrics."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_jsonl(folder / "examples.jsonl", examples)
        metrics = split(folder / "examples.jsonl", folder, config)
        return {part: read_jsonl(folder / f"{part}.jsonl") for part in PARTS}, metrics
