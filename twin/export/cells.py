"""One cell of a table → its typed value: text in its canonical form, times in UTC, numbers finite.

The exact reading of a cell: what `canonical` cannot settle for a whole column at once is decided here.
"""

import math
from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from typing import Any, Final
from uuid import UUID

from twin.scrub import shown

NO_ROLE: Final = "none"  # how the role map names a row whose role is NULL
WHITE_SPACE: Final = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
"""Unicode's White_Space, of which content_hash is taken; str.strip() also strips U+001C to U+001F."""


class CellError(ValueError):
    """What is wrong with a cell, and the next move; the caller says where it stands."""


def name(value: Any) -> str | None:
    """Return a short text such as an id or a role, without white space around it; None when empty or NULL."""
    if isinstance(value, UUID) or (isinstance(value, int) and not isinstance(value, bool)):
        return str(value)
    return text(value).strip(WHITE_SPACE) or None


def id_(value: Any) -> str:
    """Return the id of a row."""
    found = name(value)
    if found is None:
        raise CellError("is empty. Give every row one.")
    return found


def role(value: Any) -> str:
    """Return a role in lower case, as readers of the table compare it; NO_ROLE for NULL."""
    return (name(value) or NO_ROLE).lower()


def content(value: Any) -> str:
    """Return what was said in the form that the table's content_hash is taken of; NULL is empty."""
    return text(value).replace("\r\n", "\n").replace("\r", "\n").strip(WHITE_SPACE)


def instant(value: Any, zone: tzinfo | None) -> datetime:
    """Return a time in UTC; `zone` is that of times that name none, None if there must be no such time."""
    if value is None or value == "":
        raise CellError("is empty. Export the time of every turn.")
    if not isinstance(value, str | datetime):
        raise CellError(f"is {shown(value)}; it must be ISO 8601 text: 2026-01-31T09:30:00+00:00.")
    try:
        moment = datetime.fromisoformat(value.strip(WHITE_SPACE)) if isinstance(value, str) else value
        moment = moment if moment.tzinfo else moment.replace(tzinfo=zone)
        if moment.tzinfo is None:
            raise CellError(
                f"is {shown(value)}, which has no zone. Export timestamptz, or say which zone it is in: "
                "`twin bring … --zone UTC`."
            )
        return moment.astimezone(UTC)
    except CellError:
        raise
    except (ValueError, OverflowError):
        raise CellError(f"is {shown(value)}; it must be ISO 8601 with a zone: 2026-01-31T09:30:00+00:00.") from None


def number(value: Any) -> float | None:
    """Return a finite number; None when empty or NULL."""
    if value is None or value == "":
        return None
    try:
        found = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found):
        raise CellError(f"is {shown(value)}; it must be a finite number. Fix the row or export again.")
    return found


def integer(value: Any) -> int:
    """Return a whole number of 32 bits; 0 when empty or NULL."""
    found = number(value)
    if found is None:
        return 0
    if not found.is_integer() or not -(2**31) <= found < 2**31:
        raise CellError(f"is {shown(found)}; it must be a whole number of 32 bits. Fix the row or export again.")
    return int(found)


def text(value: Any) -> str:
    """Return text as it stands; '' for NULL."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise CellError(f"is {_kind(value)}, not text. Export it as text.")
    if "\0" in value:
        raise CellError("holds a NUL, which no text has. Remove it or export again.")
    if not (value.isascii() or _encodes(value)):
        raise CellError("holds half of a surrogate pair, which is no character. Fix the row or export again.")
    return value


READERS: Final[dict[str, Callable[[Any], Any]]] = {
    "id": id_,
    "conversation_id": name,
    "role": role,
    "author": name,
    "content": content,
    "phase": name,
    "salience": number,
    "domain": name,
    "depth": integer,
    "sibling": integer,
    "content_hash": name,
}
"""What a cell means → how it is read; `created_at` needs a zone and is not among them."""


def _encodes(value: str) -> bool:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _kind(value: object) -> str:
    names = {bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return names.get(type(value), type(value).__name__)
