"""Kept rows in their order → turns: judged, scrubbed, one conversation at a time."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import groupby, pairwise
from typing import Final, NamedTuple

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
IDS: Final = ("conversation_id", "id")
SCRUBBED: Final = (*IDS, "content", "phase", "domain")
Columns = dict[str, list[str]]


class Turn(NamedTuple):
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


def with_suspects(table: pa.Table, phones: bool) -> pa.Table:
    """Return the rows with one more column for each text that is scrubbed: whether there may be something in it.

    For as many rows as possible at once: RE2 needs ten milliseconds to get going.
    """
    masks = suspects_of_all([table.column(name).combine_chunks() for name in SCRUBBED], phones)
    for name, mask in zip(SCRUBBED, masks, strict=True):
        table = table.append_column(f"{name}?", mask)
    return table


def turns(tables: Iterable[pa.Table], config: IngestConfig, tally: Tally) -> Iterator[Turn]:
    """Yield the turns of tables of whole conversations in order, `with_suspects`."""
    judge = Judge(config.cleaning)
    # An address that serves as an id is an address, and the same one throughout.
    ids = BatchScrubber(tally.scrubbed, config.phone_region, second_opinion=True)
    for table in tables:
        texts = BatchScrubber(tally.scrubbed, config.phone_region, second_opinion=True)
        clean = _scrubbed(table, ids, texts)
        for conversation in _conversations(table, clean, judge):
            _count(conversation, tally)
            yield from conversation


def _scrubbed(table: pa.Table, ids: BatchScrubber, texts: BatchScrubber) -> Columns:
    keys = table.column("conversation_id").combine_chunks()
    everywhere = pa.nulls(len(table), pa.string()).fill_null("")
    clean = {}
    for name in SCRUBBED:
        scrubber, whose = (ids, everywhere) if name in IDS else (texts, keys)
        column, mask = table.column(name).combine_chunks(), table.column(f"{name}?").combine_chunks()
        clean[name] = scrubber.scrub(column, whose, mask).to_pylist()
    return clean


def _conversations(table: pa.Table, clean: Columns, judge: Judge) -> Iterator[list[Turn]]:
    """Yield the turns of each conversation; it is judged as it was said, and written `clean`."""
    names = ("conversation_id", "speaker", "content", "salience")
    keys, speakers, said, salience = (table.column(name).to_pylist() for name in names)
    moments = [EPOCH + timedelta(microseconds=one) for one in table.column("created_at").cast(pa.int64()).to_pylist()]
    starts = [row for row, key in enumerate(keys) if row == 0 or key != keys[row - 1]]
    for start, stop in pairwise([*starts, len(keys)]):
        mine = slice(start, stop)
        verdicts = judge.conversation(
            [(one == PERSON, text) for one, text in zip(speakers[mine], said[mine], strict=True)]
        )
        columns = (
            clean["id"][mine], clean["conversation_id"][mine], range(stop - start), speakers[mine],
            clean["content"][mine], moments[mine], clean["phase"][mine], salience[mine], clean["domain"][mine],
            verdicts,
        )  # fmt: skip
        yield [Turn(*values, *verdict) for *values, verdict in zip(*columns, strict=True)]


def _count(conversation: list[Turn], tally: Tally) -> None:
    tally.conversations += 1
    tally.turns.update([turn.role for turn in conversation])
    tally.acts.update([turn.act for turn in conversation if turn.act])
    tally.long_form += sum([turn.long_form for turn in conversation])
    for turn in conversation:
        if turn.held:
            tally.held[turn.held] += 1
            tally.example(turn.held, turn.id, turn.content)
    first, last = conversation[0].created_at.isoformat(), conversation[-1].created_at.isoformat()
    tally.first = min(filter(None, (tally.first, first)))
    tally.last = max(tally.last, last)
    for reply in replies(conversation):
        held = any(turn.held for turn in reply)
        tally.replies += not held
        tally.replies_held += held


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
    columns = [pa.array(values, kind) for values, kind in zip(zip(*rows, strict=True), SCHEMA.types, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)
