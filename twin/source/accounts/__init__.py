"""An account export, .json, .zip or the folder it unpacks to → conversations, and turns → rows: what chats have alike.

Public of both kinds: the conversations are one JSON array in `conversations.json`, of newer ChatGPT exports several,
`conversations-000.json`…; no live export was at hand. A file may be 1 GB: one conversation is held at a time.
"""

import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, tzinfo
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Final, Literal, NamedTuple, cast

import pyarrow as pa

from twin.errors import DataError
from twin.export.canonical import canonical
from twin.scrub import shown
from twin.source.accounts.array import elements

NAME: Final = re.compile(r"conversations(?:-(\d+))?\.json", re.IGNORECASE)
BATCH_ROWS: Final = 8192
OF_CHATGPT: Final = "mapping"
OF_CLAUDE: Final = "chat_messages"


class Conversation(NamedTuple):
    """One conversation as it stands in the export."""

    file: str
    number: int
    """Its place in the file, from 1."""
    value: dict[str, Any]
    title: str

    def fault(self, told: str, message: object = None) -> DataError:
        """Return an error at this conversation, or at one message of it."""
        return DataError(f"{self.place(message)}: {told}")

    def place(self, message: object = None) -> str:
        """Return where it stands."""
        at = f"{self.file}: conversation {self.number} ({shown(self.title)})"
        return at if message is None else f"{at}, message {shown(message)}"


class Turn(NamedTuple):
    """One message of the conversation as it went."""

    conversation: Conversation
    id: str
    conversation_id: str
    role: str
    author: str | None
    content: str
    created_at: datetime
    depth: int
    """Its place in the conversation: keeps the order of turns of one instant."""


TurnsOf = Callable[[Conversation, tzinfo | None, Counter[str]], Iterator[Turn]]


def kind(path: Path) -> Literal["chatgpt", "claude"] | None:
    """Say whose account export this is, by its first conversation; None where that does not tell."""
    try:
        first = next(conversations(path), None)
    except DataError:
        return None
    if first is None:
        return None
    if isinstance(first.value.get(OF_CHATGPT), dict):
        return "chatgpt"
    return "claude" if isinstance(first.value.get(OF_CLAUDE), list) else None


def conversations(path: Path) -> Iterator[Conversation]:
    """Yield the conversations of an export, one held at a time.

    Raises:
        DataError: a file is missing, cut, not UTF-8, not JSON or not an array of objects.
    """
    for name, opened in _files(path):
        with _reading(name), opened as stream:
            for number, value in enumerate(elements(stream, name), 1):
                if not isinstance(value, dict):
                    raise DataError(f"{name}: conversation {number} is {shown(value)}, not an object. Export again.")
                title = value.get("title") or value.get("name")
                yield Conversation(name, number, value, title if isinstance(title, str) else "")


def batches(path: Path, turns: TurnsOf, zone: tzinfo | None, left_out: Counter[str] | None) -> Iterator[pa.RecordBatch]:
    """Yield the turns of an export in the form of ROWS; `turns` gives those of a conversation, and counts the rest.

    Raises:
        DataError: there is no turn, or one is not usable.
    """
    counts = Counter() if left_out is None else left_out
    held: list[Turn] = []
    empty = True
    for turn in (turn for found in conversations(path) for turn in turns(found, zone, counts)):
        held.append(turn)
        empty = False
        if len(held) == BATCH_ROWS:
            yield _batch(held)
            held = []
    if held:
        yield _batch(held)
    if empty:
        told = ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items()))
        raise DataError(f"{path} holds no message{f' but those left out: {told}' if told else ''}. Export again.")


def text_of(value: object, conversation: Conversation, message: str, name: str) -> str:
    """Return a text, '' for null; an error names the message."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise conversation.fault(f"{name} is {shown(value)}, not text. Export again.", message)
    return value


def id_of(value: object, conversation: Conversation, name: str, message: object = None) -> str:
    """Return an id, which is a text and not empty."""
    if not isinstance(value, str) or not value.strip():
        raise conversation.fault(f"{name} is {shown(value)}; it must be a text. Export again.", message)
    return value


def in_order(times: Iterable[datetime | None], start: datetime | None, left_out: Counter[str]) -> list[datetime] | None:
    """Return times that never step back, so that the order of the conversation holds; None where no time is known.

    One that is missing is that of the message before (`no_time`), at the beginning the first that is known, else
    `start`; one that is earlier than the message before is raised to it (`early_time`).
    """
    found = list(times)
    last = next((time for time in found if time is not None), start)
    if last is None:
        return [] if not found else None
    made = []
    for time in found:
        if time is None:
            left_out["no_time"] += 1
        elif time < last:
            left_out["early_time"] += 1
        last = last if time is None else max(time, last)
        made.append(last)
    return made


def branch(leaf: str, parents: dict[str, str | None]) -> list[str]:
    """Return the ids from the root to `leaf`; an id that is not among `parents` is above the root.

    Raises:
        ValueError: the parents of `leaf` go round in a circle.
    """
    ids: dict[str, None] = {}
    node: str | None = leaf
    while node is not None and node in parents:
        if node in ids:
            raise ValueError(node)
        ids[node] = None
        node = parents[node]
    return list(reversed(ids))


def _batch(turns: list[Turn]) -> pa.RecordBatch:
    columns: dict[str, Any] = {
        name: [getattr(turn, name) for turn in turns] for name in Turn._fields if name != "conversation"
    }
    for name, cells in columns.items():
        if name not in ("created_at", "depth"):
            columns[name] = _texts(name, cells, turns)
    columns["created_at"] = pa.array(columns["created_at"], pa.timestamp("us", "UTC"))
    columns["depth"] = pa.array(columns["depth"], pa.int32())
    return canonical(pa.RecordBatch.from_pydict(columns), {}, lambda row: turns[row].conversation.place(turns[row].id))


def _texts(name: str, cells: list[str | None], turns: list[Turn]) -> pa.Array:
    try:
        return pa.array(cells, pa.string())
    except (pa.ArrowInvalid, UnicodeEncodeError):
        for cell, turn in zip(cells, turns, strict=True):
            try:
                (cell or "").encode()
            except UnicodeEncodeError:
                raise turn.conversation.fault(
                    f"{name} holds half of a surrogate pair, which is no character. Fix it or export again.", turn.id
                ) from None
        raise


def _files(path: Path) -> Iterator[tuple[str, BinaryIO]]:
    """Yield the files of conversations of an export, opened by whoever asks for the next one."""
    with _reading(str(path)):
        if path.is_dir():
            found = {file.name: file for file in path.iterdir()}
            for name in _numbered(found, str(path)):
                yield str(path / name), found[name].open("rb")
        elif zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                for name in _numbered(archive.namelist(), str(path)):
                    yield f"{path}:{name}", cast(BinaryIO, archive.open(name))
        else:
            yield str(path), path.open("rb")


def _numbered(names: Iterable[str], place: str) -> list[str]:
    """Return the names of files of conversations that lie highest, in the order of their numbers."""
    found = [name for name in names if NAME.fullmatch(PurePosixPath(name).name)]
    if not found:
        raise DataError(f"{place} holds no conversations.json. Name the .zip that the export e-mail leads to.")
    top = min(name.count("/") for name in found)
    numbers = {name: cast("re.Match[str]", NAME.fullmatch(PurePosixPath(name).name)).group(1) for name in found}
    return sorted((name for name in found if name.count("/") == top), key=lambda name: (int(numbers[name] or -1), name))


@contextmanager
def _reading(name: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise DataError(f"{name} is missing. Check the path.") from None
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise DataError(f"{name}: the zip data is damaged or cut ({error}). Copy or download it again.") from None
    except (NotImplementedError, RuntimeError) as error:
        if isinstance(error, RecursionError):
            raise
        raise DataError(f"{name}: the zip cannot be unpacked ({error}). Unpack it and name the folder.") from None
    except OSError as error:
        raise DataError(f"{name} cannot be read ({error.strerror}). Name a file that you may read.") from None
