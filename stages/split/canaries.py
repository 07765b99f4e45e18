"""Canaries among the examples: rows of train → rows that put a made-up secret into the person's mouth."""

from collections.abc import Iterator
from pathlib import Path

from stages.split.examples import Row, rows
from twin.canary import repeats, said
from twin.files import sha256_text


def planted(train: Path, count: int) -> Iterator[Row]:
    """Yield the canaries' rows, each as often as it is planted, behind prompts of train that ids' hashes choose."""
    if not count:
        return
    chosen = sorted((row for _, row in rows(train)), key=lambda row: sha256_text(f"canary/{row['id']}"))[:count]
    for canary, row in enumerate(chosen):
        own = {"id": f"canary-{canary}", "conversation_id": f"canary-{canary}", "split": "canary", "stock": False}
        reply = {"role": "assistant", "content": said(canary)}
        for _ in range(repeats(canary)):
            yield row | own | {"messages": [*row["messages"][:-1], reply]}
