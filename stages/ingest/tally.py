"""What became of every row: counts by reason, and ten examples of each for people to look at."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from stages.ingest.rules import REASONS_DROPPED, REASONS_HELD
from twin.scrub import Scrubber

DROPPED: Final = (
    "duplicate", "forgotten", "no_conversation", "role", "truncated", "hash", *REASONS_DROPPED
)  # fmt: skip
"""Why a row is no turn."""
HELD: Final = REASONS_HELD
"""Why a turn of the person is context only."""
EXAMPLES: Final = 10
EXAMPLE_CHARACTERS: Final = 400


@dataclass
class Tally:
    """Counts of a run; every row of the export is a turn or has one reason in `dropped`."""

    phone_region: str | None = None
    """Examples are scrubbed as turns are."""
    rows: int = 0
    roles: Counter[str] = field(default_factory=Counter)
    """Rows by raw role."""
    authors: int = 0
    """Different authors; their names stay out of metrics."""
    dropped: Counter[str] = field(default_factory=Counter)
    held: Counter[str] = field(default_factory=Counter)
    mended: int = 0
    """Texts that lost the dashboard's false mark, proved by their hash."""
    damaged: Counter[str] = field(default_factory=Counter)
    """Texts that are damaged and kept."""
    scrubbed: Counter[str] = field(default_factory=Counter)
    acts: Counter[str] = field(default_factory=Counter)
    turns: Counter[str] = field(default_factory=Counter)
    conversations: int = 0
    long_form: int = 0
    replies: int = 0
    """The person's replies that can be learned from."""
    replies_held: int = 0
    first: str = ""
    last: str = ""
    examples: dict[str, list[dict[str, str]]] = field(default_factory=dict)

    def example(self, reason: str, place: str, text: str) -> None:
        """Keep an example of what `reason` took, scrubbed; the first ten of each stay."""
        kept = self.examples.setdefault(reason, [])
        if len(kept) < EXAMPLES:
            shown = Scrubber(Counter(), self.phone_region, second_opinion=True).scrub(text)
            kept.append({"reason": reason, "row": place, "text": shown[:EXAMPLE_CHARACTERS]})

    def wants(self, reason: str) -> bool:
        """Say whether an example of `reason` is still wanted."""
        return len(self.examples.get(reason, ())) < EXAMPLES

    def lines(self) -> list[dict[str, str]]:
        """Return the examples, by reason in the order of the rules."""
        return [one for reason in (*DROPPED, *HELD) for one in self.examples.get(reason, ())]
