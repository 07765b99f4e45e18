"""What goes into a graph and what comes out of it: typed values, as the REST contract names them."""

from dataclasses import dataclass
from typing import Final, Literal, get_args

Direction = Literal["outgoing", "incoming", "both"]
DIRECTIONS: Final[tuple[str, ...]] = get_args(Direction)

DEFAULT_CONFIDENCE: Final = 0.5
DEFAULT_SOURCE: Final = "unknown"
DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 500
"""A query returns no more rows than this, whatever is asked for; `total` tells the rest."""
DEFAULT_HOPS: Final = 3
DEFAULT_RESULTS: Final = 100
ADJACENT_ROWS: Final = 100
"""How many edges of one entity a traversal looks at, the surest first."""
MAX_BATCH: Final = 10_000
MAX_BODY_BYTES: Final = 2_097_152
TOP_PREDICATES: Final = 10


@dataclass(frozen=True, slots=True)
class Triple:
    """A fact as it is written; confidence is from 0 to 1."""

    subject: str
    predicate: str
    object: str
    confidence: float = DEFAULT_CONFIDENCE
    source: str = DEFAULT_SOURCE


@dataclass(frozen=True, slots=True)
class Fact:
    """A fact as it is stored; the kernel's single route checks no confidence, so it may lie outside 0 to 1."""

    id: int
    subject: str
    predicate: str
    object: str
    confidence: float
    source: str
    created_at: str
    """As the store writes times: `2026-01-01 00:00:00` in UTC, or with fraction and offset."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a query found: the surest facts first, and how many there are in all."""

    triples: tuple[Fact, ...]
    total: int


@dataclass(frozen=True, slots=True)
class Stored:
    """What writing did; `total` is the sum."""

    added: int
    updated: int
    total: int


@dataclass(frozen=True, slots=True)
class Edge:
    """A fact on a path, oriented as it is stored even when it was walked backwards."""

    subject: str
    predicate: str
    object: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Path:
    """A walk without loops; `entities` tells its direction and has one more than `edges`."""

    entities: tuple[str, ...]
    edges: tuple[Edge, ...]
    hops: int
    min_confidence: float


@dataclass(frozen=True, slots=True)
class WalkStats:
    """What a traversal cost; `edges_traversed` counts edges before any filter."""

    entities_visited: int
    edges_traversed: int
    elapsed_ms: int


@dataclass(frozen=True, slots=True)
class Walk:
    """One path to each entity that was reached, fewest hops first."""

    paths: tuple[Path, ...]
    stats: WalkStats


@dataclass(frozen=True, slots=True)
class PredicateCount:
    """How many facts have a predicate."""

    predicate: str
    count: int


@dataclass(frozen=True, slots=True)
class Stats:
    """The size of a graph; at most ten predicates, the most frequent first."""

    total_triples: int
    unique_subjects: int
    unique_predicates: int
    top_predicates: tuple[PredicateCount, ...]


@dataclass(frozen=True, slots=True)
class AliasMatch:
    """A phrase that names a known entity, and one of the entity's names."""

    original: str
    alias: str
    canonical: str


@dataclass(frozen=True, slots=True)
class Ready:
    """Whether queries can work; `details` says why not."""

    ready: bool
    database: bool
    details: str | None
