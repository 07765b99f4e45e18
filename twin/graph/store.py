"""Facts in one SQLite file: what the kernel's own store does, route by route.

Names come in as they are stored; `embedded.py` and `server.py` make them so. Where the kernel leaves the order of equal
confidences open, the older fact, that of the smaller id, comes first.
"""

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from twin.errors import DataError, GraphError
from twin.files import storing
from twin.graph.values import (
    ADJACENT_ROWS,
    DEFAULT_LIMIT,
    MAX_LIMIT,
    TOP_PREDICATES,
    Fact,
    Found,
    PredicateCount,
    Stats,
    Stored,
    Triple,
)

APPLICATION_ID: Final = 0x7477_696E  # "twin" in ASCII, by which SQLite marks whose file it is
SCHEMA_VERSION: Final = 1
BUSY_MS: Final = 5000
SCHEMA: Final = """
CREATE TABLE facts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    subject TEXT NOT NULL, predicate TEXT NOT NULL, object TEXT NOT NULL,
    confidence REAL NOT NULL, source TEXT NOT NULL,
    created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
    UNIQUE (subject, predicate, object)
);
CREATE INDEX facts_from ON facts (subject, confidence DESC);
CREATE INDEX facts_to ON facts (object, confidence DESC);
CREATE INDEX facts_by ON facts (predicate, confidence DESC);
"""
# The id that ends every index is in rising order, so that these read the first hundred rows and sort nothing.
_FROM: Final = "SELECT subject, predicate, object, confidence, id FROM facts WHERE subject = ?1"
_TO: Final = "SELECT subject, predicate, object, confidence, id FROM facts WHERE object = ?1"
_SUREST: Final = f"ORDER BY confidence DESC, id LIMIT {ADJACENT_ROWS}"
_ADJACENT: Final = {
    "outgoing": f"{_FROM} {_SUREST}",
    "incoming": f"{_TO} {_SUREST}",
    "both": f"SELECT * FROM ({_FROM} {_SUREST}) UNION ALL SELECT * FROM ({_TO} AND subject <> ?1 {_SUREST}) {_SUREST}",
}
_ENTITIES: Final = "SELECT subject FROM facts UNION SELECT object FROM facts"
_KNOWN: Final = (
    "SELECT 1 WHERE EXISTS (SELECT 1 FROM facts WHERE subject = ?1) OR EXISTS (SELECT 1 FROM facts WHERE object = ?1)"
)


class Store:
    """One connection, shared by all threads; each statement or transaction has it to itself."""

    def __init__(self, path: Path | None = None) -> None:
        """Open the file, or make it; None keeps the facts in memory.

        Raises:
            DataError: the file is no graph.
            StorageError: the disk refused.
        """
        self._place = "the graph in memory" if path is None else str(path)
        self._lock = threading.RLock()
        if path is not None:
            with storing(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
        name = ":memory:" if path is None else path.absolute().as_posix()
        # Autocommit: a statement alone is a transaction, and `_writing` says where several are one.
        self._connection = sqlite3.connect(name, isolation_level=None, check_same_thread=False)
        try:
            with self._using() as connection:
                connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
                self._prepare(connection)
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self, connection: sqlite3.Connection) -> None:
        try:
            (application,) = connection.execute("PRAGMA application_id").fetchone()
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise
            raise DataError(f"{self._place} is not an SQLite file. Name another, or load the facts anew.") from error
        if (application, version) == (APPLICATION_ID, SCHEMA_VERSION):
            return
        if tables:
            raise DataError(
                f"{self._place} is an SQLite file, but no graph of version {SCHEMA_VERSION} (application "
                f"{application:#x}, version {version}). Name another, or load the facts anew."
            )
        connection.execute("PRAGMA journal_mode = WAL")
        marks = f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION};"
        connection.executescript(f"BEGIN IMMEDIATE; {SCHEMA} {marks} COMMIT;")

    @contextmanager
    def _using(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._connection
            except sqlite3.Error as error:
                raise GraphError(
                    f"{self._place}: {error}. See that no other program holds it, and try again."
                ) from error

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._using() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def upsert(self, triples: Iterable[Triple]) -> Stored:
        """Store all or none; of a fact that is there, the higher confidence and the new source are kept."""
        added = total = 0
        with self._writing() as connection:
            for one in triples:
                row = (one.subject, one.predicate, one.object, one.confidence, one.source)
                made = connection.execute(
                    "INSERT INTO facts (subject, predicate, object, confidence, source) VALUES (?, ?, ?, ?, ?) "
                    "ON CONFLICT (subject, predicate, object) DO NOTHING",
                    row,
                ).rowcount
                if not made:
                    connection.execute(
                        "UPDATE facts SET confidence = max(confidence, ?4), source = ?5 "
                        "WHERE subject = ?1 AND predicate = ?2 AND object = ?3",
                        row,
                    )
                added, total = added + made, total + 1
        return Stored(added, total - added, total)

    def query(
        self,
        subject: str | None = None,
        predicate: str | None = None,
        object: str | None = None,  # noqa: A002
        min_confidence: float | None = None,
        limit: int = DEFAULT_LIMIT,
    ) -> Found:
        """Return what fits all filters, by falling confidence, and the count of all that fits."""
        filters = {"subject = ?": subject, "predicate = ?": predicate, "object = ?": object}
        where, values = _where(filters | {"confidence >= ?": min_confidence})
        with self._using() as connection:
            (total,) = connection.execute(f"SELECT count(*) FROM facts{where}", values).fetchone()
            rows = connection.execute(
                "SELECT id, subject, predicate, object, confidence, source, created_at "
                f"FROM facts{where} ORDER BY confidence DESC, id LIMIT ?",
                [*values, min(limit, MAX_LIMIT)],
            ).fetchall()
        return Found(tuple(Fact(*row) for row in rows), total)

    def delete(self, id: int | None, subject: str | None, predicate: str | None, object: str | None) -> int:  # noqa: A002
        """Delete what fits all filters, of which one is given; return how many."""
        where, values = _where(
            {"id = ?": id} | {"subject = ?": subject, "predicate = ?": predicate, "object = ?": object}
        )
        assert where, "a delete without a filter would empty the graph"
        with self._using() as connection:
            return connection.execute(f"DELETE FROM facts{where}", values).rowcount

    def adjacent(self, entity: str, direction: str) -> list[tuple[str, str, str, float, int]]:
        """Return the hundred surest edges of an entity; a direction that is not known is outgoing."""
        statement = _ADJACENT.get(direction, _ADJACENT["outgoing"])
        with self._using() as connection:
            return connection.execute(statement, (entity,)).fetchall()

    def known(self, entities: Iterable[str]) -> set[str]:
        """Return which entities have an edge: two look-ups in an index each, whatever the size of the graph."""
        with self._using() as connection:
            return {entity for entity in entities if connection.execute(_KNOWN, (entity,)).fetchone()}

    def vocabulary(self, most: int) -> tuple[str, ...]:
        """Return the names of all entities in the order of their code points; GraphError where they are too many."""
        with self._using() as connection:
            (count,) = connection.execute(f"SELECT count(*) FROM ({_ENTITIES})").fetchone()
            if count > most:
                raise GraphError(f"{self._place} names {count:,} entities; at most {most:,} are listed.")
            return tuple(name for (name,) in connection.execute(f"{_ENTITIES} ORDER BY 1"))

    def stats(self) -> Stats:
        """Return the size of the graph; predicates of equal count in alphabetical order."""
        with self._using() as connection:
            triples, subjects, predicates = connection.execute(
                "SELECT count(*), count(DISTINCT subject), count(DISTINCT predicate) FROM facts"
            ).fetchone()
            top = connection.execute(
                "SELECT predicate, count(*) AS n FROM facts GROUP BY predicate ORDER BY n DESC, predicate LIMIT ?",
                (TOP_PREDICATES,),
            ).fetchall()
        return Stats(triples, subjects, predicates, tuple(PredicateCount(*row) for row in top))

    def check(self) -> None:
        """Raise GraphError unless a query works."""
        with self._using() as connection:
            connection.execute("SELECT 1 FROM facts LIMIT 1").fetchone()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()


def _where(filters: Mapping[str, str | float | None]) -> tuple[str, list[str | float]]:
    used = {test: value for test, value in filters.items() if value is not None}
    return (f" WHERE {' AND '.join(used)}" if used else ""), list(used.values())
