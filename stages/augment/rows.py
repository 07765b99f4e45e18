"""A chunk of conversations with the states of its texts → its rows of examples.jsonl and what they count.

`written` is a pure function of its arguments: the same bytes in this process, in another and on another machine.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stages.augment.tally import DECIMALS, SCALARS, Tally
from twin.acts import act
from twin.conversation import Turn, merge
from twin.embedder import Embedder
from twin.geometry import Reading
from twin.prompt import Prompt, PromptRecipe, prompts
from twin.text import neutralise
from twin.turns import Conversation

Row = dict[str, Any]

CHUNK_TURNS: Final = 2000
"""Turns as `ingest` wrote them; 384 dimensions of float64 make 6 MB, below the 10 MB at which Dask warns."""

# As `twin.files.write_jsonl` writes a row; made once, since making it costs as much as a short row.
ENCODER: Final = json.JSONEncoder(sort_keys=True, ensure_ascii=False, allow_nan=False)


@dataclass(frozen=True)
class Merged:
    """A conversation whose turns alternate, and where their states stand in the chunk."""

    id: str
    turns: list[Turn]
    states_T: list[int]


@dataclass(frozen=True)
class Chunk:
    """Whole conversations, and one state for each of their texts."""

    turns: int
    """Before they were merged."""
    conversations: list[Merged]
    states_N_D: NDArray[np.float64]


@dataclass(frozen=True)
class Part:
    """What a chunk becomes: whole lines and what they count; the placebo also asks who has which reading."""

    lines: bytes
    tally: Tally
    ids: list[str]
    """Of the replies that have a reading."""
    readings_N_S: NDArray[np.float64]


def chunked(conversations: Iterable[Conversation], embedder: Embedder) -> Iterator[Chunk]:
    """Yield chunks of some `CHUNK_TURNS` turns, more where one conversation has more."""
    waiting: list[Conversation] = []
    turns = 0
    for conversation in conversations:
        if waiting and turns + len(conversation.turns) > CHUNK_TURNS:
            yield _chunk(waiting, embedder)
            waiting, turns = [], 0
        waiting.append(conversation)
        turns += len(conversation.turns)
    if waiting:
        yield _chunk(waiting, embedder)


def _chunk(conversations: Sequence[Conversation], embedder: Embedder) -> Chunk:
    merged = [merge(conversation.turns) for conversation in conversations]
    place: dict[str, int] = {}
    places = [[place.setdefault(turn.content, len(place)) for turn in turns] for turns in merged]
    ids = [conversation.id for conversation in conversations]
    turns = sum(len(conversation.turns) for conversation in conversations)
    return Chunk(turns, list(map(Merged, ids, merged, places)), embedder.embed(list(place)))


def written(chunk: Chunk, recipe: PromptRecipe) -> Part:
    """Write the rows of a chunk, one for each reply of the person that something precedes."""
    tally = Tally()
    tally.counts.update(
        conversations=len(chunk.conversations),
        turns=chunk.turns,
        merged_turns=sum(len(conversation.turns) for conversation in chunk.conversations),
    )
    lines: list[str] = []
    read: list[tuple[str, str, Reading]] = []
    for conversation in chunk.conversations:
        states_T_D = chunk.states_N_D[conversation.states_T]
        for position, shown in _answerable(conversation.turns, states_T_D, recipe, tally):
            reply = conversation.turns[position]
            does = act(reply.content)
            _count(shown, reply, does, tally)
            lines.append(encoded(_row(conversation, position, shown, does)))
            if shown.reading is not None:
                read.append((reply.id, does, shown.reading))
    tally.read([does for _, does, _ in read], [reading for *_, reading in read])
    readings_N_S = np.array([list(vars(reading).values()) for *_, reading in read]).reshape(-1, len(SCALARS))
    return Part("".join(lines).encode("utf-8"), tally, [name for name, *_ in read], readings_N_S)


def encoded(row: Row) -> str:
    """Return the line of a row, its line end with it."""
    return ENCODER.encode(row) + "\n"


def _answerable(
    merged: Sequence[Turn], states_T_D: NDArray[np.float64], recipe: PromptRecipe, tally: Tally
) -> Iterator[tuple[int, Prompt]]:
    """Yield place and prompt of each reply that is an example, and count those that are not."""
    opens = bool(merged) and merged[0].role == "person"
    tally.counts["replies"] += opens
    tally.dropped["no_context"] += opens
    for position, shown in prompts(merged, recipe, states_T_D):
        reply = merged[position]
        reason = "held" if reply.held else "" if reply.content.strip() else "empty"
        tally.counts["replies"] += 1
        if reason:
            tally.dropped[reason] += 1
        else:
            yield position, shown


def _count(shown: Prompt, reply: Turn, does: str, tally: Tally) -> None:
    tally.counts["examples"] += 1
    tally.counts["cold_start"] += shown.reading is None
    tally.counts["neutralised"] += neutralise(reply.content) != reply.content
    tally.acts[does] += 1


def _row(conversation: Merged, position: int, shown: Prompt, does: str) -> Row:
    reply = conversation.turns[position]
    return {
        "id": reply.id,
        "conversation_id": conversation.id,
        "created_at": _iso(reply.created_at),
        "conversation_started_at": _iso(conversation.turns[0].created_at),
        "position": position,
        "turns_before": position,
        "messages": shown.answered(reply.content),
        "tag": shown.tag,
        "reading": reading_json(shown.reading),
        "act": does,
    }


def reading_json(reading: Reading | None) -> Row | None:
    """Return a reading as a row holds it."""
    if reading is None:
        return None
    return {name: round(value, DECIMALS) for name, value in vars(reading).items()} | {"regime": reading.regime}


def _iso(moment: datetime) -> str:
    # One width for all, so that the text sorts like the time.
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
