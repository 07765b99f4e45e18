"""The client for threads."""

import asyncio
import threading
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from twin.graph.client.asynchronous import AsyncGraphClient
from twin.graph.connection import Patience
from twin.graph.embedded import NAMES
from twin.graph.names import Names
from twin.graph.slices import PolicyList, PolicyRef, Slice, SliceBatch, Verified
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

T = TypeVar("T")


class GraphClient:
    """Satisfies `Graph`, whose docstrings hold: the other client on a loop in a thread of its own.

    So every wait has one end, that of httpx's name look-ups too, which its client for threads does not bound.
    """

    def __init__(self, url: str, names: Names = NAMES, patience: Patience | None = None) -> None:
        """Nothing is sent yet; raises ConfigError as `Connection`."""
        self.names = names
        self._client = AsyncGraphClient(url, names, patience)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="graph client", daemon=True)
        self._thread.start()

    def _wait(self, asked: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(asked, self._loop).result()

    def add(self, triple: Triple) -> Stored:
        """Store one fact."""
        return self._wait(self._client.add(triple))

    def add_all(self, triples: Iterable[Triple]) -> Stored:
        """Store facts, in as many requests as they need: after a failure the earlier ones may be stored."""
        return self._wait(self._client.add_all(triples))

    def query(
        self,
        subject: str | None = None,
        predicate: str | None = None,
        object: str | None = None,  # noqa: A002
        *,
        min_confidence: float | None = None,
        limit: int = DEFAULT_LIMIT,
    ) -> Found:
        """Return the facts that fit, the surest first."""
        return self._wait(self._client.query(subject, predicate, object, min_confidence=min_confidence, limit=limit))

    def delete(
        self,
        *,
        id: int | None = None,  # noqa: A002
        subject: str | None = None,
        predicate: str | None = None,
        object: str | None = None,  # noqa: A002
    ) -> int:
        """Delete the facts that fit; return how many."""
        return self._wait(self._client.delete(id=id, subject=subject, predicate=predicate, object=object))

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
        return self._wait(
            self._client.traverse(
                start,
                predicates=predicates,
                direction=direction,
                max_hops=max_hops,
                max_results=max_results,
                min_confidence=min_confidence,
                strict=strict,
            )
        )

    def stats(self) -> Stats:
        """Return the size of the graph."""
        return self._wait(self._client.stats())

    def aliases(self, query: str) -> tuple[AliasMatch, ...]:
        """Return the names of the entities that a text names, by the server's table."""
        return self._wait(self._client.aliases(query))

    def known(self, names: Sequence[str]) -> Mapping[str, str]:
        """Return which names are those of entities, each with the canonical one; the first 48 are asked for."""
        return self._wait(self._client.known(names))

    def vocabulary(self, most: int) -> tuple[str, ...]:
        """Return the names of all entities, of at most 500 facts."""
        return self._wait(self._client.vocabulary(most))

    def ready(self) -> Ready:
        """Return whether queries can work."""
        return self._wait(self._client.ready())

    def policies(self) -> PolicyList:
        """Return the policies that slices can be made by."""
        return self._wait(self._client.policies())

    def slice(self, anchor_turn_id: str, policy: PolicyRef | None = None) -> Slice:
        """Return the slice of turns around one turn."""
        return self._wait(self._client.slice(anchor_turn_id, policy))

    def slices(self, anchor_turn_ids: Sequence[str], policy: PolicyRef | None = None) -> SliceBatch:
        """Return the slices around several turns."""
        return self._wait(self._client.slices(anchor_turn_ids, policy))

    def verify(self, made: Slice) -> Verified:
        """Ask the server whether it made this slice."""
        return self._wait(self._client.verify(made))

    def close(self) -> None:
        """Close all connections and end the thread."""
        if self._loop.is_closed():
            return
        self._wait(self._client.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
