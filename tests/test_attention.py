"""Attention in blocks is attention: the same output and slopes, only while its model trains, and never all scores."""

import mlx.core as mx
import numpy as np
import pytest

from bench.arrays import held_bytes
from twin.model import load_base
from twin.training import attention as module
from twin.training.attention import blocked_attention, in_blocks

ROWS, HEADS, GROUPS, LENGTH, DIMS = 2, 4, 2, 37, 8


def arrays(length=LENGTH):
    keys = mx.random.split(mx.random.key(0), 4)
    shapes = [(ROWS, heads, length, DIMS) for heads in (HEADS, GROUPS, GROUPS, HEADS)]
    return [mx.random.normal(shape, key=key) for shape, key in zip(shapes, keys, strict=True)]


def masks(length=LENGTH):
    place = mx.arange(length)
    block_diagonal = (place[:, None] >= place[None]) & (place[:, None] // 10 == place[None] // 10)
    return {"causal": "causal", "none": None, "block-diagonal": block_diagonal, "one row": mx.ones((1, length)) > 0}


@pytest.mark.parametrize("block", [1, 8, 36, 100])
@pytest.mark.parametrize("name", masks())
def test_blocks_give_the_whole_attention_and_its_slopes(name, block):
    queries, keys, values, cotangent = arrays()
    mask = masks()[name]

    def plain(q, k, v):
        return mx.fast.scaled_dot_product_attention(q, k, v, scale=0.3, mask=mask)

    def blocked(q, k, v):
        return in_blocks(q, k, v, scale=0.3, mask=mask, block=block)

    outputs = [np.array(attend(queries, keys, values)) for attend in (plain, blocked)]
    assert outputs[1] == pytest.approx(outputs[0], rel=1e-5, abs=1e-6)
    slopes = [mx.vjp(attend, [queries, keys, values], [cotangent])[1] for attend in (plain, blocked)]
    for found, expected in zip(slopes[1], slopes[0], strict=True):
        assert float(mx.linalg.norm(found - expected) / mx.linalg.norm(expected)) <= 1e-5


def test_only_long_attention_is_blocked_and_only_inside(monkeypatch, tiny_base):
    calls = []
    monkeypatch.setattr(module, "in_blocks", lambda *arrays, **how: calls.append(how) or in_blocks(*arrays, **how))
    model, tokens = load_base(tiny_base).model, mx.arange(40)[None]
    plain = np.array(model(tokens))
    with blocked_attention(model):
        model(tokens)
        assert not calls
        monkeypatch.setattr(module, "BLOCK_BYTES", 2 * 40 * 4 * 16)
        assert np.array(model(tokens)) == pytest.approx(plain, rel=1e-4, abs=1e-4)
    assert [how["block"] for how in calls] == [16, 16]
    calls.clear()
    model(tokens)
    assert not calls


def test_replies_that_read_a_cache_are_left_alone(monkeypatch, tiny_base):
    from mlx_lm.models.cache import make_prompt_cache

    monkeypatch.setattr(module, "BLOCK_BYTES", 1)
    monkeypatch.setattr(module, "in_blocks", None)
    model = load_base(tiny_base).model
    cache = make_prompt_cache(model)
    model(mx.arange(8)[None], cache=cache)
    with blocked_attention(model):
        model(mx.arange(3)[None], cache=cache)


def test_the_scores_of_a_long_row_are_never_all_there():
    queries, keys, values, cotangent = arrays(length=512)
    scores_bytes = ROWS * HEADS * 512 * 512 * 4
    mx.eval(queries, keys, values, cotangent)
    peaks = []
    for block in (512, 32):
        limit = mx.set_memory_limit(0)  # otherwise the scheduler runs ahead of the arithmetic
        resident = held_bytes()
        mx.eval(
            mx.vjp(
                lambda q, k, v, block=block: in_blocks(q, k, v, scale=0.3, mask="causal", block=block),
                [queries, keys, values],
                [cotangent],
            )
        )
        mx.set_memory_limit(limit)
        peaks.append((mx.get_peak_memory() - resident) / scores_bytes)
    assert peaks[0] > 1.5
    assert peaks[1] < 0.5
