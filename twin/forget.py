"""What is to be forgotten: ids, authors and dates → is this row among them?"""

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from twin.config.ingest import ForgetConfig
from twin.config.load import PARAMS
from twin.errors import ConfigError
from twin.scrub import shown

INTERVAL: Final = re.compile(r"(\d{4}-\d{2}-\d{2})/(\d{4}-\d{2}-\d{2})")
DAY: Final = timedelta(days=1)


class Forget:
    """Tells the rows that are to be forgotten."""

    def __init__(self, config: ForgetConfig) -> None:
        """Raises ConfigError: a date interval is not one."""
        self._conversations = frozenset(config.conversations)
        self._authors = frozenset(author.strip().lower() for author in config.authors)
        self._dates = tuple(_interval(text) for text in config.dates)

    def __bool__(self) -> bool:
        return bool(self._conversations or self._authors or self._dates)

    def has(self, conversation_id: str | None, author: str | None, created_at: datetime) -> bool:
        """Say whether a row is to be forgotten."""
        return (
            conversation_id in self._conversations
            or (author is not None and author.lower() in self._authors)
            or any(start <= created_at < end for start, end in self._dates)
        )

    def unused(self, conversations: Iterable[str], authors: Iterable[str]) -> list[str]:
        """Return the names to forget that are not among those given: perhaps a typing error."""
        there = {author.lower() for author in authors}
        return sorted(self._conversations - set(conversations)) + sorted(self._authors - there)


def _interval(text: str) -> tuple[datetime, datetime]:
    match = INTERVAL.fullmatch(text.strip())
    try:
        first, last = (date.fromisoformat(part) for part in match.groups()) if match else (date.max, date.min)
    except ValueError:
        first, last = date.max, date.min
    if last < first:
        raise ConfigError(
            f"{PARAMS}: ingest.forget.dates has {shown(text)}; write FIRST/LAST, two days: 2025-01-01/2025-01-31."
        )
    return datetime.combine(first, time(), UTC), datetime.combine(last, time(), UTC) + DAY
