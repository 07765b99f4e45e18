"""JSON that a graph answered → typed values, each checked: an answer that cannot be so is worse than none."""

import math
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from twin.errors import DataError
from twin.graph.values import MAX_LIMIT, Found, Stored, Walk

T = TypeVar("T")


class AnswerError(ValueError):
    """What is wrong with an answer, as a clause; the client adds who answered what."""


def read(kind: type[T], value: Any, place: str = "the answer") -> T:
    """Read a dataclass, a tuple of them or a plain value; fields that are not known are passed over.

    Raises:
        AnswerError: a field is missing or of another type, or a number is not finite.
    """
    made: T = _read(kind, value, place)
    return made


def _read(kind: Any, value: Any, place: str) -> Any:
    if is_dataclass(kind):
        return _record(kind, value, place)
    origin = get_origin(kind)
    if origin is tuple:
        if not isinstance(value, list):
            raise AnswerError(f"{place} is {type(value).__name__}, not a list")
        return tuple(_read(get_args(kind)[0], one, f"{place}[{number}]") for number, one in enumerate(value))
    if origin in (Union, UnionType):
        (inner,) = (one for one in get_args(kind) if one is not type(None))
        return None if value is None else _read(inner, value, place)
    if kind is float and type(value) in (int, float) and math.isfinite(value):
        return float(value)
    if kind is not float and type(value) is kind:
        return value
    raise AnswerError(f"{place} is {type(value).__name__}, not {kind.__name__}")


def _record(kind: Any, value: Any, place: str) -> Any:
    if not isinstance(value, dict):
        raise AnswerError(f"{place} is {type(value).__name__}, not an object")
    hints = get_type_hints(kind)
    optional = {name for name, hint in hints.items() if type(None) in get_args(hint)}
    missing = [one.name for one in fields(kind) if one.name not in value and one.name not in optional]
    if missing:
        raise AnswerError(f"{place} has no {', '.join(missing)}")
    return kind(
        **{one.name: _read(hints[one.name], value.get(one.name), f"{place}.{one.name}") for one in fields(kind)}
    )


def found(value: Any, limit: int, min_confidence: float | None) -> Found:
    """Read what a query found; rows, total and limit must agree."""
    made = read(Found, value)
    rows, most = len(made.triples), min(limit, MAX_LIMIT)
    if rows > most:
        raise AnswerError(f"{rows} facts came where at most {most} were asked for")
    if made.total < rows or (rows < most and made.total > rows):
        raise AnswerError(f"total is {made.total} where {rows} facts came of at most {most}")
    if min_confidence is not None and any(one.confidence < min_confidence for one in made.triples):
        raise AnswerError(f"a fact is less sure than the {min_confidence} asked for")
    return made


def walked(value: Any, max_hops: int) -> Walk:
    """Read what a traversal found: each path holds together, has no loop and starts where the others start."""
    made = read(Walk, value)
    for number, path in enumerate(made.paths):
        place, steps = f"path {number}", list(zip(path.entities, path.entities[1:], strict=False))
        if not path.edges or len(steps) != len(path.edges) or path.hops != len(path.edges) or path.hops > max_hops:
            raise AnswerError(
                f"{place} has {len(path.entities)} entities, {len(path.edges)} edges and {path.hops} hops of {max_hops}"
            )
        if len(set(path.entities)) < len(path.entities):
            raise AnswerError(f"{place} is a loop")
        if any({a, b} != {edge.subject, edge.object} for (a, b), edge in zip(steps, path.edges, strict=True)):
            raise AnswerError(f"{place} does not follow its edges")
        if not math.isclose(path.min_confidence, min(edge.confidence for edge in path.edges), abs_tol=1e-9):
            raise AnswerError(f"{place} has a min_confidence that is none of its edges'")
    if len({path.entities[0] for path in made.paths}) > 1:
        raise AnswerError("the paths start at different entities")
    return made


def stored(value: Any, sent: int) -> Stored:
    """Read what writing did; Postgres may roll a batch back and report its first rows as stored."""
    made = read(Stored, value)
    if made.total != made.added + made.updated or made.total != sent:
        raise AnswerError(f"{made.added} added and {made.updated} updated make {made.total}, but {sent} were sent")
    return made


def deleted(value: Any) -> int:
    """Read how many facts were deleted."""
    if not isinstance(value, dict):
        raise AnswerError(f"the answer is {type(value).__name__}, not an object")
    return read(int, value.get("deleted"), "deleted")


def batches(rows: Sequence[bytes], most: int, most_bytes: int) -> list[list[bytes]]:
    """Cut JSON texts into arrays that one request may hold.

    Raises:
        DataError: one text alone is too long.
    """
    made: list[list[bytes]] = [[]]
    size = 2
    for number, row in enumerate(rows):
        if len(row) + 2 > most_bytes:
            raise DataError(f"triple {number} takes {len(row):,} bytes; a request holds {most_bytes:,}. Shorten it.")
        if len(made[-1]) == most or size + len(row) + 1 > most_bytes:
            made.append([])
            size = 2
        made[-1].append(row)
        size += len(row) + 1
    return [one for one in made if one]
