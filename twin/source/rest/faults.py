"""What a server answered instead of rows → what it means, and whether the same request may be sent again."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

TOO_LONG: Final = ("57014", "PGRST003")  # statement timeout, no connection in time: fewer rows may do
AGAIN_LATER: Final = (408, 416, 425, 429)
"""Statuses below 500 that are tried again; 416 is none that these requests can earn, so it is a slip on the way."""
PAUSED: Final = 540
MOVES: Final = {
    "PGRST205": "the project has no such table, or its Data API does not show it. Check --table and the API settings",
    "42P01": "the project has no such table. Check --table",
    "PGRST106": "the Data API does not show this schema. Expose it in the project's API settings, or check --table",
    "42703": "a column is gone or was renamed while the table was read. Run again",
    "42501": "the key's role may not read this table. Grant it SELECT, or use the project's secret key",
    "PGRST301": "the server does not accept the key as its own. Copy the key of this project again",
    "PGRST302": "the server wants a key. Copy the key of this project again",
    "PGRST303": "the key has expired or is not valid yet. Copy a present key of this project",
    "22P02": "the column of ids or of times has a type that does not compare so. Bring this table from Postgres",
    "42883": "the column of ids or of times has a type that has no order. Bring this table from Postgres",
}
MOVES_BY_STATUS: Final = {
    401: "the gateway does not accept the key. Copy the key of this project again",
    402: "the project is over a limit of its plan. See its usage page",
    403: "the gateway refuses. Check the key and the project's network restrictions",
    404: "there is no Data API at this address. Check SUPABASE_URL",
    PAUSED: "the project is paused. Restore it in its dashboard",
}


@dataclass(frozen=True)
class Fault:
    """One request that brought no rows."""

    text: str
    """What happened, as a clause: `answered 503 PGRST002 "…"`."""
    move: str | None = None
    """What it means and the next move, when sending the request again is of no use; else None."""
    wait_s: float | None = None
    """How long the server asks to be left alone."""
    smaller: bool = False
    """Whether a smaller page may do."""


def of_answer(status: int, headers: Mapping[str, str], code: str | None, said: str) -> Fault:
    """Return the fault of an answer that is none of success; `said` is quoted already."""
    code = code if code and code != str(status) else None
    text = f"the server answered {status}{f' {code}' if code else ''} {said}".rstrip()
    if status != PAUSED and (status >= 500 or status in AGAIN_LATER):
        smaller = code in TOO_LONG or status in (504, 544)
        return Fault(text, wait_s=_retry_after_s(headers.get("retry-after")), smaller=smaller)
    if status == 401 and code is None and "browser" in said:
        return Fault(text, "something on the way gives itself out as a browser, for which secret keys are shut")
    if 300 <= status < 400:
        return Fault(text, "the address moved; a key is not sent to another one. Check SUPABASE_URL")
    move = MOVES.get(code or "") or MOVES_BY_STATUS.get(status)
    return Fault(text, move or "sending it again would be of no use. See the project's API logs")


def _retry_after_s(value: str | None) -> float | None:
    """Return the seconds of a Retry-After header: a number, or a date of HTTP (RFC 9110, 10.2.3)."""
    if not value:
        return None
    if value.strip().isdigit():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
