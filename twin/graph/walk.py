"""A start → one path to each entity that is reached, breadth first, exactly as the kernel walks.

Source: service/knowledge_handlers.rs, traverse_knowledge_handler. The order of equal confidences is the store's: the
older edge first. The queue, the visited set and the paths live for one walk.
"""

import time
from collections import deque
from collections.abc import Callable, Collection, Sequence

from twin.graph.values import Edge, Path, Walk, WalkStats

Row = tuple[str, str, str, float, int]
"""Subject, predicate, object, confidence and id of an edge."""


def walk(
    adjacent: Callable[[str, str], Sequence[Row]],
    start: str,
    *,
    predicates: Collection[str] | None,
    direction: str,
    max_hops: int,
    max_results: int,
    min_confidence: float | None,
) -> Walk:
    """Walk from `start`, which is canonical; predicates are compared as they are.

    Filters fall after the cut of `adjacent` at a hundred rows, and the end is tested between entities only, so that
    one hub brings up to 99 paths more than `max_results`.
    """
    started_s, seen, paths, traversed = time.perf_counter(), {start}, list[Path](), 0
    waiting = deque([Path((start,), (), 0, float("inf"))])
    while waiting:
        here = waiting.popleft()
        if here.hops >= max_hops or len(paths) >= max_results:
            break
        entity = here.entities[-1]
        for subject, predicate, object_, confidence, _ in adjacent(entity, direction):
            traversed += 1
            if predicates is not None and predicate not in predicates:
                continue
            if min_confidence is not None and confidence < min_confidence:
                continue
            reached = object_ if entity == subject else subject
            if reached in seen:
                continue
            seen.add(reached)
            edge = Edge(subject, predicate, object_, confidence)
            found = Path(
                (*here.entities, reached), (*here.edges, edge), here.hops + 1, min(here.min_confidence, confidence)
            )
            paths.append(found)
            if len(paths) < max_results:
                waiting.append(found)
    elapsed_ms = int((time.perf_counter() - started_s) * 1000)
    return Walk(tuple(paths), WalkStats(len(seen), traversed, elapsed_ms))


def cut(found: Walk, max_results: int) -> Walk:
    """Leave out the paths that a hub brought beyond `max_results`; the costs stay those of the walk."""
    return Walk(found.paths[:max_results], found.stats)
