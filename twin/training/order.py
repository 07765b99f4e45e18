"""Which examples make which update: lengths, seed → updates of micro-batches with few shapes and little padding.

The examples of an update are chosen first and cut into micro-batches afterwards, so that micro-batch size and
accumulation never change what an update learns from. An epoch shows every example exactly once: a seeded
permutation, sorted by length with ties in its order, is cut into updates, and the updates are shuffled; the
examples that do not fill an update, a random few, make a smaller one at a random place.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from twin.training.seeds import Purpose, derived_seed

# Every new shape costs Metal resources: 16 lengths, one more for an epoch's last rows, and 7 numbers of supervised
# positions are at most 24. Measured on 2,923 log-normal lengths, median 150: 16 lengths pad 8 % of the tokens at
# sigma 0.6 and 10 % at 0.8, at batch 1 and 8 alike. Fewer than some 500 examples pad more: neighbours lie apart.
LENGTH_LEVELS = 16
POSITION_LEVELS = 7

Ints = NDArray[np.int64]


class Portions(Protocol):
    """How many updates there are, and what makes one; see `TrainConfig`."""

    @property
    def updates(self) -> int: ...  # noqa: D102
    @property
    def batch(self) -> int: ...  # noqa: D102
    @property
    def accumulate(self) -> int: ...  # noqa: D102
    @property
    def seed(self) -> int: ...  # noqa: D102


@dataclass(frozen=True)
class MicroBatch:
    """Example numbers that go through the model together, padded to `length` inputs and `positions` targets.

    Packed ones share one row of that length.
    """

    rows: tuple[int, ...]
    length: int
    positions: int


@dataclass(frozen=True)
class Plan:
    """All updates of a run, in order."""

    updates: tuple[tuple[MicroBatch, ...], ...]
    padding_share: float
    """Padding among the tokens the body computes, 0 to 1."""
    shapes: int
    """Distinct (rows, length) of the body and distinct sizes of the head."""


def plan(inputs: Sequence[int], supervised: Sequence[int], config: Portions, *, packing: bool = False) -> Plan:
    """Lay out all updates of a run over examples with these numbers of inputs and of supervised tokens."""
    batch, seed = config.batch, derived_seed(config.seed, Purpose.order)
    inputs_N, supervised_N = np.array(inputs, dtype=np.int64), np.array(supervised, dtype=np.int64)
    chosen = list(islice(_updates(inputs_N, batch * config.accumulate, seed), config.updates))
    cut = [[rows[start : start + batch] for start in range(0, len(rows), batch)] for rows in chosen]
    row_M = np.array([inputs_N[rows].sum() if packing else inputs_N[rows].max() for rows in chain(*cut)])
    targets_M = np.array([supervised_N[rows].sum() for rows in chain(*cut)])
    # A smaller number of rows is a shape of its own: at one length it stays one shape, whatever the epochs leave over.
    odd_M = np.array([len(rows) < batch and not packing for rows in chain(*cut)])
    lengths_M = np.where(odd_M, row_M[odd_M].max(initial=0), _round_up(row_M, levels(row_M, LENGTH_LEVELS)))
    positions_M = _round_up(targets_M, levels(targets_M, POSITION_LEVELS))
    sizes = zip(lengths_M.tolist(), positions_M.tolist(), strict=True)
    made = tuple(tuple(MicroBatch(tuple(rows.tolist()), *next(sizes)) for rows in update) for update in cut)
    return Plan(made, *_layout(made, inputs_N, packing))


def _layout(updates: Sequence[Sequence[MicroBatch]], inputs_N: Ints, packing: bool) -> tuple[float, int]:
    batches = list(chain(*updates))
    shapes = [(1 if packing else len(batch.rows), batch.length) for batch in batches]
    computed = sum(rows * length for rows, length in shapes)
    real = sum(int(inputs_N[list(batch.rows)].sum()) for batch in batches)
    bodies = set(shapes)
    return 1 - real / computed, len(bodies) + len({batch.positions for batch in batches})


def _updates(lengths_N: Ints, size: int, seed: int) -> Iterator[Ints]:
    """Yield the example numbers of update after update, epoch after epoch, each update's sorted by length."""
    epoch = 0
    while True:
        rng = np.random.default_rng([seed, epoch])
        order = rng.permutation(len(lengths_N))
        whole = len(order) - len(order) % size
        sorted_rows = _by_length(order[:whole], lengths_N)
        groups = list(rng.permutation(sorted_rows.reshape(-1, size)))
        if whole < len(order):
            groups.insert(rng.integers(len(groups) + 1), _by_length(order[whole:], lengths_N))
        yield from groups
        epoch += 1


def _by_length(rows: Ints, lengths_N: Ints) -> Ints:
    return rows[np.argsort(lengths_N[rows], kind="stable")]


def levels(values: Ints, count: int) -> Ints:
    """Return at most `count` of the values such that rounding all up to them adds least, ascending.

    An exact dynamic programme over the distinct values: `added[j]` is what covering the first j costs.
    """
    distinct, numbers = np.unique(values, return_counts=True)
    many_before = np.concatenate([[0], np.cumsum(numbers)])
    sum_before = np.concatenate([[0], np.cumsum(numbers * distinct)])
    added = np.where(np.arange(len(distinct) + 1) == 0, 0.0, np.inf)
    cuts: list[Ints] = []
    for _ in range(min(count, len(distinct))):
        cut, best = np.zeros(len(distinct) + 1, dtype=np.int64), added.copy()
        cut[:] = np.arange(len(distinct) + 1)
        for end in range(1, len(distinct) + 1):
            padded = distinct[end - 1] * (many_before[end] - many_before[:end]) - (sum_before[end] - sum_before[:end])
            total = added[:end] + padded
            start = int(np.argmin(total))
            if total[start] < best[end]:
                best[end], cut[end] = total[start], start
        added = best
        cuts.append(cut)
    return _ends(distinct, cuts)


def _ends(distinct: Ints, cuts: list[Ints]) -> Ints:
    end, found = len(distinct), []
    for cut in reversed(cuts):
        if cut[end] < end:
            found.append(distinct[end - 1])
            end = int(cut[end])
    assert end == 0, "the levels cover every value"
    return np.array(found[::-1], dtype=np.int64)


def _round_up(values: Ints, levels_K: Ints) -> Ints:
    return levels_K[np.searchsorted(levels_K, values)]
