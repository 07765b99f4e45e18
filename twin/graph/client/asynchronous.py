"""The client for `await`."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import orjson

from twin.errors import GraphError
from twin.graph import answers, checks
from twin.graph.connection import Connection, Patience
from twin.graph.embedded import NAMES
from twin.graph.names import Names
from twin.graph.slices import PolicyList, PolicyRef, Slice, SliceBatch, Verified
from twin.graph.values import (
    DEFAULT_HOPS,
    DEFAULT_LIMIT,
    DEFAULT_RESULTS,
    MAX_BATCH,
    MAX_BODY_BYTES,
    MAX_LIMIT,
    AliasMatch,
    Direction,
    Found,
    Ready,
    Stats,
    Stored,
    Triple,
    Walk,
)
from twin.graph.walk import cut

KNOWLEDGE = "/api/knowledge"
MOST_NAMES = 48
"""Of those whose being known is asked."""
AT_ONCE = 8
"""Requests under way for them; the kernel has ten connections to its database."""


class AsyncGraphClient:
    """As `Graph`, with every method to be awaited."""

    def __init__(self, url: str, names: Names = NAMES, patience: Patience | None = None) -> None:
        """Nothing is sent yet; raises ConfigError as `Connection`."""
        self.names = names
        self._connection = Connection(url, patience or Patience())

    async def add(self, triple: Triple) -> Stored:
        """Store one fact."""
        (one,) = checks.checked([triple], self.names)
        understand = partial(answers.stored, sent=1)
        return await self._connection.ask("POST", KNOWLEDGE, understand, body=orjson.dumps(asdict(one)), reads=False)

    async def add_all(self, triples: Iterable[Triple]) -> Stored:
        """Store facts, in as many requests as they need: after a failure the earlier ones may be stored."""
        rows = [orjson.dumps(asdict(one)) for one in checks.checked(triples, self.names)]
        added = updated = 0
        for batch in answers.batches(rows, MAX_BATCH, MAX_BODY_BYTES):
            body, understand = b"[" + b",".join(batch) + b"]", partial(answers.stored, sent=len(batch))
            try:
                done = await self._connection.ask("POST", f"{KNOWLEDGE}/batch", understand, body=body, reads=False)
            except GraphError as error:
                raise GraphError(f"{error} {added + updated} of {len(rows)} facts were stored before.") from None
            added, updated = added + done.added, updated + done.updated
        return Stored(added, updated, added + updated)

    async def query(
        self,
        subject: str | None = None,
        predicate: str | None = None,
        object: str | None = None,  # noqa: A002
        *,
        min_confidence: float | None = None,
        limit: int = DEFAULT_LIMIT,
    ) -> Found:
        """Return the facts that fit, the surest first."""
        checks.check_numbers(min_confidence, limit=limit)
        params = _given(self._entities(subject, checks.lowered(predicate), object))
        params |= _given({"min_confidence": min_confidence, "limit": limit})
        understand = partial(answers.found, limit=limit, min_confidence=min_confidence)
        texts = {name: str(value) for name, value in params.items()}
        return await self._connection.ask("GET", KNOWLEDGE, understand, params=texts)

    async def delete(
        self,
        *,
        id: int | None = None,  # noqa: A002
        subject: str | None = None,
        predicate: str | None = None,
        object: str | None = None,  # noqa: A002
    ) -> int:
        """Delete the facts that fit; return how many."""
        checks.check_delete(id, subject, predicate, object)
        wanted = _given({"id": id} | self._entities(subject, checks.lowered(predicate), object))
        return await self._connection.ask("DELETE", KNOWLEDGE, answers.deleted, body=orjson.dumps(wanted), reads=False)

    async def traverse(
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
        wanted = {"start": self.names.canonical(start), "direction": direction, "max_hops": max_hops}
        wanted |= _given({"max_results": max_results, "min_confidence": min_confidence})
        wanted |= {} if predicates is None else {"predicates": [one.lower() for one in predicates]}
        understand = partial(answers.walked, max_hops=max_hops)
        made = await self._connection.ask("POST", f"{KNOWLEDGE}/traverse", understand, body=orjson.dumps(wanted))
        return cut(made, max_results) if strict else made

    async def stats(self) -> Stats:
        """Return the size of the graph."""
        return await self._connection.ask("GET", f"{KNOWLEDGE}/stats", partial(answers.read, Stats))

    async def aliases(self, query: str) -> tuple[AliasMatch, ...]:
        """Return the names of the entities that a text names, by the server's table."""
        return await self._connection.ask("GET", f"{KNOWLEDGE}/aliases", _aliases, params={"query": query})

    async def known(self, names: Sequence[str]) -> Mapping[str, str]:
        """Return which names are those of entities, each with the canonical one; the first 48 are asked for."""
        canonical = {name: self.names.canonical(name) for name in names}
        wanted = list(dict.fromkeys(entity for entity in canonical.values() if entity))[:MOST_NAMES]
        gate = asyncio.Semaphore(AT_ONCE)

        async def has(entity: str) -> bool:
            async with gate:
                # The total comes without any row.
                return bool(
                    (await self.query(entity, limit=0)).total or (await self.query(object=entity, limit=0)).total
                )

        try:
            # After the first failure the others are called off.
            async with asyncio.TaskGroup() as group:
                asked = {entity: group.create_task(has(entity)) for entity in wanted}
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
        return {name: entity for name, entity in canonical.items() if entity in asked and asked[entity].result()}

    async def vocabulary(self, most: int) -> tuple[str, ...]:
        """Return the names of all entities, of at most 500 facts."""
        found = await self.query(limit=MAX_LIMIT)
        names = sorted({name for fact in found.triples for name in (fact.subject, fact.object)})
        if found.total > len(found.triples):
            raise GraphError(f"the graph has {found.total:,} facts; over HTTP the names of {MAX_LIMIT} can be listed.")
        if len(names) > most:
            raise GraphError(f"the graph names {len(names):,} entities; at most {most:,} are listed.")
        return tuple(names)

    async def ready(self) -> Ready:
        """Return whether queries can work, which neither `/health` nor `/health/live` tells."""
        try:
            return await self._connection.ask("GET", "/health/ready", partial(answers.read, Ready), fine=(200, 503))
        except GraphError as error:
            return Ready(False, False, str(error))

    async def policies(self) -> PolicyList:
        """Return the policies that slices can be made by."""
        return await self._connection.ask("GET", "/api/policies", partial(answers.read, PolicyList))

    async def slice(self, anchor_turn_id: str, policy: PolicyRef | None = None) -> Slice:
        """Return the slice of turns around one turn; its token is not verified yet."""
        body = orjson.dumps(_given({"anchor_turn_id": anchor_turn_id, "policy_ref": policy and asdict(policy)}))
        return await self._connection.ask("POST", "/api/slice", _slice, body=body)

    async def slices(self, anchor_turn_ids: Sequence[str], policy: PolicyRef | None = None) -> SliceBatch:
        """Return the slices around several turns, and why there is none around the others."""
        wanted = {"anchor_turn_ids": list(anchor_turn_ids), "policy_ref": policy and asdict(policy)}
        understand = partial(answers.read, SliceBatch)
        return await self._connection.ask("POST", "/api/slice/batch", understand, body=orjson.dumps(_given(wanted)))

    async def verify(self, made: Slice) -> Verified:
        """Ask the server whether it made this slice; `slices.verify` tells the same here, given the secret."""
        body = orjson.dumps(made.claims())
        return await self._connection.ask("POST", "/api/verify_token", partial(answers.read, Verified), body=body)

    async def close(self) -> None:
        """Close all connections."""
        await self._connection.close()

    def _entities(self, subject: str | None, predicate: str | None, target: str | None) -> dict[str, Any]:
        return {
            "subject": checks.given(subject, self.names),
            "predicate": predicate,
            "object": checks.given(target, self.names),
        }


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _aliases(value: Any) -> tuple[AliasMatch, ...]:
    if not isinstance(value, dict):
        raise answers.AnswerError(f"the answer is {type(value).__name__}, not an object")
    return answers.read(tuple[AliasMatch, ...], value.get("aliases"), "aliases")


def _slice(value: Any) -> Slice:
    if not isinstance(value, dict):
        raise answers.AnswerError(f"the answer is {type(value).__name__}, not an object")
    return answers.read(Slice, value.get("slice"), "slice")
