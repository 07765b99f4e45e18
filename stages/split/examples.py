"""Examples, a line at a time: what the stage remembers of each, and the way back to the whole row."""

import json
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from twin.config.split import SplitConfig
from twin.errors import DataError
from twin.files import restore
from twin.text import normalise

WORDS = (2, 8, 20)
LENGTHS = ("up_to_2_words", "3_to_8_words", "9_to_20_words", "over_20_words")
"""Lengths of a reply, the rubric's own."""

Row = dict[str, Any]


class Reply(NamedTuple):
    """What is kept of a row: the byte its line starts at, and what the person said, normalised."""

    offset: int
    plain: str


@dataclass(slots=True)
class Conversation:
    """The replies of one conversation, in the order of the file."""

    start: datetime
    id: str
    replies: list[Reply] = field(default_factory=list)


@dataclass(slots=True)
class Tally:
    """Rows read, and rows dropped by reason."""

    examples: int = 0
    dropped: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("prompt_too_long", "reply_too_long"), 0))


def scan(path: Path, config: SplitConfig) -> tuple[list[Conversation], Tally]:
    """Return the conversations by the time of their first turn, ties by id, and what was read and left out.

    Raises:
        DataError: the file is missing or a line is not JSON.
    """
    found: dict[str, Conversation] = {}
    tally = Tally()
    known: dict[str, str] = {}
    for offset, row in rows(path):
        tally.examples += 1
        reason = _too_long(row, config)
        if reason:
            tally.dropped[reason] += 1
            continue
        plain = normalise(reply(row))
        conversation = found.setdefault(row["conversation_id"], Conversation(*started(row)))
        conversation.replies.append(Reply(offset, known.setdefault(plain, plain)))
    return sorted(found.values(), key=lambda conversation: (conversation.start, conversation.id)), tally


def _too_long(row: Row, config: SplitConfig) -> str:
    limit = config.prompt_characters_max
    if limit is not None and sum(len(message["content"]) for message in row["messages"][:-1]) > limit:
        return "prompt_too_long"
    return "reply_too_long" if len(reply(row)) > config.reply_characters_max else ""


def reply(row: Row) -> str:
    """Return what the person said."""
    return str(row["messages"][-1]["content"])


def started(row: Row) -> tuple[datetime, str]:
    """Return what orders conversations: the time of the first turn, then the id."""
    return datetime.fromisoformat(row["conversation_started_at"]), row["conversation_id"]


def length(text: str) -> str:
    """Return which of `LENGTHS` a reply has."""
    return LENGTHS[bisect_left(WORDS, len(text.split()))]


def copied(path: Path, part: Iterable[Conversation]) -> Iterator[tuple[Row, str]]:
    """Yield the rows of the conversations, in their order, and what each says, normalised."""
    with path.open("rb") as file:
        for conversation in part:
            for offset, plain in conversation.replies:
                file.seek(offset)
                yield json.loads(file.readline()), plain


def write(path: Path, rows: Iterable[Row]) -> None:
    """Write the rows as `twin.files.write_jsonl` does, one at a time, into a folder that is not yet in place."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(json.dumps(row, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)


def rows(path: Path, skip: int = 0) -> Iterator[tuple[int, Row]]:
    """Yield each row of a file of one JSON value a line, after the byte its line starts at.

    Args:
        path: the file.
        skip: lines at the start that are passed over unread.

    Raises:
        DataError: the file is missing or a line is not JSON in UTF-8.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing. {restore(path)}") from error
    with file:
        offset = 0
        for number, line in enumerate(file, 1):
            if number > skip and line.strip():
                yield offset, _parse(line, path, number)
            offset += len(line)


def _parse(line: bytes, path: Path, number: int) -> Row:
    try:
        row: Row = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise DataError(f"{path}:{number}: byte {error.start} is not UTF-8. {restore(path)}") from error
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{number}: not JSON ({error.msg}). {restore(path)}") from error
    return row
