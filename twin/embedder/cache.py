"""Vectors on the disk: sha256 of a text → its float32 vector, one SQLite file for each identity.

A cache saves time and nothing else: whatever is wrong with it is said once, and the vectors are made anew.
"""

import hashlib
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from twin.files import canonical_json, sha256_text
from twin.progress import Progress

FOLDER = Path(".work/states")
KEYS_AT_ONCE = 500  # SQLite before 3.32 takes 999 parameters
WAIT_S = 60.0
"""For another process that writes."""
CHECK_BYTES = 8
TABLE = "CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL)"

Vector = NDArray[np.float32]
Found = TypeVar("Found")


def keep(identity: Mapping[str, Any]) -> Path:
    """Return the file of an identity's vectors."""
    return FOLDER / f"{sha256_text(canonical_json(dict(identity)))[:16]}.sqlite"


def key(maker: str, text: str) -> bytes:
    """Return the key of a text's vector; `maker` is what else decides its bits."""
    return hashlib.sha256(f"{maker}\n{text}".encode("utf-8", "surrogatepass")).digest()


class Cache:
    """Vectors by key; any number of processes may read and write.

    SQLite's rollback journal survives a kill at any moment, and needs no shared memory as its write-ahead log does.
    """

    def __init__(self, path: Path, progress: Progress | None = None) -> None:
        self._path, self._progress = path, progress or Progress()
        self._refused: set[str] = set()

    def get(self, keys: Sequence[bytes], width: int) -> dict[bytes, Vector]:
        """Return the vectors that are here, whole and of this width."""
        if not self._path.exists():
            return {}
        rows = self._try("read", lambda db: [row for some in _some(keys) for row in _select(db, some)])
        found = {name: _unpacked(name, blob, width) for name, blob in rows or ()}
        if any(vector is None for vector in found.values()):
            self._set_aside("a vector in it is damaged")
            return {}
        return {name: vector for name, vector in found.items() if vector is not None}

    def put(self, vectors: Mapping[bytes, Vector]) -> None:
        """Keep vectors, all or none."""
        if vectors:
            rows = [(name, _packed(name, vector)) for name, vector in vectors.items()]
            self._try("write", lambda db: _insert(db, rows))

    def _try(self, what: str, use: Callable[[sqlite3.Connection], Found]) -> Found | None:
        if what in self._refused:
            return None
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with closing(_connect(self._path)) as db, db:
                return use(db)
        except (sqlite3.OperationalError, OSError) as error:
            self._refused.add(what)
            self._progress.keep(f"{self._path} cannot be used to {what} states ({error}): the run goes on without")
        except sqlite3.DatabaseError as error:
            self._set_aside(str(error))
        return None

    def _set_aside(self, reason: str) -> None:
        damaged = self._path.with_suffix(".damaged")
        try:
            # Its journal first: SQLite would play it back into the file that takes the place of this one.
            self._path.with_name(self._path.name + "-journal").unlink(missing_ok=True)
            self._path.replace(damaged)
        except OSError as error:
            self._refused |= {"read", "write"}
            self._progress.keep(f"{self._path}: {reason}, and it cannot be moved ({error}): the run goes on without")
        else:
            self._progress.keep(f"{self._path}: {reason}; it is now {damaged.name}, and its states are made anew")


def _connect(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=WAIT_S)
    try:
        db.execute(TABLE)
    except sqlite3.Error:
        db.close()
        raise
    return db


def _some(keys: Sequence[bytes]) -> Iterator[list[bytes]]:
    rest = iter(keys)
    while some := list(islice(rest, KEYS_AT_ONCE)):
        yield some


def _select(db: sqlite3.Connection, keys: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
    marks = ",".join("?" * len(keys))
    return db.execute(f"SELECT key, vector FROM vectors WHERE key IN ({marks})", keys).fetchall()


def _insert(db: sqlite3.Connection, rows: Sequence[tuple[bytes, bytes]]) -> int:
    return db.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?)", rows).rowcount


def _packed(name: bytes, vector: Vector) -> bytes:
    data = vector.astype("<f4").tobytes()
    return data + _check(name, data)


def _unpacked(name: bytes, blob: bytes, width: int) -> Vector | None:
    # SQLite does not notice a changed bit inside a value.
    data, check = blob[:-CHECK_BYTES], blob[-CHECK_BYTES:]
    if len(data) != 4 * width or check != _check(name, data):
        return None
    return np.frombuffer(data, "<f4")


def _check(name: bytes, data: bytes) -> bytes:
    return hashlib.blake2b(name + data, digest_size=CHECK_BYTES).digest()
