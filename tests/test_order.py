"""Every example once per epoch, the same updates however they are cut, little padding and few shapes."""

from collections import Counter
from itertools import chain, combinations

import numpy as np
import pytest

from twin.config.train import TrainConfig
from twin.training.order import levels, plan


def config(batch=8, accumulate=1, updates=100, seed=17):
    return TrainConfig(
        updates=updates, batch=batch, accumulate=accumulate, packing=False, ranks=1, max_tokens=2048,
        checkpointing=False, validate_every=25, validate_examples=64, patience=4, min_delta=0.001, learn_by=None,
        seed=seed,
    )  # fmt: skip


def lengths(count, sigma=0.6, median=150):
    drawn = np.random.default_rng(1).lognormal(np.log(median), sigma, count)
    inputs = np.clip(drawn, 5, 2047).astype(int)
    return inputs.tolist(), np.maximum(inputs // 5, 1).tolist()


def rows(update):
    return sorted(chain.from_iterable(batch.rows for batch in update))


@pytest.mark.parametrize(("count", "batch", "accumulate"), [(99, 8, 1), (97, 1, 8), (95, 2, 4), (96, 8, 1), (5, 4, 2)])
def test_every_epoch_shows_every_example_exactly_once(count, batch, accumulate):
    per_epoch = -(-count // (batch * accumulate))
    laid_out = plan(*lengths(count), config(batch, accumulate, updates=3 * per_epoch))
    for epoch in range(3):
        updates = laid_out.updates[epoch * per_epoch : (epoch + 1) * per_epoch]
        assert Counter(chain.from_iterable(map(rows, updates))) == Counter(range(count))


def test_cutting_an_update_differently_does_not_change_its_examples():
    cuts = [plan(*lengths(203), config(batch, 8 // batch)).updates for batch in (1, 2, 4, 8)]
    for one, other in combinations(cuts, 2):
        assert [rows(update) for update in one] == [rows(update) for update in other]


def test_the_order_is_a_function_of_the_seed():
    assert plan(*lengths(100), config(seed=1)) == plan(*lengths(100), config(seed=1))
    assert plan(*lengths(100), config(seed=1)).updates != plan(*lengths(100), config(seed=2)).updates


def test_epochs_differ():
    updates = plan(*lengths(101), config(updates=26)).updates
    assert [rows(update) for update in updates[:13]] != [rows(update) for update in updates[13:]]


@pytest.mark.parametrize(("batch", "accumulate"), [(8, 1), (2, 4), (1, 8)])
def test_padding_stays_within_a_tenth_and_shapes_within_24(batch, accumulate):
    laid_out = plan(*lengths(2923), config(batch, accumulate, updates=1000))
    assert laid_out.padding_share <= 0.10
    assert laid_out.shapes <= 24


@pytest.mark.parametrize("sigma", [0.2, 1.2])
def test_shapes_stay_few_for_any_lengths(sigma):
    for batch, accumulate in ((8, 1), (3, 3), (1, 8)):
        assert plan(*lengths(997, sigma), config(batch, accumulate, updates=700)).shapes <= 24


def test_the_reported_padding_and_shapes_are_those_of_the_batches():
    inputs, supervised = lengths(203)
    laid_out = plan(inputs, supervised, config(updates=60))
    batches = list(chain.from_iterable(laid_out.updates))
    real = sum(inputs[row] for batch in batches for row in batch.rows)
    computed = sum(len(batch.rows) * batch.length for batch in batches)
    assert laid_out.padding_share == pytest.approx(1 - real / computed)
    bodies = {(len(batch.rows), batch.length) for batch in batches}
    assert laid_out.shapes == len(bodies) + len({batch.positions for batch in batches})


def test_every_example_fits_its_batch():
    inputs, supervised = lengths(203)
    for batch in chain.from_iterable(plan(inputs, supervised, config()).updates):
        assert max(inputs[row] for row in batch.rows) <= batch.length
        assert sum(supervised[row] for row in batch.rows) <= batch.positions


def test_levels_add_as_little_as_any_choice_could():
    values = np.random.default_rng(3).integers(1, 30, 40)

    def added(chosen):
        chosen = np.array(sorted(chosen))
        return int((chosen[np.searchsorted(chosen, values)] - values).sum())

    distinct = sorted(set(values.tolist()))
    best = min(added((*some, distinct[-1])) for some in combinations(distinct[:-1], 2))
    assert added(levels(values, 3)) == best
    assert levels(values, 100).tolist() == distinct
