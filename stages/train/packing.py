"""Several examples in one row, kept apart by the attention mask: examples → batch, stand-in for the cache.

A model of mlx-lm asks its cache for the mask, so no model has to change: the stand-in answers with a block-diagonal
causal one. Positions go on from one example to the next, which rotary embeddings cannot tell from a restart; a base
whose attention can tell is refused.
"""

from collections.abc import Sequence
from typing import Any

import mlx.core as mx
import numpy as np

from twin.errors import ConfigError
from twin.likelihood import Batch, collate
from twin.model import Split
from twin.tokens import Example

TOLERANCE = 1e-3  # of the largest state; half-precision rounding stays below, a missing restart does not


class PackedRow:
    """What a block's attention takes for its cache."""

    offset = 0

    def __init__(self, example_of_L: mx.array) -> None:
        self._example_of_L = example_of_L

    def make_mask(self, length: int, return_array: bool = False, window_size: int | None = None) -> mx.array:
        """Return which inputs each input sees, (L, L): the earlier ones of its own example."""
        place_L = mx.arange(length)
        back_L_L = place_L[:, None] - place_L[None]
        mask_L_L = (self._example_of_L[:, None] == self._example_of_L[None]) & (back_L_L >= 0)
        return mask_L_L if window_size is None else mask_L_L & (back_L_L < window_size)

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        """Return the row's own keys and values: nothing stands before it."""
        return keys, values


def pack(examples: Sequence[Example], length: int, positions: int) -> tuple[Batch, PackedRow]:
    """Return `examples` as one row of `length` inputs with `positions` targets, and the mask that parts them."""
    inputs, example_of = np.zeros(length, dtype=np.int32), np.full(length, -1, dtype=np.int32)
    places: list[int] = []
    start = 0
    for number, example in enumerate(examples):
        size = len(example.tokens) - 1
        inputs[start : start + size], example_of[start : start + size] = example.tokens[:-1], number
        places += range(start + example.prompt_tokens - 1, start + size)
        start += size
    targets = [token for example in examples for token in example.tokens[example.prompt_tokens :]]
    unused = positions - len(places)
    weights = (np.arange(positions) < len(places)).astype(np.float32)
    batch = Batch(
        mx.array(inputs)[None], mx.array(places + [0] * unused), mx.array(targets + [0] * unused), mx.array(weights)
    )
    return batch, PackedRow(mx.array(example_of))


def require_packable(model: Split, layers: int, examples: Sequence[Example]) -> None:
    """Check that packed examples have the states that they have alone.

    Raises:
        ConfigError: they do not; the base takes positions or caches in another way.
    """
    pair = [examples[0], examples[-1]]
    rows = [collate([example], len(example.tokens) - 1, example.supervised) for example in pair]
    alone = [model.body(row.inputs_B_L)[0] for row in rows]
    batch, row = pack(pair, sum(map(len, alone)), sum(example.supervised for example in pair))
    expected = mx.concatenate(alone)
    try:
        packed: Any = model.body(batch.inputs_B_L, cache=[row] * layers)[0]
        apart = np.array(mx.abs(packed - expected).max() / mx.abs(expected).max(), dtype=float)
    except (AttributeError, TypeError, ValueError) as error:
        raise ConfigError(f"train.packing is true, and the base refuses packed examples: {error}. {_MOVE}") from error
    if not apart <= TOLERANCE:
        raise ConfigError(
            f"train.packing is true, and the base does not keep packed examples apart: states differ by {apart:.2g} "
            f"of the largest. {_MOVE}"
        )


_MOVE = "Use -S train.packing=false; length-sorted batches pad little."
