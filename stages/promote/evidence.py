"""What earlier stages left: nested mappings → numbers and intervals that can be relied on."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from stages.promote.decision import Gate, State
from stages.promote.files import Files
from stages.promote.human import Ratings
from twin.config.promote import PromoteConfig

Tree = Mapping[str, Any]

CONVERSATIONS_MIN = 20
"""Fewer make every interval over conversations too uncertain to decide on."""
NONE_RATED = Ratings()


@dataclass(frozen=True)
class Evidence:
    """What earlier stages left; a file that is missing is an empty mapping."""

    evaluate: Tree
    split: Tree
    recipe: Tree
    base: Tree
    ingest: Tree
    ratings: Ratings = NONE_RATED
    files: Files | None = None
    """None is not known."""


@dataclass(frozen=True)
class Interval:
    """A value with its one-sided 95 % bounds, over `n` replies of `clusters` conversations."""

    value: float
    lower: float
    upper: float
    n: int
    clusters: int


@dataclass(frozen=True)
class Difference(Interval):
    """How far the twin is ahead, with the p-value of its being behind."""

    p_worse: float


def look_up(tree: Tree, *path: str) -> Any:
    """Return the value at `path`, None if there is none."""
    found: Any = tree
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def number(tree: Tree, *path: str) -> float | None:
    """Return the finite number at `path`; None if it is missing, NaN or something else."""
    found = look_up(tree, *path)
    usable = isinstance(found, int | float) and not isinstance(found, bool) and math.isfinite(found)
    return float(found) if usable else None


def interval(tree: Tree, *path: str) -> Interval | None:
    """Return the interval at `path`; None if any part of it is missing."""
    found = {name: number(tree, *path, name) for name in ("value", "lower", "upper", "n", "clusters")}
    value, lower, upper, n, clusters = found.values()
    if value is None or lower is None or upper is None or n is None or clusters is None:
        return None
    return Interval(value, lower, upper, int(n), int(clusters))


def difference(tree: Tree, *path: str) -> Difference | None:
    """Return the difference at `path`; None if any part of it is missing."""
    found, p = interval(tree, *path), number(tree, *path, "p_worse")
    return None if found is None or p is None else Difference(**asdict(found), p_worse=p)


def passed(holds: bool) -> State:
    """Return PASS or FAIL."""
    return State.passed if holds else State.failed


def unmeasured(name: str, what: str) -> Gate:
    """Return the gate that nothing is known of."""
    return Gate(name, State.unknown, f"{what} was not measured.")


def enough(found: Interval, config: PromoteConfig) -> bool:
    """Return whether an interval rests on prompts and conversations enough."""
    return found.n >= config.test_prompts_min and found.clusters >= CONVERSATIONS_MIN


def if_enough(gate: Gate, found: Interval, config: PromoteConfig) -> Gate:
    """Return the gate, UNKNOWN if it rests on too few prompts or conversations."""
    if enough(found, config):
        return gate
    why = f"{gate.why} {found.n} prompts from {found.clusters} conversations are too few. {too_few(config)}"
    return replace(gate, state=State.unknown, why=why, rejects=False)


def too_few(config: PromoteConfig) -> str:
    """Say how much is needed."""
    return f"At least {config.test_prompts_min} prompts from {CONVERSATIONS_MIN} conversations are needed."
