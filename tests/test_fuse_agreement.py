"""What a fused model has lost is measured to the last bit, with one block of it in memory at a time."""

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten

from bench.arrays import held_bytes
from tests.variants import logits
from twin.fuse import LOST_MAX, agreement
from twin.fuse.agreement import Distance, Twin, open_streamed
from twin.likelihood import collate
from twin.model import load_base
from twin.tokens import Example


def test_distances_are_kl_to_the_last_bit():
    dice = np.random.default_rng(0)
    twin_P_V = dice.normal(size=(3, 200)) * 5
    moves = np.array([1.0, 1e-2, 1e-4])[:, None] * dice.normal(size=(3, 200))
    p, q = (np.exp(x - np.log(np.exp(x).sum(axis=1, keepdims=True))) for x in (twin_P_V, twin_P_V + moves))
    given = [mx.array(np.log(one).astype(np.float32)) for one in (p, q)]
    np.testing.assert_allclose(np.array(agreement._kl(*given)), (p * np.log(p / q)).sum(axis=1), rtol=1e-2)
    impossible = mx.array([[0.0, -mx.inf]])
    assert agreement._kl(impossible, impossible).item() == 0


def twin_of(nats, tokens):
    base = Distance(nats_per_token=nats, other_tokens=tokens, same_replies=0)
    batch = collate([Example("x", (1, 2, 3), 1)], 2, 2)
    return Twin(batch, (2,), mx.zeros((2, 4)), base)


@pytest.mark.parametrize(
    ("nats", "others", "lost"),
    [(0.02, 0, 0.1), (2.0, 0, 1.0), (0.0, 1, 0.0), (0.0, 11, 0.1), (0.02, 51, 0.5)],
)
def test_what_is_lost_is_the_larger_share_of_logits_and_of_tokens(nats, others, lost):
    assert twin_of(2.0, 100).lost(Distance(nats, others, 0)) == pytest.approx(lost)


@pytest.mark.parametrize("nats", [float("nan"), float("inf")])
def test_a_distance_that_is_no_number_is_never_kept(nats):
    assert not twin_of(2.0, 100).lost(Distance(nats, 0, 0)) <= LOST_MAX


def test_a_streamed_model_is_the_model_and_holds_no_block(tiny_llama):
    whole = load_base(tiny_llama).model
    wanted = logits(whole)
    block_bytes = sum(array.nbytes for _, array in tree_flatten(whole.layers[0].parameters()))
    del whole
    before_bytes = held_bytes()
    streamed = open_streamed(tiny_llama)
    for _ in range(2):
        np.testing.assert_array_equal(logits(streamed), wanted)
    rest = {name: array for name, array in tree_flatten(streamed.parameters()) if ".layers." not in name}
    rest_bytes = sum(array.nbytes for array in rest.values())
    assert mx.get_active_memory() - before_bytes < rest_bytes + block_bytes / 2
