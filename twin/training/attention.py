"""Attention whose scores are never all there: queries in blocks, computed again in the backward pass.

MLX does not fuse attention while it differentiates: every layer keeps L² scores a head, 235 MB in float32 for 14
heads and 2,048 tokens. Here a block of queries is scored, used and forgotten before the next begins, which a causal
mask also spares half of the products. Below a size the plain form is as small and faster.
B rows, H heads, L tokens, D dims a head.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import mlx.core as mx
from mlx import nn

NAME = "scaled_dot_product_attention"  # as every model of mlx-lm imports it
BLOCK_BYTES = 32 * 2**20  # of scores; one more block's worth lives while it is differentiated

Attention = Callable[..., mx.array]


@contextmanager
def blocked_attention(model: nn.Module) -> Iterator[None]:
    """Let the modules of `model` attend in blocks for as long as the block of code runs."""
    spaces = [vars(sys.modules[name]) for name in {type(module).__module__ for module in model.modules()}]
    plain = [(space, space[NAME]) for space in spaces if NAME in space]
    for space, attention in plain:
        space[NAME] = _blocked(attention)
    try:
        yield
    finally:
        for space, attention in plain:
            space[NAME] = attention


def _blocked(plain: Attention) -> Attention:
    def attention(  # noqa: PLR0917 – mlx-lm's own signature
        queries: mx.array, keys: mx.array, values: mx.array, cache: Any, scale: float, mask: Any, **others: Any
    ) -> mx.array:
        rows, heads, length, _ = queries.shape
        query_bytes = rows * heads * keys.shape[2] * queries.itemsize
        usual = keys.shape[2] == length and not others and not hasattr(cache, "bits")
        if not usual or length * query_bytes <= BLOCK_BYTES:
            return plain(queries, keys, values, cache=cache, scale=scale, mask=mask, **others)
        return in_blocks(queries, keys, values, scale=scale, mask=mask, block=max(1, BLOCK_BYTES // query_bytes))

    return attention


def in_blocks(
    queries: mx.array, keys: mx.array, values: mx.array, *, scale: float, mask: mx.array | str | None, block: int
) -> mx.array:
    """Return attention of (B, H, L, D) queries to as many keys, `block` queries at a time."""
    causal = isinstance(mask, str)
    spans = [(start, min(start + block, queries.shape[2])) for start in range(0, queries.shape[2], block)]

    def attend(start: int, end: int) -> Callable[[mx.array, mx.array, mx.array], mx.array]:
        part = mask[..., start:end, :] if isinstance(mask, mx.array) and mask.shape[-2] > 1 else mask
        return lambda q, k, v: mx.fast.scaled_dot_product_attention(q, k, v, scale=scale, mask=part)

    def parts(start: int, end: int, *arrays: mx.array) -> list[mx.array]:
        q, k, v = arrays
        seen = end if causal else k.shape[2]
        return [q[:, :, start:end], k[:, :, :seen], v[:, :, :seen]]

    @mx.custom_function
    def attended(queries: mx.array, keys: mx.array, values: mx.array) -> mx.array:
        found: list[mx.array] = []
        for span in spans:
            q, k, v = parts(*span, queries, keys, values)
            found.append(attend(*span)(mx.depends([q], found[-1:])[0] if found else q, k, v))
        return mx.concatenate(found, axis=2)

    @attended.vjp
    def pull_back(primals: tuple[mx.array, ...], cotangent: mx.array, output: mx.array) -> tuple[mx.array, ...]:
        by_queries: list[mx.array] = []
        by_keys, by_values = mx.zeros_like(primals[1]), mx.zeros_like(primals[2])
        for start, end in spans:
            q, k, v = parts(start, end, *primals)
            if by_queries:
                q = mx.depends([q], [by_queries[-1], by_keys, by_values])[0]
            _, slopes = mx.vjp(attend(start, end), [q, k, v], [cotangent[:, :, start:end]])
            by_queries.append(slopes[0])
            by_keys, by_values = _added(by_keys, slopes[1]), _added(by_values, slopes[2])
        return mx.concatenate(by_queries, axis=2), by_keys, by_values

    return cast(mx.array, attended(queries, keys, values))


def _added(total: mx.array, part: mx.array) -> mx.array:
    seen = part.shape[2]
    return (
        total + part if seen == total.shape[2] else mx.concatenate([total[:, :, :seen] + part, total[:, :, seen:]], 2)
    )
