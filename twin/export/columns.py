"""Column names of an export → what each means here; every name that readers of `memory_turns` use is accepted."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from twin.errors import DataError
from twin.scrub import shown

ALIASES: Final = {
    "id": ("id", "turn_id", "message_id"),
    "conversation_id": ("conversation_id", "session_id", "thread_id"),
    "role": ("role",),
    "author": ("author", "author_name", "sender", "sender_name", "username", "user_name"),
    "content": ("content_text", "content", "text", "message"),
    "created_at": ("created_at", "timestamp"),
    "phase": ("phase", "trajectory_phase"),
    "salience": ("salience_score", "salience"),
    "domain": ("domain",),
    "depth": ("trajectory_depth", "depth"),
    "sibling": ("trajectory_sibling_order", "sibling"),
    "content_hash": ("content_hash",),
}
REQUIRED: Final = ("id", "conversation_id", "role", "content", "created_at")
MEANING: Final = {alias: column for column, aliases in ALIASES.items() for alias in aliases}
COLUMNS_SHOWN: Final = 30  # a table of more columns is not listed to its end


@dataclass(frozen=True)
class Columns:
    """The columns of one export file."""

    found: tuple[str, ...]
    """Every column, as the file names it."""
    names: dict[str, str]
    """What a column means → its name in the file; required columns are all there, optional ones may be."""
    places: dict[str, int]
    """What a column means → its place in `found`."""


def match(found: Sequence[str], place: str) -> Columns:
    """Find the columns of an export.

    Raises:
        DataError: a required column is missing, or two columns mean the same.
    """
    names: dict[str, str] = {}
    places: dict[str, int] = {}
    for index, name in enumerate(found):
        meaning = MEANING.get(name.strip().lower())
        if meaning is None:
            continue
        if meaning in names:
            raise DataError(
                f"{place}: the columns {names[meaning]} and {name} both mean {meaning}. Export only one of them."
            )
        names[meaning], places[meaning] = name.strip(), index
    missing = [column for column in REQUIRED if column not in names]
    if missing:
        raise DataError(f"{place}: {_missing(missing, found)}")
    return Columns(tuple(found), names, places)


def are_of_turns(found: Iterable[str]) -> bool:
    """Say whether these columns are enough for conversation turns."""
    return set(REQUIRED) <= {MEANING.get(name.strip().lower()) for name in found}


def _missing(missing: Sequence[str], found: Sequence[str]) -> str:
    wanted = "; ".join(" or ".join(ALIASES[column]) for column in missing)
    there = ", ".join(shown(name) for name in found[:COLUMNS_SHOWN]) or "none"
    if len(found) == 1 and any(mark in found[0] for mark in ";\t|"):
        return (
            f"the file has one column, {there}: its cells are not separated by commas. Export as comma-separated CSV."
        )
    more = f" and {len(found) - COLUMNS_SHOWN} more" if len(found) > COLUMNS_SHOWN else ""
    return f"missing columns: {wanted}. The file has: {there}{more}. Export these columns too, or rename them."
