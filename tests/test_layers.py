"""The lean layers compute what mlx-lm's compute, and keep nothing of a weight's size while they learn."""

import mlx.core as mx
import numpy as np
import pytest
from mlx import nn
from mlx.utils import tree_flatten, tree_map
from mlx_lm.tuner.dora import DoRALinear
from mlx_lm.tuner.lora import LoRALinear

from bench.arrays import held_bytes
from twin.layers import LeanDoRALinear, LeanLoRALinear, make_lean

IN, OUT, RANK = 64, 96, 8
KINDS = {LoRALinear: LeanLoRALinear, DoRALinear: LeanDoRALinear}


class Holder(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer


def base(bits=None, bias=True, dtype=mx.float32, size=(IN, OUT)):
    linear = nn.Linear(*size, bias=bias)
    linear.weight = mx.random.normal(linear.weight.shape, key=mx.random.key(7)) * 0.3
    linear.set_dtype(dtype)
    return linear if bits is None else linear.to_quantized(group_size=32, bits=bits)


def pair(kind, linear, *, dense=None, rank=RANK):
    """Return mlx-lm's layer and the lean one with the same parameters, which do something."""
    made = []
    for _ in range(2):
        layer = kind.from_base(linear, r=rank, scale=2.0)
        layer.freeze(keys=None, recurse=True)
        layer.unfreeze(keys=["lora_a", "lora_b", "m"] if "m" in layer else ["lora_a", "lora_b"], recurse=False)
        keys = mx.random.split(mx.random.key(3), 3)
        layer.lora_a = mx.random.normal(layer.lora_a.shape, key=keys[0]) * 0.2
        layer.lora_b = mx.random.normal(layer.lora_b.shape, key=keys[1]) * 0.2
        if "m" in layer:
            layer.m = layer.m * (1 + 0.3 * mx.random.uniform(shape=layer.m.shape, key=keys[2]))
        made.append(Holder(layer))
    make_lean(made[1], dense=dense)
    assert type(made[1].layer) is KINDS[kind]
    return [holder.layer for holder in made]


def gradients(layer, x, cotangent):
    def loss(x):
        return (layer(x) * cotangent).astype(mx.float32).sum()

    by_parameters = nn.value_and_grad(layer, loss)(x)[1]
    return dict(tree_flatten(by_parameters)) | {"x": mx.grad(loss)(x)}


def apart(one, other):
    one, other = one.astype(mx.float32), other.astype(mx.float32)
    return float(mx.linalg.norm(one - other) / mx.linalg.norm(other))


def batch(dtype=mx.float32, tokens=5):
    keys = mx.random.split(mx.random.key(0))
    return [
        mx.random.normal(shape, key=key).astype(dtype)
        for shape, key in zip([(2, tokens, IN), (2, tokens, OUT)], keys, strict=True)
    ]


@pytest.mark.parametrize("mode", ["training", "replying"])
@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("bits", [None, 4, 8])
@pytest.mark.parametrize("kind", KINDS)
def test_outputs_and_gradients_are_mlx_lms(kind, bits, bias, dense, mode):
    theirs, ours = pair(kind, base(bits, bias), dense=dense)
    for layer in (theirs, ours):
        layer.train(mode == "training")
    x, cotangent = batch()
    assert apart(ours(x), theirs(x)) <= 1e-5
    if mode == "training":
        expected, found = gradients(theirs, x, cotangent), gradients(ours, x, cotangent)
        assert found.keys() == expected.keys()
        assert {name: apart(found[name], expected[name]) <= 1e-5 for name in expected} == dict.fromkeys(expected, True)


def test_the_norm_is_detached_from_the_gradient():
    # With the norm differentiated, `lora_b` gets another gradient: the test above must be able to see that.
    theirs, ours = pair(DoRALinear, base())
    x, cotangent = batch()

    def attached(layer_b):
        adapted = ours.linear.weight + 2.0 * (ours.lora_a @ layer_b).T
        y = x @ adapted.T * (ours.m / mx.linalg.norm(adapted, axis=1))
        return (y * cotangent).sum()

    assert apart(mx.grad(attached)(ours.lora_b), gradients(theirs, x, cotangent)["lora_b"]) > 1e-2


@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_stays_half_precision(kind):
    theirs, ours = pair(kind, base(dtype=mx.bfloat16))
    x, cotangent = batch(mx.bfloat16)
    assert ours(x).dtype == mx.bfloat16
    assert apart(ours(x), theirs(x)) <= 1e-2
    found = gradients(ours.train(), x, cotangent)
    assert found["lora_a"].dtype == mx.float32
    assert apart(found["lora_a"], gradients(theirs.train(), x, cotangent)["lora_a"]) <= 2e-2


def test_a_replys_gain_follows_the_parameters():
    theirs, ours = pair(DoRALinear, base(4))
    x, _ = batch()
    ours.eval()
    before = np.array(ours(x))
    for layer in (theirs, ours):
        layer.lora_b = layer.lora_b * 2
    assert apart(ours(x), theirs(x)) <= 1e-5
    assert np.abs(np.array(ours(x)) - before).max() > 1e-3
    assert ours.parameters().keys() == theirs.parameters().keys()


def test_a_row_that_cancels_stays_finite():
    _, ours = pair(DoRALinear, base(), rank=1)
    ours.lora_a = ours.linear.weight[:1].T
    ours.lora_b = mx.full((1, OUT), -0.5)
    ours.train()
    assert np.isfinite(np.array(ours(batch()[0]))).all()


@pytest.mark.parametrize("dense", [False, True])
def test_learning_keeps_nothing_of_a_weights_size(dense):
    wide = 1024
    linear = base(4, bias=False, size=(wide, wide))
    weight_bytes = 4 * wide * wide
    x = mx.random.normal((1, 4, wide), key=mx.random.key(1))
    peaks = []
    for layer in pair(DoRALinear, linear, dense=dense):
        layers = [layer.train()] * 6
        mx.eval(layer.parameters(), x)
        resident = held_bytes()
        limit = mx.set_memory_limit(0)

        def loss(x, layers=layers):
            for one in layers:
                x = mx.tanh(one(x))
            return x.sum()

        mx.eval(nn.value_and_grad(layer, loss)(x))
        mx.set_memory_limit(limit)
        peaks.append((mx.get_peak_memory() - resident) / weight_bytes)
    assert peaks[0] > 6  # a dequantised W in every layer
    assert peaks[1] < (2.5 if dense else 0.5)  # mx.dequantize on a CPU takes two


@pytest.mark.parametrize("bits", [None, 4])
def test_the_first_magnitudes_are_mlx_lms_without_a_whole_copy_of_the_weight(bits):
    theirs, ours = pair(DoRALinear, base(bits))
    fresh = DoRALinear.from_base(theirs.linear, r=RANK)
    ours.begin()
    assert apart(ours.m, fresh.m) <= 1e-6
    wide = base(4, bias=False, size=(4096, 4096))
    mx.eval(wide.parameters())
    model = Holder(DoRALinear.from_base(wide, r=1))
    resident = held_bytes()
    make_lean(model)
    model.layer.begin()
    mx.eval(model.parameters())
    assert mx.get_peak_memory() - resident < 4096 * 4096 * 4


def test_the_parameters_that_are_saved_are_mlx_lms():
    for kind in KINDS:
        theirs, ours = pair(kind, base(4))
        shapes = [tree_map(lambda array: array.shape, layer.trainable_parameters()) for layer in (theirs, ours)]
        assert shapes[0] == shapes[1]
