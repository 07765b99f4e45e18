"""The head in chunks is the full head: the same loss and slopes, whatever the size, in less memory."""

import mlx.core as mx
import numpy as np
import pytest
from mlx import nn

from bench.arrays import held_bytes
from twin import head as module
from twin.head import head_nats, learnable_head_nats

POSITIONS, STATES, VOCABULARY = 23, 16, 101


def heads():
    embedding = nn.Embedding(VOCABULARY, STATES)
    quantized = nn.QuantizedLinear(32, VOCABULARY, bias=False, group_size=32, bits=4)
    capped = nn.Linear(STATES, VOCABULARY)
    return {
        "tied": (embedding.as_linear, STATES),
        "untied with bias": (nn.Linear(STATES, VOCABULARY), STATES),
        "quantised": (quantized, 32),
        "soft-capped": (lambda states: mx.tanh(capped(states) / 5) * 5, STATES),
    }


def plain(head, states, targets):
    return nn.losses.cross_entropy(head(states).astype(mx.float32), targets)


def apart(one, other):
    return float(mx.linalg.norm(one - other) / mx.linalg.norm(other))


@pytest.fixture
def inputs():
    keys = mx.random.split(mx.random.key(0), 3)
    weights = mx.random.uniform(shape=(POSITIONS,), key=keys[2]) * (mx.arange(POSITIONS) < 20)
    return keys[0], mx.random.randint(0, VOCABULARY, (POSITIONS,), key=keys[1]), weights


@pytest.mark.parametrize("chunk", [1, 7, 1000])
@pytest.mark.parametrize("name", heads())
def test_chunks_give_the_full_heads_loss_and_slopes(monkeypatch, inputs, name, chunk):
    monkeypatch.setattr(module, "CHUNK_LOGITS", chunk * VOCABULARY)
    head, size = heads()[name]
    key, targets, weights = inputs
    states = mx.random.normal((POSITIONS, size), key=key)
    expected, slopes = mx.value_and_grad(lambda states: (plain(head, states, targets) * weights).sum())(states)
    found, found_slopes = mx.value_and_grad(
        lambda states: (learnable_head_nats(head, states, targets) * weights).sum()
    )(states)
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)
    assert apart(found_slopes, slopes) <= 1e-5
    assert np.array(head_nats(head, states, targets)) == pytest.approx(np.array(plain(head, states, targets)), rel=1e-5)


def test_half_precision_states_are_scored_in_float32(inputs):
    key, targets, _ = inputs
    head = nn.Linear(STATES, VOCABULARY)
    head.set_dtype(mx.bfloat16)
    states = mx.random.normal((POSITIONS, STATES), key=key).astype(mx.bfloat16)
    slopes = mx.grad(lambda states: plain(head, states, targets).sum())(states)
    found = mx.grad(lambda states: learnable_head_nats(head, states, targets).sum())(states)
    assert found.dtype == mx.bfloat16
    assert apart(found.astype(mx.float32), slopes.astype(mx.float32)) <= 1e-2
    assert head_nats(head, states, targets).dtype == mx.float32


@pytest.mark.parametrize("nats", [head_nats, learnable_head_nats])
def test_chunks_wait_for_each_other(monkeypatch, nats):
    head = nn.Linear(32, 20_000, bias=False)
    states, targets = mx.random.normal((256, 32), key=mx.random.key(1)), mx.zeros(256, dtype=mx.int32)
    mx.eval(head.parameters(), states, targets)
    full_bytes = 256 * 20_000 * 4
    monkeypatch.setattr(module, "CHUNK_LOGITS", 8 * 20_000)
    limit = mx.set_memory_limit(0)  # otherwise the scheduler runs ahead of the arithmetic
    try:
        resident = held_bytes()
        mx.eval(mx.grad(lambda states: nats(head, states, targets).sum())(states))
        peak = mx.get_peak_memory() - resident
    finally:
        mx.set_memory_limit(limit)
    assert (peak < full_bytes / 4) == (nats is learnable_head_nats)
