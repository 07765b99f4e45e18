"""Packed examples learn exactly what padded ones do, and a base that cannot tell them apart is refused."""

from dataclasses import replace

import mlx.core as mx
import numpy as np
import pytest

from stages import train as stage
from stages.train.packing import PackedRow, pack, require_packable
from tests.test_train import ROWS, Prepared, relative_error, settings
from twin.config.adapter import Kind
from twin.errors import ConfigError
from twin.likelihood import collate, token_nats
from twin.model import Split


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("base_name", ["tiny_base", "tiny_llama"])
def test_packing_changes_neither_loss_nor_gradient(request, base_name, kind, checkpointing):
    folder = request.getfixturevalue(base_name)
    loss, gradients = Prepared(folder, kind=kind).gradients()
    packed = Prepared(folder, kind=kind, packing=True, checkpointing=checkpointing)
    for batch in (8, 3):
        found_loss, found = packed.gradients(packing=True, batch=batch, accumulate=1 if batch == 8 else 3, updates=3)
        if batch == 8:
            assert found_loss == pytest.approx(loss, rel=1e-5)
            assert relative_error(found, gradients) <= 1e-5


def test_each_reply_is_as_likely_packed_as_alone(tiny_base):
    prepared = Prepared(tiny_base)
    split = prepared.trainer.split
    rows = prepared.examples[:4]
    batch, row = pack(rows, sum(len(example.tokens) - 1 for example in rows) + 5, 60)
    nats = np.array(token_nats(split, batch, [row] * 2))
    alone = [
        np.array(token_nats(split, collate([example], len(example.tokens) - 1, example.supervised))) for example in rows
    ]
    expected = np.concatenate(alone)
    assert nats[: len(expected)] == pytest.approx(expected, rel=1e-5)
    assert not nats[len(expected) :].any()


def test_an_example_sees_its_own_earlier_inputs_only():
    mask = np.array(PackedRow(mx.array([0, 0, 1, 1, 1, -1])).make_mask(6))
    assert mask.astype(int).tolist() == [
        [1, 0, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0], [0, 0, 1, 1, 0, 0], [0, 0, 1, 1, 1, 0],
        [0, 0, 0, 0, 0, 1],
    ]  # fmt: skip
    windowed = np.array(PackedRow(mx.array([0, 0, 0])).make_mask(3, window_size=2))
    assert windowed.astype(int).tolist() == [[1, 0, 0], [1, 1, 0], [0, 1, 1]]


def test_a_packed_plan_has_one_row_and_little_padding(tiny_base):
    prepared = Prepared(tiny_base)
    packed, padded = prepared.plan(packing=True), prepared.plan()
    assert [[batch.rows for batch in update] for update in packed.updates] == [
        [batch.rows for batch in update] for update in padded.updates
    ]
    for batch in packed.updates[0]:
        assert batch.length >= sum(len(prepared.examples[row].tokens) - 1 for row in batch.rows)
    assert packed.padding_share < 0.1


def test_a_base_with_learned_positions_is_refused(tiny_base):
    prepared = Prepared(tiny_base)
    split = prepared.trainer.split

    def body(inputs, cache=None):
        return split.body(inputs, cache=cache) + mx.arange(inputs.shape[1])[:, None]

    with pytest.raises(ConfigError, match=r"train\.packing is true, and the base does not keep.*states differ by"):
        require_packable(Split(body, split.head), 2, prepared.examples)
    with pytest.raises(ConfigError, match=r"train\.packing is true, and the base refuses packed examples: .*cache"):
        require_packable(Split(lambda inputs, /: split.body(inputs), split.head), 2, prepared.examples)


def test_a_whole_run_can_be_packed(tiny_base):
    plain = stage.train(tiny_base, ROWS, settings(train={"updates": 4}, adapter={"dropout": 0.0}))
    packed = stage.train(tiny_base, ROWS, settings(train={"updates": 4, "packing": True}, adapter={"dropout": 0.0}))
    assert packed.outcome.best_loss == pytest.approx(plain.outcome.best_loss, rel=1e-4)
    assert replace(packed.outcome.steps[0], loss=0) == replace(packed.outcome.steps[0], loss=0)
