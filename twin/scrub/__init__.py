"""Secrets and personal data become placeholders: text → the same text without them, and counts by kind.

By pattern alone, and by check digits where there are some. Names of people and street addresses are not covered;
telephone numbers only where a region is given. Addresses of private nets, loopback and documentation stay: they lead
to nobody.
"""

from collections import Counter
from typing import Final

from twin.scrub.scrubber import KINDS, PATTERNS, Scrubber

__all__ = ["KINDS", "PATTERNS", "SHOWN_CHARACTERS", "Scrubber", "leaks", "shown"]

SHOWN_CHARACTERS: Final = 60  # of a value that an error message quotes


def leaks(text: str, phone_region: str | None = None, second_opinion: bool = False) -> list[str]:
    """Return the kinds that are still in `text`, in the order of `KINDS`; text that was scrubbed has none."""
    found: Counter[str] = Counter()
    Scrubber(found, phone_region, second_opinion).scrub(text)
    return [kind for kind in KINDS if found[kind]]


def shown(value: object) -> str:
    """Quote a value for an error message: scrubbed, on one line, at most 60 characters of it."""
    text = Scrubber(Counter()).scrub(str(value))
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    cut = text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"
    return '"' + "".join(letter if letter.isprintable() else " " for letter in cut) + '"'
