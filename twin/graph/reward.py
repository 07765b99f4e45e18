"""How good a path through a graph is: by its shape alone, and by what the graph says of its steps.

Both published forms keep their numbers. What they got wrong is put right here:

- a graph that does not answer leaves a step unknown; it counted as invented, at −5, for as long as the object lived;
- names are canonical and predicates lower-case before they are compared: `ios_app` is `ios-app`, `USES` is `uses`;
- an edge may be walked backwards, as traversals in both directions do: the entities are those of the walk;
- whether two entities are neighbours is asked of their edges, not of a walk that sees a hundred of them.

Source: live-knowledge-graphs, python/kg_reward.py (shape); anticipation-geometry, kg_reward.py (grounding), after
arXiv:2603.14147. A perfect path without a target stays below 1 in the second, as published.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from twin.errors import GraphError
from twin.graph.interface import Graph
from twin.graph.values import Edge, Path

PER_HOP: Final = -0.05
MEAN_CONFIDENCE: Final = 0.3
LEAST_CONFIDENCE: Final = 0.15
PREDICATES: Final = 0.25
BRANCHING: Final = 0.15
BRANCHING_SCALE: Final = 5.0
REVISITS: Final = -0.3
DOMAINS: Final = 0.2
MOST_DOMAINS: Final = 3
STARTS: Final = 0.05
LEAST_SPREAD: Final = 1e-8

VALID: Final = 1.0
INVENTED: Final = -5.0
CONTINUOUS: Final = 2.0
BROKEN: Final = -2.0
GROUNDED: Final = 3.0
ADJACENT: Final = 1.5


def path_reward(
    path: Path, branching: Mapping[str, float] | None = None, domains: Mapping[str, str] | None = None
) -> float:
    """Return the reward of a path's shape, from −1 to 1; 0 for a path without edges.

    Args:
        path: as a traversal returns it, or as `as_path` makes it of edges.
        branching: entity → how many edges leave it, 1 where it is not named; adds to paths through busy entities.
        domains: entity → domain; adds to paths of two hops and more that cross from one into another.
    """
    if not path.edges:
        return 0.0
    hops, confidences = len(path.edges), [edge.confidence for edge in path.edges]
    reward = PER_HOP * hops + MEAN_CONFIDENCE * sum(confidences) / hops + LEAST_CONFIDENCE * min(confidences)
    reward += PREDICATES * len({edge.predicate for edge in path.edges}) / hops
    inner = path.entities[1:-1]
    if branching and inner:
        mean = sum(branching.get(entity, 1) for entity in inner) / len(inner)
        reward += BRANCHING * math.log1p(mean) / BRANCHING_SCALE
    reward += REVISITS * (1 - len(set(path.entities)) / len(path.entities))
    crossed = {domains[entity] for entity in path.entities if entity in domains} if domains else set()
    if hops > 1 and len(crossed) > 1:
        reward += DOMAINS * min(len(crossed) / MOST_DOMAINS, 1.0)
    return max(-1.0, min(1.0, reward))


def trajectory_reward(
    paths: Sequence[Path], branching: Mapping[str, float] | None = None, domains: Mapping[str, str] | None = None
) -> float:
    """Return the mean reward of several paths, and a little for different starts; 0 without paths."""
    if not paths:
        return 0.0
    mean = sum(path_reward(path, branching, domains) for path in paths) / len(paths)
    starts = {path.entities[0] for path in paths if path.edges}
    return max(-1.0, min(1.0, mean + STARTS * min(len(starts) / len(paths), 1.0)))


def advantage(reward: float, mean: float, deviation: float) -> float:
    """Return how many standard deviations a reward lies above the mean; 0 where nothing varies."""
    return 0.0 if deviation < LEAST_SPREAD else (reward - mean) / deviation


def as_path(edges: Sequence[Edge]) -> Path | None:
    """Return the walk along edges, each forwards or backwards; None when they do not hang together."""
    steps = oriented(edges)
    if any(before[1] != after[0] for before, after in itertools.pairwise(steps)):
        return None
    entities = (steps[0][0], *(end for _, end in steps)) if steps else ()
    return Path(entities, tuple(edges), len(edges), min((edge.confidence for edge in edges), default=0.0))


def oriented(edges: Sequence[Edge]) -> list[tuple[str, str]]:
    """Return where each edge is entered and left: backwards only where that joins it to the edges beside it."""
    steps: list[tuple[str, str]] = []
    for number, edge in enumerate(edges):
        forwards, backwards = (edge.subject, edge.object), (edge.object, edge.subject)
        follower = edges[number + 1] if number + 1 < len(edges) else None
        ahead = {follower.subject, follower.object} if follower else set()
        if steps and steps[-1][1] in forwards:
            steps.append(forwards if steps[-1][1] == edge.subject else backwards)
        else:
            steps.append(backwards if edge.object not in ahead and edge.subject in ahead else forwards)
    return steps


@dataclass(frozen=True, slots=True)
class Grounding:
    """What a graph says of a chain of facts; a sum that an unanswered question leaves open is None."""

    steps: tuple[bool | None, ...]
    """Whether the graph has each fact; None where it did not answer."""
    continuity: float
    terminal: float | None
    """3 at the target, 1.5 one edge away from it, else 0."""
    composite: float | None
    """The sum of the three signals."""
    normalised: float | None
    """The same from −1 (all invented and broken) to 1."""
    outage: str | None
    """The first error of the graph."""

    @property
    def validity(self) -> float | None:
        """1 for each fact the graph has, −5 for each it has not."""
        if None in self.steps:
            return None
        return sum(VALID if step else INVENTED for step in self.steps)

    @property
    def terminal_match(self) -> bool:
        """Whether the chain ends at its target or beside it."""
        return bool(self.terminal)


def kg_reward(graph: Graph, chain: Sequence[Edge] | Path, target: str | None = None) -> Grounding:
    """Return how far a graph bears out a chain of facts: a path of a traversal, or what a reply claims.

    Nothing is raised when the graph fails: what it was asked stays unknown. Each different question is asked once.

    Args:
        graph: what is asked.
        chain: facts in the order of the argument; confidences do not matter here.
        target: the entity the chain should end at.
    """
    asked = _Asked(graph)
    edges = [_canonical(graph, edge) for edge in (chain.edges if isinstance(chain, Path) else chain)]
    if not edges:
        return Grounding((), 0.0, 0.0, 0.0, 0.0, None)
    walked = oriented(edges)
    if isinstance(chain, Path):
        entities = [graph.names.canonical(entity) for entity in chain.entities]
        walked = list(itertools.pairwise(entities))
    steps = tuple(asked.has(edge.subject, edge.predicate, edge.object) for edge in edges)
    joined = [before[1] == after[0] for before, after in itertools.pairwise(walked)]
    continuity = sum(CONTINUOUS if one else BROKEN for one in joined)
    terminal = 0.0 if target is None else asked.terminal(walked[-1][1], graph.names.canonical(target))
    if None in steps or terminal is None:
        return Grounding(steps, continuity, terminal, None, None, asked.outage)
    composite = sum(VALID if step else INVENTED for step in steps) + continuity + terminal
    pairs = len(edges) - 1
    most, least = len(edges) * VALID + pairs * CONTINUOUS + GROUNDED, len(edges) * INVENTED + pairs * BROKEN
    return Grounding(steps, continuity, terminal, composite, 2 * (composite - least) / (most - least) - 1, None)


def _canonical(graph: Graph, edge: Edge) -> Edge:
    names = graph.names
    return Edge(names.canonical(edge.subject), edge.predicate.lower(), names.canonical(edge.object), edge.confidence)


class _Asked:
    """Answers of one reward: after the first failure the graph is left alone, and no failure counts as an answer."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._known: dict[tuple[str, str | None, str], bool] = {}
        self.outage: str | None = None

    def has(self, subject: str, predicate: str | None, object_: str) -> bool | None:
        question = (subject, predicate, object_)
        if question not in self._known and self.outage is None:
            try:
                self._known[question] = self._graph.query(*question, limit=1).total > 0
            except GraphError as error:
                self.outage = str(error)
        return self._known.get(question)

    def terminal(self, end: str, target: str) -> float | None:
        if end == target:
            return GROUNDED
        beside = (self.has(end, None, target), self.has(target, None, end))
        if any(beside):
            return ADJACENT
        return None if None in beside else 0.0
