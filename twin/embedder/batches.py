"""Texts in batches of fixed shapes: texts → pieces of tokens → batches → one float32 vector a text.

Matrix products may round differently at another shape. The shape of a batch follows from the length of the piece
alone, and is filled up with empty rows: a text's vector is the same, to the bit, in any company.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]
Tokens = NDArray[np.int32]


@dataclass(frozen=True)
class Batch:
    """Tokens of one shape; rows and columns that are padding hold token 0."""

    tokens_B_L: Tokens
    present_B_L: NDArray[np.bool_]
    """Attended to; an empty row has one token, so that its softmax is defined."""
    pooled_B_L: NDArray[np.bool_]
    """Averaged."""


class Encoder(Protocol):
    """A model that reads tokens."""

    width: int
    tokens_max: int
    batch_tokens: int
    """About as many tokens are read at a time: more use the machine better, fewer cost a lone text less."""
    frame: tuple[list[int], list[int]]
    """Tokens that the tokenizer writes before and behind every text."""
    pools_frame: bool
    normalised: bool

    def tokens(self, text: str) -> Sequence[int]:
        """Return the tokens of a text without its frame."""

    def means(self, batch: Batch) -> Vector:
        """Return the mean state of each row over what is pooled, shape (B, D)."""


@dataclass(frozen=True)
class _Piece:
    text: int
    tokens: Tokens
    length: int
    last: bool


def encode(encoder: Encoder, texts: Sequence[str]) -> Iterator[list[tuple[int, Vector]]]:
    """Yield (index, vector) of each text, those of one batch at a time; short texts first.

    A text longer than `tokens_max` is read in pieces: its vector is the mean over the tokens of all.
    """
    pieces, blank = _pieces(encoder, texts)
    if blank:
        yield [(index, np.zeros(encoder.width, np.float32)) for index in blank]
    sums: dict[int, tuple[NDArray[np.float64], int]] = {}
    for group in _groups(pieces, encoder.batch_tokens):
        batch = _batch(encoder, group)
        done = []
        for piece, mean, count in zip(group, encoder.means(batch), batch.pooled_B_L.sum(axis=1).tolist(), strict=False):
            # Exact in float64 for one piece: 24 bits times a small whole number, divided by it again.
            total, tokens = sums.pop(piece.text, (np.zeros(encoder.width), 0))
            total, tokens = total + mean.astype(np.float64) * count, tokens + count
            if piece.last:
                done.append((piece.text, _vector(total / tokens, encoder.normalised)))
            else:
                sums[piece.text] = total, tokens
        yield done


def _vector(mean: NDArray[np.float64], normalised: bool) -> Vector:
    norm = float(np.sqrt((mean * mean).sum())) if normalised else 1.0
    return (mean / max(norm, 1e-12)).astype(np.float32)


def _pieces(encoder: Encoder, texts: Sequence[str]) -> tuple[list[_Piece], list[int]]:
    """Cut texts into pieces, shortest first, and return them with the texts that have no token."""
    head, tail = encoder.frame
    room = encoder.tokens_max - len(head) - len(tail)
    pieces, blank = [], []
    for index, text in enumerate(texts):
        # A lone surrogate is no text to a tokenizer.
        tokens = encoder.tokens(text.encode("utf-8", "replace").decode("utf-8")) if text.strip() else []
        parts = [
            np.array([*head, *tokens[start : start + room], *tail], np.int32) for start in range(0, len(tokens), room)
        ]
        parts.sort(key=len)
        pieces += [
            _Piece(index, part, padded_length(len(part), encoder.tokens_max), number == len(parts))
            for number, part in enumerate(parts, 1)
        ]
        blank += [] if parts else [index]
    return sorted(pieces, key=lambda piece: piece.length), blank


def padded_length(tokens: int, tokens_max: int) -> int:
    """Return the length that so many tokens are padded to: 8, 16, 24, 32, 48, 64, 96 … or `tokens_max`."""
    length = 8
    while length < tokens:
        length += 8 if length < 32 else 1 << (length.bit_length() - 2)
    return min(length, tokens_max)


def _groups(pieces: Iterable[_Piece], batch_tokens: int) -> Iterator[list[_Piece]]:
    for length, same in groupby(pieces, key=lambda piece: piece.length):
        alike, rows = list(same), rows_of(length, batch_tokens)
        yield from (alike[start : start + rows] for start in range(0, len(alike), rows))


def rows_of(length: int, batch_tokens: int) -> int:
    """Return the rows of every batch of this length."""
    return max(1, batch_tokens // length)


def _batch(encoder: Encoder, group: Sequence[_Piece]) -> Batch:
    length = group[0].length
    shape = (rows_of(length, encoder.batch_tokens), length)
    batch = Batch(np.zeros(shape, np.int32), np.zeros(shape, bool), np.zeros(shape, bool))
    batch.present_B_L[:, 0] = True
    head, tail = (0, 0) if encoder.pools_frame else map(len, encoder.frame)
    for row, piece in enumerate(group):
        batch.tokens_B_L[row, : len(piece.tokens)] = piece.tokens
        batch.present_B_L[row, : len(piece.tokens)] = True
        batch.pooled_B_L[row, head : len(piece.tokens) - tail] = True
    return batch
