"""The scrubber of one conversation: its texts → the same texts with placeholders that mean the same throughout."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from twin.scrub.issuers import ISSUERS
from twin.scrub.named import AFTER_WORDS, BLOCKS, TOKENS
from twin.scrub.pattern import PLACEHOLDER, Pattern
from twin.scrub.personal import PERSONAL, phone_pattern

# Order matters: a block or a whole key goes before the looser patterns that could cut into it.
PATTERNS: Final[tuple[Pattern, ...]] = (*BLOCKS, *TOKENS, *ISSUERS, *AFTER_WORDS, *PERSONAL)
SECOND_OPINION: Final = "second_opinion"
KINDS: Final = (*dict.fromkeys(pattern.kind for pattern in PATTERNS), "phone", SECOND_OPINION)


def _marked(patterns: tuple[Pattern, ...]) -> tuple[tuple[str, int], ...]:
    # The empty marker is in every text.
    return tuple((marker, place) for place, pattern in enumerate(patterns) for marker in pattern.markers or ("",))


_MARKERS: Final = _marked(PATTERNS)


class Scrubber:
    """Replaces secrets by placeholders that stay the same as long as the scrubber lives: one conversation.

    The first address is `<EMAIL_1>` wherever it stands, the second `<EMAIL_2>`; likewise `<IP_1>`, `<CARD_1>`,
    `<IBAN_1>`, `<PHONE_1>`, and `<SECRET_1>` for every other kind. What it returned it returns unchanged.
    """

    def __init__(self, counts: Counter[str], phone_region: str | None = None, second_opinion: bool = False) -> None:
        """`counts` gains one for each replacement, by kind.

        Args:
            counts: shared by the scrubbers of many conversations.
            phone_region: two letters of a country (DE): telephone numbers in international form go too.
            second_opinion: what detect-secrets still finds afterwards goes too.

        Raises:
            ConfigError: the package for telephone numbers is missing, or it does not know the region.
        """
        self._counts = counts
        self._patterns = (*PATTERNS, phone_pattern(phone_region)) if phone_region else PATTERNS
        self._markers = _marked(self._patterns) if phone_region else _MARKERS
        self._second_opinion = second_opinion
        self._placeholders: dict[tuple[str, str], str] = {}
        self._numbers: Counter[str] = Counter()
        self._taken: set[str] = set()

    def reserve(self, texts: Iterable[str]) -> None:
        """Give no placeholder that somebody typed: say so before the conversation's first text is scrubbed."""
        for text in texts:
            if "<" in text:
                self._taken.update(match.group() for match in PLACEHOLDER.finditer(text))

    def scrub(self, text: str) -> str:
        """Return `text` without secrets and personal data."""
        text = self.redact(text)
        return self.reconsider(text) if self._second_opinion else text

    def redact(self, text: str) -> str:
        """Return `text` without what our table finds."""
        self.reserve([text])
        # A replacement can bare what touched it. Each round leaves fewer letters outside of placeholders, so this ends.
        while (redacted := self._table(text)) != text:
            text = redacted
        return text

    def reconsider(self, text: str) -> str:
        """Return `text`, redacted before, without what detect-secrets still finds."""
        while (asked := self._ask(text)) != text:
            text = self.redact(asked)
        return text

    def _table(self, text: str) -> str:
        for place in self._candidates(text):
            pattern = self._patterns[place]
            spans = list(pattern.spans(text))
            if spans:
                text = self._replaced(text, spans, pattern.kind, pattern.label)
        return text

    def _candidates(self, text: str) -> list[int]:
        lowered = text.lower()
        return sorted({place for marker, place in self._markers if marker in lowered})

    def _ask(self, text: str) -> str:
        from twin.scrub.second import findings

        for finding in findings(text):
            spans = list(_places(finding, text))
            text = self._replaced(text, spans, SECOND_OPINION, "SECRET")
        return text

    def _replaced(self, text: str, spans: list[tuple[int, int]], kind: str, label: str) -> str:
        pieces, last = [], 0
        for start, end in spans:
            pieces += [text[last:start], self._placeholder(label, text[start:end])]
            last = end
        self._counts[kind] += len(spans)
        return "".join([*pieces, text[last:]])

    def _placeholder(self, label: str, value: str) -> str:
        key = (label, value.lower() if label == "EMAIL" else value)
        while key not in self._placeholders:
            self._numbers[label] += 1
            candidate = f"<{label}_{self._numbers[label]}>"
            if candidate not in self._taken:
                self._placeholders[key] = candidate
        return self._placeholders[key]


def _places(finding: str, text: str) -> Iterator[tuple[int, int]]:
    start = text.find(finding)
    while start >= 0:
        yield start, start + len(finding)
        start = text.find(finding, start + len(finding))
