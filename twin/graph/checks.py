"""What is asked of a graph → the same in the graph's own words, or an error that names all that is wrong."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from twin.errors import DataError
from twin.graph.names import Names, relation
from twin.graph.values import DIRECTIONS, Triple
from twin.scrub import shown

SHOWN_PROBLEMS = 10


def canonical_triple(triple: Triple, names: Names) -> Triple:
    """Return the triple as it is stored."""
    return replace(
        triple,
        subject=names.canonical(triple.subject),
        predicate=relation(triple.predicate),
        object=names.canonical(triple.object),
    )


def problems_of(triple: Triple) -> list[str]:
    """Return what keeps a triple, in canonical form, from being stored."""
    texts = {name: getattr(triple, name) for name in ("subject", "predicate", "object")}
    problems = [f"the {name} is empty" for name, text in texts.items() if not text]
    # Postgres refuses NUL and reports the rows before it as stored; no surrogate can be sent.
    problems += [
        f"the {name} holds {what}"
        for name, text in (texts | {"source": triple.source}).items()
        for what, held in (("a NUL", "\0" in text), ("half of a surrogate pair", _is_broken(text)))
        if held
    ]
    if not (math.isfinite(triple.confidence) and 0 <= triple.confidence <= 1):
        problems.append(f"the confidence is {triple.confidence}, not from 0 to 1")
    return problems


def _is_broken(text: str) -> bool:
    return any("\ud800" <= letter <= "\udfff" for letter in text)


def checked(triples: Iterable[Triple], names: Names) -> list[Triple]:
    """Return the triples as they are stored.

    Raises:
        DataError: some cannot be; all are told, the first ten of them by position.
    """
    made = [canonical_triple(triple, names) for triple in triples]
    wrong = [f"triple {place}: {'; '.join(found)}" for place, one in enumerate(made) if (found := problems_of(one))]
    if wrong:
        raise DataError(f"{listed(wrong)}. Nothing was stored.")
    return made


def listed(problems: Sequence[str]) -> str:
    """Join problems for a message; of more than ten, the rest is a number."""
    more = len(problems) - SHOWN_PROBLEMS
    return " · ".join(problems[:SHOWN_PROBLEMS]) + (f" · and {more} more" if more > 0 else "")


def given(name: str | None, names: Names) -> str | None:
    """Return a filter on an entity in canonical form; None filters nothing, an empty name is one."""
    return None if name is None else names.canonical(name)


def lowered(predicate: str | None) -> str | None:
    """Return a filter on a predicate as predicates are stored."""
    return None if predicate is None else relation(predicate)


def check_delete(*filters: object) -> None:
    """Refuse to delete everything by leaving all filters out."""
    if all(one is None for one in filters):
        raise DataError("nothing says what to delete. Give an id, a subject, a predicate or an object.")


def check_numbers(min_confidence: float | None, **counts: int) -> None:
    """Refuse counts below 0 and a confidence that no fact can be compared with."""
    for name, count in counts.items():
        if count < 0:
            raise DataError(f"{name} is {count}; it must be 0 or more.")
    if min_confidence is not None and not math.isfinite(min_confidence):
        raise DataError(f"min_confidence is {min_confidence}; it must be a number.")


def check_direction(direction: str) -> None:
    """Refuse what the kernel would take for outgoing without a word."""
    if direction not in DIRECTIONS:
        raise DataError(
            f"direction is {shown(direction)}; it must be {', '.join(DIRECTIONS[:-1])} or {DIRECTIONS[-1]}."
        )
