"""Many turns at once: a column of texts → which of them could hold a secret, and the column without them.

One pass of RE2, which has no look-around and whose time is linear, finds the suspects; only they are read in Python.
"""

from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from twin.scrub.pattern import LABELS
from twin.scrub.personal import PHONE_HINT
from twin.scrub.scrubber import PATTERNS, Scrubber
from twin.scrub.second import HINTS

# What somebody typed that looks like a placeholder of ours: its number must not be given to another value.
_TYPED: Final = f"<(?:{'|'.join(LABELS)})_[1-9]"


@cache
def prefilter(phones: bool = False) -> str:
    """Return the one expression that is found in every text that a scrubber would change."""
    hints = dict.fromkeys((*(pattern.hint for pattern in PATTERNS), *HINTS.values(), _TYPED))
    return "|".join(f"(?:{hint})" for hint in (*hints, *([PHONE_HINT] if phones else [])))


@cache
def second_hint() -> str:
    """Return the one expression that is found in every text in which detect-secrets finds something."""
    return "|".join(f"(?:{hint})" for hint in dict.fromkeys(HINTS.values()))


def suspects(texts: pa.Array, phones: bool = False) -> pa.Array:
    """Say of each text whether it could hold something to remove; no text, no suspicion.

    Args:
        texts: strings.
        phones: whether telephone numbers are looked for.
    """
    return pc.fill_null(pc.match_substring_regex(texts, pattern=prefilter(phones)), False)


def suspects_of_all(columns: Sequence[pa.Array], phones: bool = False) -> list[pa.Array]:
    """Say the same of several columns: RE2 reads its expression once, which takes milliseconds, and each text once."""
    encoded = [column.dictionary_encode() for column in columns]
    known, masks = suspects(pa.concat_arrays([one.dictionary for one in encoded]), phones), []
    start = 0
    for one in encoded:
        masks.append(pc.fill_null(known.slice(start, len(one.dictionary)).take(one.indices), False))
        start += len(one.dictionary)
    return masks


def _reconsidered(texts: list[str], scrubbers: list[Scrubber]) -> list[str]:
    # Asking detect-secrets takes as long as our whole table, and hardly a text has anything left for it.
    asked = pc.match_substring_regex(pa.array(texts, pa.string()), pattern=second_hint()).to_pylist()
    return [
        scrubber.reconsider(text) if ask else text for text, scrubber, ask in zip(texts, scrubbers, asked, strict=True)
    ]


class BatchScrubber:
    """Scrubs columns of turns batch by batch, with one scrubber for each conversation that has a suspect."""

    def __init__(self, counts: Counter[str], phone_region: str | None = None, second_opinion: bool = False) -> None:
        """See `Scrubber`."""
        self._options = (counts, phone_region, second_opinion)
        self._phones = phone_region is not None
        self._scrubbers: dict[str, Scrubber] = {}

    def scrub(self, texts: pa.Array, conversations: pa.Array, mask: pa.Array | None = None) -> pa.Array:
        """Return the texts without secrets and personal data; a batch's conversations may go on in the next.

        Args:
            texts: strings, or null.
            conversations: as many ids; the texts of one id share their placeholders.
            mask: their `suspects`, if known.
        """
        mask = suspects(texts, self._phones) if mask is None else mask
        found = texts.filter(mask).to_pylist()
        if not found:
            return texts
        scrubbers = [self._scrubber(key) for key in conversations.filter(mask).to_pylist()]
        for text, scrubber in zip(found, scrubbers, strict=True):
            scrubber.reserve([text])
        scrubbed = [scrubber.redact(text) for text, scrubber in zip(found, scrubbers, strict=True)]
        if self._options[2]:
            scrubbed = _reconsidered(scrubbed, scrubbers)
        return pc.replace_with_mask(texts, mask, pa.array(scrubbed, texts.type))

    def _scrubber(self, conversation: str) -> Scrubber:
        if conversation not in self._scrubbers:
            self._scrubbers[conversation] = Scrubber(*self._options)
        return self._scrubbers[conversation]
