"""Which replies of train say what a judging part says: texts → those that equal and those that resemble one.

The search is exact. A pair within the limit is a few insertions and deletions apart, each of which changes one
character count by one: the counts, compared as bits, rule nearly every pair out before the costly ratio.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.fuzz import ratio
from rapidfuzz.process import cpdist

from twin.config.split import SplitConfig

BLOCK = 512
"""Texts compared with as many others at a time: the matrices of a block stay in the processor's cache."""

BUCKETS = 32
"""Characters are counted by the last five bits of their code: a letter each, the rare ones share."""

LEVELS = 64
"""Bits a bucket has at most; at 2,000 characters of English a count spreads over about 35."""


def copies(train: Collection[str], judging: Collection[str], config: SplitConfig) -> tuple[set[str], set[str]]:
    """Return the texts of `train` that equal and that resemble one of `judging`; all are normalised."""
    equal = set(train) & set(judging)
    return equal, set(_similar(set(train) - equal, judging, config))


def _similar(texts: Iterable[str], others: Iterable[str], config: SplitConfig) -> Iterator[str]:
    """Yield those of `texts` with a ratio to one of `others` at or above the limit, both of them long enough.

    The ratio is 200 · common / (a + b) and common ≤ min(a, b): sorted by length, most pairs need no look.
    """
    ours, theirs = (_long(group, config.near_duplicate_characters) for group in (texts, others))
    lengths = [len(text) for text in theirs]
    limit = config.near_duplicate_ratio
    their_counts = _counts(theirs)
    for start in range(0, len(ours), BLOCK):
        block = ours[start : start + BLOCK]
        first = bisect_left(lengths, int(len(block[0]) * limit / (200 - limit)))
        last = bisect_right(lengths, int(len(block[-1]) * (200 - limit) / limit) + 1)
        yield from _hits(block, theirs[first:last], their_counts[first:last], limit)


def _long(texts: Iterable[str], characters: int) -> list[str]:
    return sorted((text for text in texts if len(text) >= characters), key=lambda text: (len(text), text))


def _hits(block: list[str], others: list[str], counts_N_K: NDArray[Any], limit: float) -> Iterator[str]:
    """Yield the texts of a block that resemble one of `others`, whose character counts are given."""
    if not others:
        return
    ours_B_K = _counts(block)
    levels = _levels(ours_B_K)
    ours_B_W, theirs_N_W = _bits(ours_B_K, levels), _bits(counts_N_K, levels)
    ours_B, theirs_N = (np.array([len(text) for text in group]) for group in (block, others))
    found = np.zeros(len(block), dtype=bool)
    for start, stop in pairwise([*range(0, len(others), BLOCK), len(others)]):
        # A difference of one is allowed beyond the limit: rounding must not rule a pair out.
        edits_B_N = (1 - limit / 100) * (ours_B[:, None] + theirs_N[None, start:stop]) + 1
        near = (_differences(ours_B_W, theirs_N_W[start:stop]) <= edits_B_N) & ~found[:, None]
        rows, columns = np.nonzero(near)
        pairs = [block[row] for row in rows], [others[start + column] for column in columns]
        scores = cpdist(*pairs, scorer=ratio, score_cutoff=limit, dtype=np.float64, workers=-1)
        found[rows[scores >= limit]] = True
    yield from (text for text, hit in zip(block, found.tolist(), strict=True) if hit)


def _counts(texts: list[str]) -> NDArray[np.int32]:
    """Return how often each bucket of characters occurs in each text, (N, K)."""
    counts_N_K = np.zeros((len(texts), BUCKETS), dtype=np.int32)
    for row, text in zip(counts_N_K, texts, strict=True):
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
        row[:] = np.bincount(codes % BUCKETS, minlength=BUCKETS)
    return counts_N_K


def _levels(counts_N_K: NDArray[Any]) -> list[NDArray[Any]]:
    """Return the counts of each bucket that tell these texts apart; any choice is safe, this one rules out most."""
    low_K, high_K = np.quantile(counts_N_K, (0.02, 0.98), axis=0, method="nearest")
    return [
        np.unique(np.linspace(low, high, LEVELS + 1).astype(np.int32))[1:]
        for low, high in zip(low_K, high_K, strict=True)
    ]


def _bits(counts_N_K: NDArray[Any], levels: list[NDArray[Any]]) -> NDArray[np.uint64]:
    """Return one bit a level, whether the count reaches it, in (N, W) words.

    Bits that differ are at most the differences of the counts, and those at most the insertions and deletions.
    """
    reached = [counts_N_K[:, [bucket]] >= above for bucket, above in enumerate(levels)]
    packed = np.packbits(np.concatenate(reached, axis=1), axis=1)
    words = -(-packed.shape[1] // 8) or 1
    return np.pad(packed, ((0, 0), (0, 8 * words - packed.shape[1]))).view(np.uint64)


def _differences(ours_B_W: NDArray[np.uint64], theirs_N_W: NDArray[np.uint64]) -> NDArray[np.uint16]:
    total_B_N = np.zeros((len(ours_B_W), len(theirs_N_W)), dtype=np.uint16)
    for word_B, word_N in zip(ours_B_W.T, theirs_N_W.T, strict=True):
        total_B_N += np.bitwise_count(word_B[:, None] ^ word_N[None, :])
    return total_B_N
