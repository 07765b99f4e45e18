"""Hashed states: texts → signed character n-gram counts. No model, the same bits on every machine."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

HASHING_VERSION = 1
"""Counts up whenever the vector of any text changes."""

SIZES = (3, 4, 5)
"""Lengths of the character n-grams."""

START, END = "\x02", "\x03"
"""Stand before and behind every text: beginnings and ends count, and one character is a 3-gram already."""

MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
"""2⁶⁴ / golden ratio, made odd."""

FINALISER = ((np.uint64(30), np.uint64(0xBF58476D1CE4E5B9)), (np.uint64(27), np.uint64(0x94D049BB133111EB)))
LAST_SHIFT = np.uint64(31)
"""Of splitmix64. Source: Steele, Lea, Flood 2014, Fast splittable pseudorandom number generators."""

BATCH_CHARACTERS, BATCH_TEXTS = 1 << 18, 1 << 12
"""Bounds on one pass, for some 40 MB of arrays."""


class HashingEmbedder:
    """Signed character 3–5-gram counts, L2-normalised: no model, no BLAS, the same on every platform.

    Letter case and the kind and number of spaces do not matter. An empty text has no direction: its state is
    zero. All arithmetic before the norm is on whole numbers, so the order of sums cannot show.
    """

    def __init__(self, dimensions: int) -> None:
        self.dimensions = dimensions

    @property
    def identity(self) -> Mapping[str, str | int]:
        """Name, dimensions and version."""
        return {"name": "hashing", "dimensions": self.dimensions, "version": HASHING_VERSION}

    def embed(self, texts: Sequence[str]) -> FloatArray:
        """Return one row a text, shape (N, D), of norm 1 (0 where the text is empty)."""
        counts = [_counts(batch, self.dimensions) for batch in _batches([_bounded(text) for text in texts])]
        counts_N_D = np.concatenate([np.zeros((0, self.dimensions)), *counts])
        norms = np.sqrt((counts_N_D * counts_N_D).sum(axis=1, keepdims=True))
        return np.asarray(counts_N_D / np.maximum(norms, 1.0))


def _bounded(text: str) -> str:
    plain = " ".join(text.lower().split())
    return f"{START}{plain}{END}" if plain else ""


def _batches(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    start = characters = 0
    for stop, text in enumerate(texts):
        if stop > start and (characters + len(text) > BATCH_CHARACTERS or stop - start == BATCH_TEXTS):
            yield texts[start:stop]
            start, characters = stop, 0
        characters += len(text)
    if texts:
        yield texts[start:]


def _counts(texts: Sequence[str], dimensions: int) -> FloatArray:
    joined = "".join(texts).encode("utf-32-le", "surrogatepass")
    points = np.frombuffer(joined, dtype="<u4").astype(np.uint64)
    row = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
    counts = np.zeros(len(texts) * dimensions)
    for size in SIZES:
        total = len(points) - size + 1
        if total < 1:
            break
        inside = row[:total] == row[size - 1 :]
        hashes = _hashes(points, size)[inside]
        columns = (hashes >> np.uint64(1)) % np.uint64(dimensions)
        cells = row[:total][inside] * dimensions + columns.astype(np.int64)
        signs = np.where(hashes & np.uint64(1), -1.0, 1.0)
        counts += np.bincount(cells, weights=signs, minlength=len(counts))
    return counts.reshape(len(texts), dimensions)


def _hashes(points: NDArray[np.uint64], size: int) -> NDArray[np.uint64]:
    """Hash every run of `size` code points: a polynomial modulo 2⁶⁴, then the finaliser of splitmix64."""
    total = len(points) - size + 1
    keys = np.full(total, size, dtype=np.uint64)
    for offset in range(size):
        keys = keys * MULTIPLIER + points[offset : offset + total]
    for shift, factor in FINALISER:
        keys = (keys ^ (keys >> shift)) * factor
    return keys ^ (keys >> LAST_SHIFT)
