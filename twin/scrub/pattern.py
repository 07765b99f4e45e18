"""What one kind of secret looks like: markers, a hint for RE2, an exact expression → whether a text holds one, where.

Every exact expression is linear in the text: a run of characters is entered at its start only, look-aheads are short.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

LABELS: Final = ("SECRET", "EMAIL", "IP", "CARD", "IBAN", "PHONE")
PLACEHOLDER: Final = re.compile(rf"<({'|'.join(LABELS)})_([1-9][0-9]{{0,8}})>")
_ANYTHING: Final = re.compile(r"[^\W_]")

Accept = Callable[[str], int]
"""How many characters of what the expression found are the thing, counted from its start; 0 when it is not one."""


@dataclass(frozen=True)
class Pattern:
    """One kind of thing to remove."""

    kind: str
    markers: tuple[str, ...]
    """One of them is in the text in lower case; none: any text may hold it."""
    hint: str
    """An expression without look-around, for RE2: it is found in every text in which `regex` finds something."""
    exact: str
    """The named group `value` is what is replaced; a match without it is passed over."""
    flags: int = re.ASCII
    label: str = "SECRET"
    accept: Accept = len
    rare: str = ""
    """What `regex` needs and `re` finds fast, where the markers are in most texts."""

    @cached_property
    def regex(self) -> re.Pattern[str]:
        """The exact expression, compiled when a text first needs it: all of them at once take a tenth of a second."""
        return re.compile(self.exact, self.flags)

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield start and end of every thing of this kind, from left to right, never a placeholder alone."""
        if self.rare and not re.search(self.rare, text):
            return
        last = 0
        for match in self.regex.finditer(text):
            start, value = match.start("value"), match["value"]
            length = self.accept(value) if value and start >= last else 0
            if length and says_something(value[:length]):
                last = start + length
                yield start, last


def says_something(value: str) -> bool:
    """Whether there is a letter or a digit outside of the placeholders."""
    return bool(_ANYTHING.search(PLACEHOLDER.sub("", value)))


def issued(
    kind: str, markers: str, body: str, accept: Accept = len, *, closed: bool = False, hint: str | None = None
) -> Pattern:
    """Build the pattern of a token that its issuer begins with fixed letters.

    Args:
        kind: the name in the counts.
        markers: those letters, in lower case, separated by spaces.
        body: the whole token, without look-around.
        accept: a further check.
        closed: the token has one length, so no letter or digit may follow it.
        hint: where a marker and five more characters would be too common. RE2 is fast as long as hints are short.
    """
    after = "(?![A-Za-z0-9])" if closed else ""
    hint = hint or rf"(?i:{'|'.join(map(re.escape, markers.split()))})\S{{5}}"
    return Pattern(kind, tuple(markers.split()), hint, rf"(?<![A-Za-z0-9])(?P<value>{body}){after}", accept=accept)


def with_digit(value: str) -> int:
    """Accept what holds a digit: words of a language and names of code mostly do not."""
    return len(value) if any("0" <= letter <= "9" for letter in value) else 0
