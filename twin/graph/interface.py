"""What a graph can be asked, wherever it is: in a file of this machine, or behind the REST contract.

Names are made canonical and predicates lower-case before anything is written, asked or deleted. Every method may raise
GraphError: the graph did not answer, or not in a way that can be used.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from twin.graph.names import Names
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


class Graph(Protocol):
    """A store of facts with confidence."""

    @property
    def names(self) -> Names:
        """The table by which names are made canonical."""

    def add(self, triple: Triple) -> Stored:
        """Store one fact; one that is there keeps the higher confidence and takes the new source.

        Raises:
            DataError: a name is empty, or the confidence is not from 0 to 1.
        """

    def add_all(self, triples: Iterable[Triple]) -> Stored:
        """Store facts as `add` does; all are checked before the first is stored.

        Raises:
            DataError: some are not usable; each is named by its position.
        """

    def query(
        self,
        subject: str | None = None,
        predicate: str | None = None,
        object: str | None = None,  # noqa: A002
        *,
        min_confidence: float | None = None,
        limit: int = DEFAULT_LIMIT,
    ) -> Found:
        """Return the facts that fit all that is given, the surest first and at most 500.

        Ties in confidence: a graph in a file returns the older fact first; the kernel leaves it open.
        """

    def delete(
        self,
        *,
        id: int | None = None,  # noqa: A002
        subject: str | None = None,
        predicate: str | None = None,
        object: str | None = None,  # noqa: A002
    ) -> int:
        """Delete the facts that fit all that is given; return how many.

        Raises:
            DataError: nothing is given.
        """

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
        """Walk from `start`, breadth first, and return one path to each entity that is reached.

        Of each entity the hundred surest edges are looked at, and filtered after that: a hub can hide what fits. The
        walk ends between entities, so a hub may bring up to 99 paths more than asked; `strict` cuts those off.
        """

    def stats(self) -> Stats:
        """Return the size of the graph."""

    def aliases(self, query: str) -> tuple[AliasMatch, ...]:
        """Return the names of the entities that a text names, by the graph's own table."""

    def known(self, names: Sequence[str]) -> Mapping[str, str]:
        """Return which names are those of entities, each with the canonical one.

        A graph behind HTTP has no route for this and is asked twice for each name, so of many it sees the first 48.
        """

    def vocabulary(self, most: int) -> tuple[str, ...]:
        """Return the names of all entities, in the order of their code points.

        A graph behind HTTP has no route for this and lists the names of at most 500 facts.

        Raises:
            GraphError: there are more than `most`, or more than can be listed.
        """

    def ready(self) -> Ready:
        """Return whether queries can work; a graph that does not answer is not ready, and raises nothing."""

    def close(self) -> None:
        """Let go of the file or the connections."""
