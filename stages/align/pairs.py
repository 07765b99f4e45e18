"""Pairs of replies as tokens: lines of pairs.jsonl → examples, and how likely a model finds them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twin.likelihood import score
from twin.model import Split
from twin.tokens import Example, encode

Nats = NDArray[np.float64]
"""Of pairs, (N, 2): chosen, rejected."""


@dataclass(frozen=True)
class Pair:
    """Two replies to one prompt."""

    chosen: Example
    rejected: Example

    @property
    def inputs(self) -> int:
        """Inputs of the longer one."""
        return max(len(self.chosen.tokens), len(self.rejected.tokens)) - 1

    @property
    def supervised(self) -> int:
        """Supervised tokens of both."""
        return self.chosen.supervised + self.rejected.supervised


def encode_pairs(rows: Iterable[Mapping[str, Any]], tokenizer: Any, split: str) -> list[Pair]:
    """Tokenise the pairs of a split; `prefer` has left out those that do not fit."""

    def example(row: Mapping[str, Any], which: str) -> Example:
        reply = {"role": "assistant", "content": row[which]}
        return encode([*row["messages"], reply], tokenizer, f"{row['id']} ({which})")

    return [Pair(example(row, "chosen"), example(row, "rejected")) for row in rows if row["split"] == split]


def pair_nats(model: Split, pairs: Sequence[Pair]) -> Nats:
    """Return the nats of each pair's replies, (N, 2); dropout must be off."""
    replies = [*(pair.chosen for pair in pairs), *(pair.rejected for pair in pairs)]
    return np.array([one.total_nats for one in score(model, replies)]).reshape(2, -1).T
