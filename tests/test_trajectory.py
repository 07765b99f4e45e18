"""`measure`, `prefixes` and `Trajectory` are one reading: the plain loop's, causal, and blind beyond the window."""

import pickle
import re
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import spec_loop
from twin.errors import ConfigError, DataError
from twin.geometry import Reading, Trajectory, measure, prefixes

Rng = np.random.Generator
Setup = tuple[int | None, int, int, int]


def grid(rng: Rng, n: int, d: int) -> np.ndarray:
    return rng.integers(-3, 4, (n, d)).astype(float)


def gaussian(rng: Rng, n: int, d: int) -> np.ndarray:
    return rng.normal(size=(n, d))


# The loop rounds its sums otherwise than numpy. Paths with ties are therefore made so that their sums are exact
# (integers, quarters) or their tied states equal in every bit: elsewhere rounding to 12 decimals can part two
# distances that are equal on paper, and the specification does not say which of two right answers is meant.
KINDS: dict[str, Callable[[Rng, int, int], np.ndarray]] = {
    "grid": grid,
    "gaussian": gaussian,
    "walk": lambda rng, n, d: gaussian(rng, n, d).cumsum(axis=0),
    "unit": lambda rng, n, d: (s := gaussian(rng, n, d)) / np.linalg.norm(s, axis=1, keepdims=True),
    "near duplicates": lambda rng, n, d: gaussian(rng, 3, d)[rng.integers(0, 3, n)] + 1e-3 * gaussian(rng, n, d),
    "repeated": lambda rng, n, d: gaussian(rng, 4, d)[rng.integers(0, 4, n)],
    "collinear": lambda rng, n, d: (grid(rng, 1, d) + rng.integers(-8, 9, (n, 1)) * grid(rng, 1, d)) / 4,
    "zero vectors": lambda rng, n, d: gaussian(rng, n, d) * (rng.random((n, 1)) < 0.6),
}


@st.composite
def paths(draw: st.DrawFn, turns: st.SearchStrategy[int]) -> np.ndarray:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return KINDS[draw(st.sampled_from(sorted(KINDS)))](rng, draw(turns), draw(st.integers(1, 8)))


WINDOWS = st.none() | st.integers(2, 12)
SETUPS = st.tuples(WINDOWS, st.integers(2, 7), st.sampled_from([2, 5, 8, 12]), st.sampled_from([1, 3, 5, 7]))


def alone(states: np.ndarray, setup: Setup) -> list[Reading | None]:
    """Measure each prefix by itself."""
    window, *others = setup
    first = [0 if window is None else max(0, t - window + 1) for t in range(len(states))]
    return [measure(states[first[t] : t + 1], *others) if t else None for t in range(len(states))]


def live(states: np.ndarray, setup: Setup) -> list[Reading | None]:
    window, *others = setup
    trajectory = Trajectory(window or max(2, len(states)), *others)
    return [trajectory.push(state) for state in states]


@pytest.mark.slow
@settings(max_examples=1000, deadline=None)
@given(paths(st.integers(1, 25)), SETUPS)
def test_all_three_equal_the_plain_loop_and_one_another_in_every_bit(states: np.ndarray, setup: Setup) -> None:
    readings = prefixes(states, *setup)
    assert readings == alone(states, setup) == live(states, setup)
    for reading, expected in zip(readings, spec_loop.at_every_prefix(states.tolist(), *setup), strict=True):
        assert (reading is None) == (expected is None)
        if reading is not None:
            assert vars(reading) == pytest.approx(expected, rel=0, abs=1e-9)


@pytest.mark.parametrize("window", [2, 3, 10, 64])
def test_a_conversation_of_500_turns_is_read_alike_live_and_afterwards(window: int) -> None:
    states = np.random.default_rng(window).normal(size=(500, 16))
    assert live(states, (window, 5, 8, 3)) == prefixes(states, window)


def test_a_long_conversation_in_many_dimensions_is_read_alike_live_and_afterwards() -> None:
    states = np.random.default_rng(12).normal(size=(300, 1000))
    assert live(states, (3, 5, 8, 3)) == prefixes(states, 3)


@pytest.mark.parametrize("width", [1, 3, 256, 384, 1000])
@pytest.mark.parametrize("turns", [2, 30])
def test_all_three_agree_in_every_bit_at_the_widths_of_embedders(turns: int, width: int) -> None:
    states = np.random.default_rng(width).normal(size=(turns, width)).astype(np.float32)
    for window in (None, 10):
        setup = (window, 5, 8, 3)
        assert prefixes(states, window) == alone(states, setup) == live(states, setup)


def test_states_may_lie_in_memory_as_they_like() -> None:
    states = np.random.default_rng(0).normal(size=(40, 24))
    expected = prefixes(states, 10)
    for same in (np.asfortranarray(states), np.repeat(states, 2, axis=1)[:, ::2], states[::-1].copy()[::-1]):
        assert prefixes(same, 10) == expected == live(same, (10, 5, 8, 3))


@settings(max_examples=100, deadline=None)
@given(paths(st.integers(2, 25)), SETUPS, st.data())
def test_no_later_turn_changes_a_reading(states: np.ndarray, setup: Setup, data: st.DataObject) -> None:
    readings = prefixes(states, *setup)
    now = data.draw(st.integers(0, len(states) - 1))
    assert prefixes(states[: now + 1], *setup) == readings[: now + 1]
    changed = states.copy()
    changed[now + 1 :] = data.draw(st.sampled_from([0.0, -1e100, 1e-30])) * (1 + changed[now + 1 :])
    assert prefixes(changed, *setup)[: now + 1] == readings[: now + 1]


@settings(max_examples=100, deadline=None)
@given(paths(st.integers(4, 25)), SETUPS, st.data())
def test_no_turn_older_than_the_window_matters(states: np.ndarray, setup: Setup, data: st.DataObject) -> None:
    window = min(setup[0] or 3, len(states) - 1)
    setup = (window, *setup[1:])
    now = data.draw(st.integers(window, len(states) - 1))
    changed = states.copy()
    changed[: now - window + 1] = data.draw(st.sampled_from([0.0, -1e100, 1e-30])) * (1 + changed[: now - window + 1])
    assert prefixes(changed, *setup)[now:] == prefixes(states, *setup)[now:]
    assert live(changed, setup)[now:] == live(states, setup)[now:]


def test_the_last_turn_of_the_window_does_matter() -> None:
    states = np.random.default_rng(1).normal(size=(12, 4))
    changed = states.copy()
    changed[2] += 5.0
    assert prefixes(changed, 10)[11] != prefixes(states, 10)[11]


def test_no_state_has_no_reading_and_the_first_none_either() -> None:
    assert prefixes(np.empty((0, 3))) == prefixes(np.empty((0, 3)), 10) == []
    assert prefixes(np.ones((1, 3))) == prefixes(np.ones((1, 3)), 10) == [None]
    trajectory = Trajectory(10)
    assert trajectory.peek(np.ones(3)) is None and trajectory.push(np.ones(3)) is None


def test_a_window_wider_than_the_conversation_is_no_window() -> None:
    states = np.random.default_rng(3).normal(size=(9, 4))
    assert prefixes(states, 9) == prefixes(states, 10**6) == prefixes(states)


def test_a_peek_is_the_push_to_come_and_keeps_nothing() -> None:
    states = np.random.default_rng(4).normal(size=(30, 5))
    peeked, pushed = Trajectory(4), Trajectory(4)
    for state in states:
        before = pickle.dumps(peeked)
        for other in (state, -state, np.zeros(5)):
            peeked.peek(other)
        assert pickle.dumps(peeked) == before
        assert peeked.peek(state) == peeked.push(state) == pushed.push(state)


def test_a_state_that_its_caller_overwrites_has_been_kept() -> None:
    states = np.random.default_rng(6).normal(size=(30, 5))
    trajectory, reused = Trajectory(4), np.empty(5)
    readings = []
    for state in states:
        reused[:] = state
        readings.append(trajectory.push(reused))
        reused[:] = np.nan
    assert readings == prefixes(states, 4)


def test_reading_a_path_leaves_it_as_it_was() -> None:
    states = np.random.default_rng(7).normal(size=(20, 5))
    copy = states.copy()
    states.flags.writeable = False
    for window in (None, 6):
        prefixes(states, window)
        live(states, (window, 5, 8, 3))
    measure(states)
    assert np.array_equal(states, copy)


def test_a_trajectory_stays_as_large_as_its_window() -> None:
    trajectory, sizes = Trajectory(6), []
    for number, state in enumerate(np.random.default_rng(8).normal(size=(3001, 16))):
        trajectory.push(state)
        if number in (300, 3000):  # numbers that a pickle writes with two bytes each
            sizes.append(len(pickle.dumps(trajectory)))
    assert sizes[0] == sizes[1]


def test_a_trajectory_that_was_pickled_goes_on() -> None:
    states = np.random.default_rng(9).normal(size=(20, 5))
    trajectory = Trajectory(6)
    for state in states[:10]:
        trajectory.push(state)
    again = pickle.loads(pickle.dumps(trajectory))
    assert [again.push(state) for state in states[10:]] == prefixes(states, 6)[10:]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e200])
@pytest.mark.parametrize("turn", [0, 1, 7, 25])
def test_a_turn_that_is_no_number_is_refused_by_its_number(turn: int, bad: float) -> None:
    states = np.random.default_rng(10).normal(size=(26, 3))
    states[turn, 1] = bad
    words = f"state {turn} (of 26 )?holds NaN, infinity or a value beyond"
    for window in (None, 4):
        with pytest.raises(DataError, match=words):
            prefixes(states, window)
    with pytest.raises(DataError, match=words):
        measure(states)
    trajectory = Trajectory(4)
    for state in states[:turn]:
        trajectory.push(state)
    before = pickle.dumps(trajectory)
    for take in (trajectory.push, trajectory.peek):
        with pytest.raises(DataError, match=words):
            take(states[turn])
    assert pickle.dumps(trajectory) == before


def test_a_trajectory_goes_on_after_a_refused_turn_as_if_it_had_not_been() -> None:
    states = np.random.default_rng(11).normal(size=(12, 3))
    trajectory = Trajectory(4)
    readings = [trajectory.push(states[0])]
    for state in states[1:]:
        for refused in (np.full(3, np.nan), np.ones(4), np.ones((1, 3)), np.ones(0), np.ones(())):
            with pytest.raises(DataError, match="state"):
                trajectory.push(refused)
        readings.append(trajectory.push(state))
    assert readings == prefixes(states, 4)


@pytest.mark.parametrize("shape", [(), (0,), (1, 3), (2, 3), (4,)])
def test_a_state_of_another_shape_is_refused_and_its_shape_named(shape: tuple[int, ...]) -> None:
    trajectory = Trajectory(4)
    for _ in range(6):
        trajectory.push(np.ones(3))
    for take in (trajectory.push, trajectory.peek):
        with pytest.raises(DataError, match=rf"state 6 .*{re.escape(str(shape))}"):
            take(np.ones(shape))


@pytest.mark.parametrize("shape", [(), (0,), (1, 3), (1, 0)])
def test_a_first_state_that_is_no_vector_is_refused(shape: tuple[int, ...]) -> None:
    for take in (Trajectory(4).push, Trajectory(4).peek):
        with pytest.raises(DataError, match=rf"state 0 .*{re.escape(str(shape))}"):
            take(np.ones(shape))


@pytest.mark.parametrize("shape", [(3,), (2, 3, 4), (3, 0), ()])
def test_prefixes_of_what_is_no_matrix_are_refused(shape: tuple[int, ...]) -> None:
    for window in (None, 4):
        with pytest.raises(DataError, match="states have the shape"):
            prefixes(np.ones(shape), window)


@pytest.mark.parametrize("window", [1, 0, -3])
def test_a_window_that_holds_no_path_is_refused(window: int) -> None:
    for turns in (0, 1, 5):
        with pytest.raises(ConfigError, match=rf"augment\.window is {window}"):
            prefixes(np.ones((turns, 2)), window)
    with pytest.raises(ConfigError, match=rf"augment\.window is {window}"):
        Trajectory(window)
