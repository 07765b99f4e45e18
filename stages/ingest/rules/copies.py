"""Long texts said before, exactly or nearly: text → the reason why it is a copy, or nothing.

A near copy shares stretches with its original. The least hashes of a text's stretches are its sketch; who shares
one with an earlier text is compared with it by rapidfuzz. As each hash points to one text, a text is compared with a
handful of others, however many there are.
"""

import hashlib
from collections import Counter
from typing import Final

import numpy as np
from rapidfuzz.fuzz import ratio

SKETCH: Final = 16  # hashes of a text
STRETCH: Final = 12  # characters; long enough to be rare, short enough that few hold a typo
LONG_MAX: Final = 20_000  # characters of a text that are sketched and compared; ratio takes the square of it
REMEMBERED: Final = 50_000  # long texts that later ones are compared with; some 50 MiB
_SLOTS: Final = 1 << 12
_FULL: Final = 0.5
_PRIMES: Final = tuple(np.uint64(prime) for prime in (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9))
_SHIFT: Final = np.uint64(29)

Hashes = np.ndarray[tuple[int], np.dtype[np.uint64]]


class Copies:
    """Remembers long texts that were kept: a digest of each for exact copies; for near ones the first 50,000 whole."""

    def __init__(self, characters: int, similarity: float | None) -> None:
        self._characters, self._similarity = characters, similarity
        self._digests: set[int] = set()
        self._texts: list[bytes] = []
        self._owners = _Owners()

    def reason(self, content: str) -> str | None:
        """Return `repeated` or `similar` for a copy of an earlier text; remember any other."""
        if len(content) < self._characters:
            return None
        digest = int.from_bytes(hashlib.blake2b(content.encode(), digest_size=8).digest())
        if digest in self._digests:
            return "repeated"
        self._digests.add(digest)
        return "similar" if self._similarity is not None and self._near(content, self._similarity) else None

    def _near(self, content: str, similarity: float) -> bool:
        text = content[:LONG_MAX]
        hashes = sketch(text)
        for number in self._owners.of(hashes):
            if ratio(text, self._texts[number].decode(), score_cutoff=similarity):
                return True
        if len(self._texts) < REMEMBERED:
            self._owners.claim(hashes, len(self._texts))
            self._texts.append(text.encode())
        return False


def sketch(text: str) -> Hashes:
    """Return the least hashes of the text's stretches of characters, `SKETCH` at most, sorted.

    Stretches of characters rather than words: a typo then costs little, and so does a language without spaces.
    """
    letters = np.frombuffer(text.casefold().encode("utf-32-le"), np.uint32).astype(np.uint64)
    if len(letters) < STRETCH:
        letters = np.resize(letters, STRETCH)
    two = letters[:-1] * _PRIMES[0] + letters[1:]
    four = two[:-2] * _PRIMES[1] + two[2:]
    eight = four[:-4] * _PRIMES[2] + four[4:]
    mixed = eight[:-4] * _PRIMES[1] + four[8:]
    # The sum's low bits know only the letters' low bits.
    mixed ^= mixed >> _SHIFT
    mixed *= _PRIMES[0]
    mixed ^= mixed >> _SHIFT
    least: Hashes = np.partition(mixed, SKETCH - 1)[:SKETCH] if len(mixed) > SKETCH else mixed
    least.sort()
    return least


class _Owners:
    """Hash → the first text that had it, in 12 bytes a slot; a hash whose slot is taken is left out."""

    def __init__(self) -> None:
        self._used = 0
        self._make(_SLOTS)

    def _make(self, slots: int) -> None:
        self._mask = np.uint64(slots - 1)
        self._hashes = np.zeros(slots, np.uint64)
        self._texts = np.full(slots, -1, np.int32)

    def of(self, hashes: Hashes) -> list[int]:
        """Return the texts that own one of the hashes, those that own most first."""
        slots = hashes & self._mask
        texts = self._texts[slots][self._hashes[slots] == hashes].tolist()
        return [text for text, _ in Counter(texts).most_common() if text >= 0] if texts else []

    def claim(self, hashes: Hashes, text: int) -> None:
        """Make a text the owner of its hashes that have none."""
        slots = hashes & self._mask
        free = self._texts[slots] < 0
        slots = slots[free]
        self._hashes[slots] = hashes[free]
        self._texts[slots] = text
        self._used += len(slots)
        if self._used > _FULL * len(self._texts):
            self._grow()

    def _grow(self) -> None:
        taken = self._texts >= 0
        hashes, texts = self._hashes[taken], self._texts[taken]
        self._make(2 * len(self._texts))
        slots = hashes & self._mask
        self._hashes[slots], self._texts[slots] = hashes, texts
        self._used = int((self._texts >= 0).sum())
