"""The unfinished session on disk: answers → .work/ratings/NAME/, flushed one by one; its end → data/ratings/NAME.jsonl.

`secret.json` holds the key and what it was dealt from; `journal.jsonl` begins with the header of the session, which
commits to the key by its hash, and gets a line for everything the rater does. A kill leaves whole lines: half of one
was never confirmed and is cut off. The folder is locked while a page is open.
"""

import errno
import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from twin.errors import DataError
from twin.files import read_json, read_jsonl, staged_folder, storing, write_json, write_jsonl

OPEN: Final = Path(".work/ratings")
ENDED: Final = Path("data/ratings")
SECRET: Final = "secret.json"
EVENTS: Final = "journal.jsonl"
Row = dict[str, Any]


@dataclass(frozen=True)
class Journal:
    """One session that is open, and only here."""

    root: Path
    name: str
    header: Row
    secret: Row
    events: list[Row]
    file: IO[bytes]

    @property
    def target(self) -> Path:
        """Where the session is kept once it has ended, relative to the project."""
        return ENDED / f"{self.name}.jsonl"

    def add(self, event: Row) -> None:
        """Append what happened; when this returns it is on the disk.

        Raises:
            StorageError: the disk refused; nothing was added.
        """
        size = self.file.seek(0, os.SEEK_END)
        line = (json.dumps(event, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8")
        with storing(self.root / OPEN / self.name / EVENTS):
            try:
                if self.file.write(line) != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(self.file.fileno())
            except OSError:
                self.file.truncate(size)
                raise
        self.events.append(event)

    def end(self, answers: Sequence[Row]) -> None:
        """Write the session with what lay where and its key, then drop the journal.

        Raises:
            StorageError: the disk refused; the journal is as it was.
        """
        last = {"kind": "end", "key": self.secret["key"], "answers": len(answers)}
        write_jsonl(self.root / self.target, [self.header, *answers, last])
        shutil.rmtree(self.root / OPEN / self.name, ignore_errors=True)


def create(root: Path, name: str, header: Row, secret: Row) -> None:
    """Lay out a session: the key and the header that commits to it are on the disk before anything is shown."""
    with staged_folder(root / OPEN / name) as part:
        write_json(part / SECRET, secret)
        (part / SECRET).chmod(0o600)
        write_jsonl(part / EVENTS, [header])


def unfinished(root: Path, wanted: Mapping[str, Any]) -> str | None:
    """Return the first open session whose header holds what is wanted; drop what a crash left of ended ones."""
    for folder in sorted((root / OPEN).glob("*/")):
        if (root / ENDED / f"{folder.name}.jsonl").exists():
            shutil.rmtree(folder)
        elif (folder / EVENTS).exists() and wanted.items() <= _header(folder / EVENTS).items():
            return folder.name
    return None


@contextmanager
def opened(root: Path, name: str) -> Iterator[Journal]:
    """Open a session for this process alone.

    Raises:
        DataError: it is open elsewhere, or its journal is not one.
    """
    folder = root / OPEN / name
    with (folder / EVENTS).open("r+b", buffering=0) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DataError(f"{folder} is open in another `twin rate`. Go on there, or end that one first.") from error
        header, *events = _whole(folder / EVENTS)
        yield Journal(root, name, header, read_json(folder / SECRET), events, file)


def _header(path: Path) -> Row:
    with path.open("rb") as file:
        line = file.readline()
    try:
        row = json.loads(line)
    except ValueError:
        row = None
    if not isinstance(row, dict) or row.get("kind") != "session":
        raise DataError(f"{path}:1: no session begins here. Delete its folder, and begin again: `twin rate`.")
    return row


def _whole(path: Path) -> list[Row]:
    """Read the lines and cut off half a line at the end, which a kill may leave."""
    _header(path)
    data = path.read_bytes()
    kept = data.rfind(b"\n") + 1
    if kept < len(data):
        os.truncate(path, kept)
    rows: list[Row] = read_jsonl(path)
    return rows
