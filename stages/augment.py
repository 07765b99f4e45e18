"""Every reply of the person with what led to it: turns.parquet → examples.jsonl, one training row a reply.

A row holds the messages that the model sees and learns (tag in the system line), and the reading behind the
tag. Both are functions of the turns before the reply only.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from twin.config.augment import AugmentConfig
from twin.config.load import load
from twin.conversation import Turn, merge
from twin.embedder import Embedder, embedder
from twin.errors import DataError
from twin.files import restore, write_json, write_jsonl
from twin.geometry import REGIMES, Reading
from twin.prompt import Prompt, PromptRecipe, prompt
from twin.text import neutralise

TURNS = Path("data/ingest/turns.parquet")
EXAMPLES = Path("data/augment/examples.jsonl")
RECIPE = Path("data/augment/recipe.json")
METRICS = Path("metrics/augment.json")

COLUMNS = ["id", "conversation_id", "role", "content", "created_at", "held"]
BATCH_ROWS = 8192
DROPPED = ("no_context", "held", "empty")
"""Why a reply is no example."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

DECIMALS = 9
"""Of the scalars in examples.jsonl and the metrics: what is below is noise that differs between machines."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Conversation:
    """One conversation, its turns in order and not yet merged."""

    id: str
    turns: list[Turn]


@dataclass
class Tally:
    """What was seen, made and dropped."""

    counts: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    regimes: Counter[str] = field(default_factory=Counter)
    scalars: list[tuple[float, ...]] = field(default_factory=list)

    def metrics(self) -> Row:
        """Return the counts, and the mean of each scalar where any reply has a reading."""
        names = ("conversations", "turns", "merged_turns", "replies", "examples", "cold_start", "neutralised")
        means = [round(math.fsum(values) / len(values), DECIMALS) for values in zip(*self.scalars, strict=True)]
        return {name: self.counts[name] for name in names} | {
            "dropped": {reason: self.dropped[reason] for reason in DROPPED},
            "regimes": {regime: self.regimes[regime] for regime in REGIMES},
            "mean": dict(zip(Reading.__dataclass_fields__, means, strict=bool(means))),
        }


def augment(conversations: Iterable[Conversation], config: AugmentConfig) -> tuple[list[Row], Tally]:
    """Return one row per reply of the person that something precedes, in the order given.

    Raises:
        DataError: no reply of the person is left; the message counts why.
    """
    recipe, states = PromptRecipe.from_config(config), embedder(config)
    tally = Tally()
    rows = [row for conversation in conversations for row in _rows(conversation, recipe, states, tally)]
    if not rows:
        raise DataError(_nothing(tally))
    return rows, tally


def _rows(conversation: Conversation, recipe: PromptRecipe, states: Embedder, tally: Tally) -> Iterator[Row]:
    merged = merge(conversation.turns)
    tally.counts.update(conversations=1, turns=len(conversation.turns), merged_turns=len(merged))
    texts = list(dict.fromkeys(turn.content for turn in merged))
    known = dict(zip(texts, states.embed(texts), strict=True))
    for position, reply in enumerate(merged):
        if reply.role != "person" or not _answerable(position, reply, tally):
            continue
        # Older turns than the recipe's reach cannot change the prompt: the cost of a reply has a bound.
        before = merged[max(0, position - recipe.reach) : position]
        shown = prompt(before, recipe, lambda contents: np.stack([known[content] for content in contents]))
        _count(shown, reply, tally)
        yield _row(conversation.id, merged[0].created_at, position, reply, shown)


def _answerable(position: int, reply: Turn, tally: Tally) -> bool:
    tally.counts["replies"] += 1
    reason = "no_context" if position == 0 else "held" if reply.held else "" if reply.content.strip() else "empty"
    tally.dropped.update([reason] if reason else [])
    return not reason


def _count(shown: Prompt, reply: Turn, tally: Tally) -> None:
    tally.counts["examples"] += 1
    tally.counts["neutralised"] += neutralise(reply.content) != reply.content
    if shown.reading is None:
        tally.counts["cold_start"] += 1
    else:
        tally.regimes[shown.reading.regime] += 1
        tally.scalars.append(tuple(vars(shown.reading).values()))


def _row(conversation_id: str, started_at: datetime, position: int, reply: Turn, shown: Prompt) -> Row:
    return {
        "id": reply.id,
        "conversation_id": conversation_id,
        "created_at": _iso(reply.created_at),
        "conversation_started_at": _iso(started_at),
        "position": position,
        "turns_before": position,
        "messages": shown.answered(reply.content),
        "tag": shown.tag,
        "reading": _reading(shown.reading),
    }


def _reading(reading: Reading | None) -> Row | None:
    if reading is None:
        return None
    return {name: round(value, DECIMALS) for name, value in vars(reading).items()} | {"regime": reading.regime}


def _iso(moment: datetime) -> str:
    # One width for all, so that the text sorts like the time.
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _nothing(tally: Tally) -> str:
    counts, dropped = tally.counts, tally.dropped
    if not counts["replies"]:
        return f"{TURNS}: none of {counts['turns']} turns is the person's. Name the person's role in ingest.roles."
    return (
        f"{TURNS}: no reply of the person can be learned from: of {counts['replies']} in "
        f"{counts['conversations']} conversations {dropped['no_context']} open their conversation, {dropped['held']} "
        f"were held back by ingest and {dropped['empty']} are empty. Bring longer conversations, or see whether "
        "ingest.roles swaps the speakers."
    )


def read(path: Path) -> Iterator[Conversation]:
    """Yield the conversations of a turns file one after the other; memory holds a batch and a conversation.

    Raises:
        DataError: the file is missing, damaged or not what `ingest` writes.
    """
    seen: set[str] = set()
    for key, rows in groupby(_records(path), key=lambda row: str(row["conversation_id"])):
        if key in seen:
            raise DataError(f"{path}: conversation {key} is not in one piece. {restore(path)}")
        seen.add(key)
        yield Conversation(key, [_turn(row, path) for row in rows])


def _records(path: Path) -> Iterator[Row]:
    if not path.exists():
        raise DataError(f"{path} is missing. {restore(path)}")
    try:
        with pq.ParquetFile(path) as file:
            missing = sorted(set(COLUMNS) - set(file.schema_arrow.names))
            if missing:
                raise DataError(f"{path} has no column {', '.join(missing)}. {restore(path)}")
            for batch in file.iter_batches(BATCH_ROWS, columns=COLUMNS):
                # As whole microseconds: pyarrow would import pandas, a second, to make datetimes.
                moments = batch["created_at"].cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_pylist()
                for row, moment in zip(batch.drop_columns("created_at").to_pylist(), moments, strict=True):
                    yield row | {"created_at": EPOCH + timedelta(microseconds=moment)}
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} is not a readable Parquet file ({error}). {restore(path)}") from error


def _turn(row: Row, path: Path) -> Turn:
    if row["role"] not in ("person", "partner"):
        raise DataError(
            f"{path}: turn {row['id']} has the role {row['role']!r}, not person or partner. {restore(path)}"
        )
    return Turn(row["id"], row["role"], row["content"], row["created_at"], row["held"] is not None)


def main() -> None:
    """Run the stage."""
    config = load(AugmentConfig)
    rows, tally = augment(read(TURNS), config)
    write_jsonl(EXAMPLES, rows)
    write_json(RECIPE, PromptRecipe.from_config(config).to_json())
    write_json(METRICS, tally.metrics())
