"""A graph in a file of this machine, or in memory: the interface over SQLite, with no service to run."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from twin.errors import GraphError
from twin.graph import checks
from twin.graph.names import Names
from twin.graph.store import Store
from twin.graph.values import (
    DEFAULT_HOPS,
    DEFAULT_LIMIT,
    DEFAULT_RESULTS,
    AliasMatch,
    Direction,
    Found,
    Ready,
    Stats,
    Stored,
    Triple,
    Walk,
)
from twin.graph.walk import cut, walk

NAMES = Names()


class EmbeddedGraph:
    """Satisfies `Graph`, whose docstrings hold. Threads may share it, processes the file."""

    def __init__(self, path: Path | None = None, names: Names = NAMES) -> None:
        """Open the file or make it; None keeps the facts in memory.

        Raises:
            DataError: the file is no graph.
            StorageError: the disk refused.
        """
        self.names = names
        self.store = Store(path)

    def add(self, triple: Triple) -> Stored:
        """Store one fact."""
        return self.add_all([triple])

    def add_all(self, triples: Iterable[Triple]) -> Stored:
        """Store facts, all or none."""
        return self.store.upsert(checks.checked(triples, self.names))

    def query(
        self,
        subject: str | None = None,
        predicate: str | None = None,
        object: str | None = None,  # noqa: A002
        *,
        min_confidence: float | None = None,
        limit: int = DEFAULT_LIMIT,
    ) -> Found:
        """Return the facts that fit, the surest first, then the oldest."""
        checks.check_numbers(min_confidence, limit=limit)
        entity, target = checks.given(subject, self.names), checks.given(object, self.names)
        return self.store.query(entity, checks.lowered(predicate), target, min_confidence, limit)

    def delete(
        self,
        *,
        id: int | None = None,  # noqa: A002
        subject: str | None = None,
        predicate: str | None = None,
        object: str | None = None,  # noqa: A002
    ) -> int:
        """Delete the facts that fit; return how many."""
        checks.check_delete(id, subject, predicate, object)
        entity, target = checks.given(subject, self.names), checks.given(object, self.names)
        return self.store.delete(id, entity, checks.lowered(predicate), target)

    def traverse(
        self,
        start: str,
        *,
        predicates: Sequence[str] | None = None,
        direction: Direction = "outgoing",
        max_hops: int = DEFAULT_HOPS,
        max_results: int = DEFAULT_RESULTS,
        min_confidence: float | None = None,
        strict: bool = False,
    ) -> Walk:
        """Walk from `start`, breadth first."""
        checks.check_direction(direction)
        checks.check_numbers(min_confidence, max_hops=max_hops, max_results=max_results)
        found = walk(
            self.store.adjacent,
            self.names.canonical(start),
            predicates=None if predicates is None else {one.lower() for one in predicates},
            direction=direction,
            max_hops=max_hops,
            max_results=max_results,
            min_confidence=min_confidence,
        )
        return cut(found, max_results) if strict else found

    def stats(self) -> Stats:
        """Return the size of the graph."""
        return self.store.stats()

    def aliases(self, query: str) -> tuple[AliasMatch, ...]:
        """Return the names of the entities that a text names."""
        return tuple(self.names.matches(query))

    def known(self, names: Sequence[str]) -> Mapping[str, str]:
        """Return which names are those of entities, each with the canonical one."""
        canonical = {name: self.names.canonical(name) for name in names}
        there = self.store.known({*canonical.values()} - {""})
        return {name: entity for name, entity in canonical.items() if entity in there}

    def vocabulary(self, most: int) -> tuple[str, ...]:
        """Return the names of all entities."""
        return self.store.vocabulary(most)

    def ready(self) -> Ready:
        """Return whether the file can be read."""
        try:
            self.store.check()
        except GraphError as error:
            return Ready(False, False, str(error))
        return Ready(True, True, None)

    def close(self) -> None:
        """Close the file."""
        self.store.close()
