"""Kept rows in their order → turns: judged, scrubbed, one conversation at a time."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, Final

import pyarrow as pa

from stages.ingest.rules import Judge
from stages.ingest.tally import Tally
from twin.config.ingest import IngestConfig, Speaker
from twin.export.canonical import EPOCH, INSTANT
from twin.scrub.batch import BatchScrubber, suspects_of_all

PERSON: Final = Speaker.person.value
SCHEMA: Final = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("conversation_id", pa.string(), nullable=False),
        pa.field("position", pa.int64(), nullable=False),
        pa.field("role", pa.string(), nullable=False),
        pa.field("content", pa.string(), nullable=False),
        pa.field("created_at", INSTANT, nullable=False),
        pa.field("phase", pa.string()),
        pa.field("salience", pa.float64()),
        pa.field("domain", pa.string()),
        pa.field("held", pa.string()),
        pa.field("long_form", pa.bool_(), nullable=False),
        pa.field("act", pa.string()),
    ]
)
Row = dict[str, Any]


@dataclass(frozen=True)
class Turn:
    """One turn of a conversation; the columns of turns.parquet."""

    id: str
    conversation_id: str
    position: int
    """0, 1, … in the conversation."""
    role: str
    """person or partner."""
    content: str
    created_at: datetime
    phase: str | None
    salience: float | None
    domain: str | None
    held: str | None
    """Why the turn is context only and no reply to learn from; None when it can be learned."""
    long_form: bool
    """A long reply of the person: the note's remedy where short ones leave the data thin."""
    act: str | None
    """Dialogue act of the person's turn by its surface form, for reporting."""


def turns(tables: Iterable[pa.Table], config: IngestConfig, tally: Tally) -> Iterator[Turn]:
    """Yield the turns of tables of whole conversations in order."""
    judge = Judge(config.cleaning)
    # An address that serves as an id is an address, and the same one throughout.
    ids = BatchScrubber(tally.scrubbed, config.phone_region, second_opinion=True)
    for table in tables:
        texts = BatchScrubber(tally.scrubbed, config.phone_region, second_opinion=True)
        for conversation in _conversations(table, ids, texts, config.phone_region is not None):
            yield from _counted(list(_turns(conversation, judge)), tally)


def _conversations(table: pa.Table, ids: BatchScrubber, texts: BatchScrubber, phones: bool) -> Iterator[list[Row]]:
    keys = table.column("conversation_id").combine_chunks()
    everywhere = pa.nulls(len(table), pa.string()).fill_null("")
    columns = {name: table.column(name).to_pylist() for name in ("speaker", "salience")}
    columns["key"], columns["said"] = keys.to_pylist(), table.column("content").to_pylist()
    columns["moment"] = table.column("created_at").cast(pa.int64()).to_pylist()
    wanted = {"conversation_id": ids, "id": ids, "content": texts, "phase": texts, "domain": texts}
    arrays = [table.column(name).combine_chunks() for name in wanted]
    masks = suspects_of_all(arrays, phones)
    for (name, scrubber), array, mask in zip(wanted.items(), arrays, masks, strict=True):
        columns[name] = scrubber.scrub(array, everywhere if scrubber is ids else keys, mask).to_pylist()
    rows = (dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True))
    for _, conversation in groupby(rows, key=lambda row: row["key"]):
        yield list(conversation)


def _turns(conversation: Sequence[Row], judge: Judge) -> Iterator[Turn]:
    verdicts = judge.conversation([(row["speaker"] == PERSON, row["said"]) for row in conversation])
    for position, (row, verdict) in enumerate(zip(conversation, verdicts, strict=True)):
        yield Turn(
            id=row["id"],
            conversation_id=row["conversation_id"],
            position=position,
            role=row["speaker"],
            content=row["content"],
            created_at=EPOCH + timedelta(microseconds=row["moment"]),
            phase=row["phase"],
            salience=row["salience"],
            domain=row["domain"],
            held=verdict.reason,
            long_form=verdict.long_form,
            act=verdict.act,
        )


def _counted(conversation: list[Turn], tally: Tally) -> list[Turn]:
    tally.conversations += 1
    tally.turns.update(turn.role for turn in conversation)
    for turn in conversation:
        tally.acts.update([turn.act] if turn.act else [])
        tally.long_form += turn.long_form
        if turn.held:
            tally.held[turn.held] += 1
            tally.example(turn.held, turn.id, turn.content)
    moments = [turn.created_at.isoformat() for turn in (conversation[0], conversation[-1])]
    tally.first = min(filter(None, (tally.first, moments[0])))
    tally.last = max(tally.last, moments[1])
    for reply in replies(conversation):
        held = any(turn.held for turn in reply)
        tally.replies += not held
        tally.replies_held += held
    return conversation


def replies(conversation: Iterable[Turn]) -> Iterator[list[Turn]]:
    """Yield the person's replies: runs of their turns with a partner's turn right before."""
    before = ""
    for role, run in groupby(conversation, key=lambda turn: turn.role):
        if role == PERSON and before:
            yield list(run)
        before = role


def batches(made: Iterable[Turn], rows: int) -> Iterator[pa.RecordBatch]:
    """Yield the turns as batches of so many rows, the last one shorter."""
    waiting: list[Turn] = []
    for turn in made:
        waiting.append(turn)
        if len(waiting) == rows:
            yield _batch(waiting)
            waiting = []
    if waiting:
        yield _batch(waiting)


def _batch(rows: list[Turn]) -> pa.RecordBatch:
    columns = {field.name: [getattr(turn, field.name) for turn in rows] for field in fields(Turn)}
    return pa.RecordBatch.from_pydict(columns, schema=SCHEMA)
