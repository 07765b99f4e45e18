"""A reading equals the specification: golden paths, which prove the plain loop too, defined edges, invariances."""

import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests import spec_loop
from twin.errors import ConfigError, DataError
from twin.geometry import REGIMES, Reading, Trajectory, measure, prefixes
from twin.geometry.prefixes import SHORT

GOLDEN = json.loads((Path(__file__).parent / "golden" / "geometry.json").read_text())
SCALARS = list(Reading.__dataclass_fields__)


def assert_close(reading: Reading, expected: dict[str, float]) -> None:
    assert vars(reading) == pytest.approx(expected, rel=0, abs=1e-9)


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case["name"])
def test_the_plain_loop_equals_every_step_of_a_golden_path(case: dict[str, Any]) -> None:
    found = spec_loop.path(case["states"], case["k"])
    assert set(found) == set(case["path"]) == set(SCALARS)
    for name, values in case["path"].items():
        assert found[name] == pytest.approx(values, rel=0, abs=1e-9)
    rows = [dict(zip(found, row, strict=True)) for row in zip(*found.values(), strict=True)]
    assert [spec_loop.regime(row) for row in rows] == case["regimes"]


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case["name"])
def test_a_golden_path_is_read_alike_by_all_three(case: dict[str, Any]) -> None:
    states, k = np.array(case["states"]), case["k"]
    reading = measure(states, k)
    assert_close(reading, case["final"])
    assert reading.regime == case["regime"]
    assert prefixes(states, None, k)[-1] == reading
    live = Trajectory(len(states), k)
    assert [live.push(state) for state in states][-1] == reading


@pytest.mark.parametrize("turns", [SHORT, SHORT + 1, 40])
def test_a_path_reads_alike_however_long_it_is(turns: int) -> None:
    states = np.random.default_rng(turns).normal(size=(turns, 6)).cumsum(axis=0)
    expected = spec_loop.path(states.tolist())
    assert_close(measure(states), {name: values[-1] for name, values in expected.items()})
    assert measure(states) == prefixes(states)[-1] == prefixes(states, turns)[-1]


def test_the_golden_paths_know_every_regime() -> None:
    assert {regime for case in GOLDEN for regime in case["regimes"]} == set(REGIMES)


def test_a_regime_is_the_first_rule_that_holds_and_no_bound_counts_itself() -> None:
    for c, u, p, r in itertools.product([0.0, 0.2, 0.3, 0.4, 0.45, 0.5, 0.6, 0.65, 0.7, 0.9, 1.0], repeat=4):
        reading = Reading(c, u, p, r, 0.5, 0.5, 0.5)
        assert reading.regime == spec_loop.regime(vars(reading))


@settings(max_examples=100, deadline=None)
@given(
    st.integers(2, 12).flatmap(lambda n: arrays(np.float64, (n, 2), elements=st.floats(-1e6, 1e6))),
    st.sampled_from([1, 3, 5, 7]),
)
def test_scalars_stay_in_their_ranges(states: np.ndarray, smoothing: int) -> None:
    for reading in prefixes(states, smoothing=smoothing)[1:]:
        assert reading is not None
        assert abs(reading.transition_pressure) <= 2 / smoothing + 1e-12
        others = vars(reading) | {"transition_pressure": 0.0}
        assert all(0.0 <= value <= 1.0 for value in others.values())


def rotated(states: np.ndarray) -> np.ndarray:
    turn, _ = np.linalg.qr(np.random.default_rng(5).normal(size=(states.shape[1],) * 2))
    return np.asarray(states @ turn)


@pytest.mark.parametrize(
    "moved",
    [lambda s: s + 3.0, lambda s: s * 400.0, lambda s: s / 400.0, lambda s: -s, rotated, lambda s: s[:, ::-1]],
    ids=["translated", "larger", "smaller", "mirrored", "rotated", "dimensions in another order"],
)
@pytest.mark.parametrize("seed", range(8))
def test_a_reading_does_not_depend_on_origin_size_or_axes(moved: Any, seed: int) -> None:
    states = np.random.default_rng(seed).normal(size=(9 + seed, 6))
    assert_close(measure(moved(states)), vars(measure(states)))


def test_a_long_and_wide_path_equals_the_plain_loop() -> None:
    states = np.random.default_rng(2).normal(size=(45, 40))
    states = np.repeat(np.concatenate([states, states[::-1]]), 10, axis=1)
    expected = spec_loop.path(states.tolist())
    assert_close(measure(states), {name: values[-1] for name, values in expected.items()})


def test_states_that_differ_in_nearness_by_rounding_only_count_as_equally_near() -> None:
    tilted = [0.5, math.sqrt(3) / 2]
    states = np.array([[1.0 + 1e-13, 0.0], [-1.0, 0.0], [0.0, 1.0], tilted, [0.0, 0.0]])
    assert measure(states, k=3).uncertainty == pytest.approx((math.log2(3) - 2 / 3) / 3)
    assert prefixes(states, k=3)[-1] == measure(states, k=3)


def test_states_that_differ_in_nearness_by_more_than_rounding_do_not() -> None:
    tilted = [0.5, math.sqrt(3) / 2]
    states = np.array([[1.0 + 4e-12, 0.0], [-1.0, 0.0], [0.0, 1.0], tilted, [0.0, 0.0]])
    assert measure(states, k=3).uncertainty == pytest.approx(math.log2(3) / 3)


def test_unlike_histograms_of_equal_entropy_tie_at_the_median() -> None:
    """6 2 1 1 and 4 3 3 of ten angles: 6⁶ 2² = 4⁴ 3³ 3³, so the last two steps are as uncertain as each other."""
    states = [[-1, 2], [-2, -8], [-3, 6], [-5, 1], [-3, 5], [-4, -2], [-9, 1], [-5, 9]]
    assert measure(np.array(states, dtype=float)).recovery_margin == 1.0


def test_a_cosine_that_differs_from_an_edge_by_rounding_only_has_reached_it() -> None:
    right_angles = np.array([[3.0, 1e-13], [0.0, 1.0], [0.0, -1.0], [0.0, 0.0]])
    assert measure(right_angles, bins=2).uncertainty == 0.0


@pytest.mark.parametrize("bins", [4, 8, 26, 52])
def test_a_right_angle_has_reached_its_edge_in_any_number_of_bins(bins: int) -> None:
    """Of 26 and 52 bins that edge is computed as a cosine just below zero."""
    states = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, -0.05], [0.0, 0.0]])
    assert measure(states, bins=bins).uncertainty == pytest.approx((math.log2(3) - 2 / 3) / math.log2(bins))


def test_the_angle_pi_is_in_the_last_bin() -> None:
    between = np.array([[1.0, 0.0], [-1.0, 0.0], [-2.0, 0.1], [0.0, 0.0]])
    assert measure(between, bins=2).uncertainty == pytest.approx(-(math.log2(1 / 3) + 2 * math.log2(2 / 3)) / 3)


def test_identical_turns_are_fully_committed_and_stable() -> None:
    reading = measure(np.ones((6, 4)))
    assert reading == Reading(1.0, 0.0, 0.0, 1.0, 0.5, 0.5, 1.0)
    assert reading.regime == "committing"


@given(st.floats(-1e9, 1e9), st.integers(5, 14))
def test_identical_turns_are_identical_however_large(value: float, turns: int) -> None:
    assert measure(np.full((turns, 3), value)) == Reading(1.0, 0.0, 0.0, 1.0, 0.5, 0.5, 1.0)


@pytest.mark.parametrize("shape", [[0, 0, 1, 1], [0, 1, 2, 3]])
@pytest.mark.parametrize("size", [0.3, 0.99, 1.0, 1.01, 3.0])
def test_what_is_shorter_than_epsilon_counts_as_nothing_and_epsilon_itself_does_not(
    shape: list[int], size: float
) -> None:
    states = np.array(shape)[:, None] * (size * 1e-10)
    for reading, expected in zip(prefixes(states), spec_loop.at_every_prefix(states.tolist()), strict=True):
        if reading is not None and expected is not None:
            assert_close(reading, expected)


def test_the_largest_values_have_a_reading() -> None:
    assert measure(np.array([[-1e150], [1e150]])) == Reading(0.0, 0.5, 0.0, 1.0, 0.5, 1.0, 0.5)


def test_turning_straight_back_is_not_below_the_least_stiffness() -> None:
    assert measure(np.array([[0.0, 0.0], [6.0, 1.0], [-6.0, -1.0]])).phase_stiffness == 0.0


def test_zero_vectors_are_turns_like_others() -> None:
    assert measure(np.zeros((6, 4))) == measure(np.ones((6, 4)))
    left_and_back = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    assert_close(measure(left_and_back), vars(Reading(1.0, 0.0, 0.5, 1.0, 0.5, 0.0, 0.0)))


def test_two_turns_have_a_reading_of_neutral_values() -> None:
    assert measure(np.array([[0.0], [1.0]])) == Reading(0.0, 0.5, 0.0, 1.0, 0.5, 1.0, 0.5)
    assert measure(np.array([[1.0], [1.0]])) == Reading(1.0, 0.5, 0.0, 1.0, 0.5, 0.5, 0.5)


def test_three_turns_have_a_direction_and_no_jerk() -> None:
    assert_close(measure(np.array([[0.0], [2.0], [1.0]])), vars(Reading(0.5, 0.0, 1 / 6, 0.5, 0.0, 0.5, 0.5)))


@pytest.mark.parametrize(
    ("states", "words"),
    [
        (np.ones((1, 3)), "a path of 1 states has no reading"),
        (np.ones((0, 3)), "a path of 0 states has no reading"),
        (np.ones(3), r"shape \(3,\)"),
        (np.ones((2, 3, 4)), r"shape \(2, 3, 4\)"),
        (np.ones((3, 0)), r"shape \(3, 0\)"),
        (np.array([[0.0], [np.nan], [1.0]]), "state 1 of 3 holds NaN, infinity"),
        (np.array([[0.0], [1.0], [np.inf]]), "state 2 of 3 holds NaN, infinity"),
        (np.array([[0.0], [np.nan], [np.inf]]), "state 1 of 3 holds NaN, infinity"),
        (np.array([[0.0], [1.01e150]]), r"state 1 of 2 holds NaN, infinity or a value beyond 1e\+"),
    ],
)
def test_a_path_without_a_reading_is_refused(states: np.ndarray, words: str) -> None:
    with pytest.raises(DataError, match=words):
        measure(states)


@pytest.mark.parametrize(
    ("out_of_range", "words"),
    [
        ({"k": 1}, r"augment\.neighbours is 1"),
        ({"bins": 1}, r"augment\.bins is 1"),
        ({"smoothing": 2}, r"augment\.smoothing is 2; it must be odd"),
        ({"smoothing": 0}, r"augment\.smoothing is 0"),
        ({"smoothing": -1}, r"augment\.smoothing is -1"),
    ],
)
def test_settings_that_mean_nothing_are_refused(out_of_range: dict[str, int], words: str) -> None:
    for read in (lambda: measure(np.ones((4, 2)), **out_of_range), lambda: prefixes(np.ones((4, 2)), **out_of_range),
                 lambda: Trajectory(4, **out_of_range)):  # fmt: skip
        with pytest.raises(ConfigError, match=words):
            read()
