"""The seven scalars equal the specification: golden values, and a plain loop over random paths."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from twin.errors import ConfigError, DataError
from twin.geometry import Reading, _entropy, measure, trace

GOLDEN = json.loads((Path(__file__).parent / "golden" / "geometry.json").read_text())
SCALARS = list(Reading.__dataclass_fields__)
Path_T_D = list[list[float]]


def minus(a: list[float], b: list[float]) -> list[float]:
    return [x - y for x, y in zip(a, b, strict=True)]


def norm(a: list[float]) -> float:
    return math.sqrt(math.fsum(x * x for x in a))


def cosine(a: list[float], b: list[float]) -> float:
    floored = max(norm(a), 1e-10) * max(norm(b), 1e-10)
    return math.fsum(x * y for x, y in zip(a, b, strict=True)) / floored


def entropy(s: Path_T_D, t: int, k: int, bins: int) -> float:
    if t < 2:
        return 0.5
    near = sorted(range(t), key=lambda j: (round(norm(minus(s[j], s[t])), 12), j))[:k]
    counts = [0] * bins
    for i, a in enumerate(near):
        for b in near[i + 1 :]:
            angle = math.acos(max(-1.0, min(1.0, round(cosine(minus(s[a], s[t]), minus(s[b], s[t])), 12))))
            counts[max(edge for edge in range(bins) if edge * math.pi / bins <= angle + 1e-14)] += 1
    shares = [count / sum(counts) for count in counts if count]
    return -math.fsum(p * math.log2(p) for p in shares) / math.log2(bins)


def relative(lengths: list[float]) -> list[float]:
    return [1.0 if max(lengths) < 1e-10 else 1 - length / max(lengths) for length in lengths]


def clip(x: float) -> float:
    return min(1.0, max(0.0, x))


def oracle(s: Path_T_D, k: int, bins: int, smoothing: int) -> dict[str, list[float]]:
    """Follow the specification line by line, without numpy and without thought for speed."""
    n = len(s)
    steps = [minus(s[t], s[t - 1]) for t in range(1, n)]
    lengths = [norm(v) for v in steps]
    still = max(lengths) < 1e-10
    c = [1.0 if still else 0.5, *relative(lengths)]
    u = [entropy(s, t, k, bins) for t in range(n)]
    rise = [0.0] + [(c[t] - c[t - 1]) - (u[t] - u[t - 1]) for t in range(1, n)]
    half = smoothing // 2
    p = [sum(rise[j] for j in range(t - half, t + half + 1) if 0 <= j < n) / smoothing for t in range(n)]
    middle = [math.fsum(column) / n for column in zip(*s, strict=True)]
    radius = 2 * max(norm(minus(x, middle)) for x in s)
    ranked = sorted(u)
    median = (ranked[(n - 1) // 2] + ranked[n // 2]) / 2
    r, v, k_, jerk = [], [], [], []
    for t in range(n):
        branches = [norm(minus(s[t], s[j])) for j in range(t + 1) if u[j] >= median]
        r.append(1.0 if n < 3 or radius < 1e-10 or not branches else clip(1 - min(branches) / radius))
        earlier = [norm(minus(s[t], s[j])) for j in range(t)]
        v.append(0.5 if radius < 1e-10 else 1.0 if t == 0 else clip(min(earlier) / radius))
        k_.append(0.5 if t < 2 else clip((cosine(steps[t - 1], steps[t - 2]) + 1) / 2))
    for t in range(3, n):
        jerk.append(
            norm([a - 3 * b + 3 * d - e for a, b, d, e in zip(s[t], s[t - 1], s[t - 2], s[t - 3], strict=True)])
        )
    stability = [0.5] * n if n < 4 else [1.0] * n if max(jerk) < 1e-10 else [0.5] * 3 + relative(jerk)
    values = [c, u, p if n > 2 else [0.0] * n, r, k_, v, stability]
    return dict(zip(SCALARS, values, strict=True))


def assert_equal(readings: list[Reading], expected: dict[str, list[float]]) -> None:
    for name, values in expected.items():
        np.testing.assert_allclose([getattr(reading, name) for reading in readings], values, rtol=0, atol=1e-9)


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case["name"])
def test_every_step_of_a_golden_path_is_met(case: dict[str, Any]) -> None:
    readings = trace(np.array(case["states"]), case["k"])
    assert_equal(readings, case["path"])
    assert [reading.regime for reading in readings] == case["regimes"]
    assert measure(np.array(case["states"]), case["k"]) == readings[-1]


def test_the_golden_paths_know_every_regime() -> None:
    seen = {regime for case in GOLDEN for regime in case["regimes"]}
    assert seen == {"transitioning", "exploring", "locked", "committing", "stalled"}


@settings(max_examples=60, deadline=None)
@given(
    st.integers(2, 12).flatmap(lambda n: arrays(np.float64, (n, 3), elements=st.integers(-3, 3).map(float))),
    st.integers(2, 6),
    st.sampled_from([2, 5, 8]),
    st.sampled_from([1, 3, 5]),
)
def test_paths_on_a_grid_full_of_ties_and_right_angles_equal_the_plain_loop(
    states: np.ndarray, k: int, bins: int, smoothing: int
) -> None:
    assert_equal(trace(states, k, bins, smoothing), oracle(states.tolist(), k, bins, smoothing))


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 15), st.integers(1, 9), st.integers(2, 7), st.integers(0, 2**32 - 1))
def test_random_paths_equal_the_plain_loop(n: int, d: int, k: int, seed: int) -> None:
    states = np.random.default_rng(seed).normal(size=(n, d))
    assert_equal(trace(states, k), oracle(states.tolist(), k, 8, 3))


@settings(max_examples=100, deadline=None)
@given(st.integers(2, 12).flatmap(lambda n: arrays(np.float64, (n, 2), elements=st.floats(-1e6, 1e6))))
def test_scalars_stay_in_their_ranges(states: np.ndarray) -> None:
    for reading in trace(states):
        assert abs(reading.transition_pressure) <= 2 / 3 + 1e-12
        others = vars(reading) | {"transition_pressure": 0.0}
        assert all(0.0 <= value <= 1.0 for value in others.values())


def test_a_reading_does_not_change_when_the_path_is_moved_or_scaled() -> None:
    states = np.random.default_rng(1).normal(size=(9, 5))
    moved = measure(states * 4.0 + 3.0)
    for name, value in vars(measure(states)).items():
        assert getattr(moved, name) == pytest.approx(value, abs=1e-9)


def test_a_long_path_of_many_blocks_equals_the_plain_loop() -> None:
    states = np.random.default_rng(2).normal(size=(60, 40))
    states = np.concatenate([states, states[::-1]])
    assert_equal(trace(np.repeat(states, 12, axis=1), 5), oracle(np.repeat(states, 12, axis=1).tolist(), 5, 8, 3))


def test_states_that_differ_in_nearness_by_rounding_only_count_as_equally_near() -> None:
    tilted = [0.5, math.sqrt(3) / 2]
    states = np.array([[1.0 + 1e-13, 0.0], [-1.0, 0.0], [0.0, 1.0], tilted, [0.0, 0.0]])
    assert measure(states, k=3).uncertainty == pytest.approx((math.log2(3) - 2 / 3) / 3)


def test_equal_histograms_in_another_order_have_the_same_entropy_to_the_bit() -> None:
    cosines = np.random.default_rng(3).uniform(-1, 1, size=(500, 10))
    known = np.ones((1, 10), dtype=bool)
    assert np.array_equal(_entropy(cosines, known, 8), _entropy(-cosines, known, 8))


def test_identical_turns_are_fully_committed_and_stable() -> None:
    reading = measure(np.ones((6, 4)))
    assert reading == Reading(1.0, 0.0, 0.0, 1.0, 0.5, 0.5, 1.0)
    assert reading.regime == "committing"


def test_two_turns_have_a_reading_of_neutral_values() -> None:
    assert measure(np.array([[0.0], [1.0]])) == Reading(0.0, 0.5, 0.0, 1.0, 0.5, 1.0, 0.5)


@pytest.mark.parametrize(
    ("states", "words"),
    [
        (np.ones((1, 3)), "a path of 1 states has no reading"),
        (np.ones((0, 3)), "a path of 0 states has no reading"),
        (np.ones(3), r"shape \(3,\)"),
        (np.ones((3, 0)), r"shape \(3, 0\)"),
        (np.array([[0.0], [np.nan], [1.0]]), "state 1 of 3 holds NaN, infinity"),
        (np.array([[0.0], [1.0], [np.inf]]), "state 2 of 3 holds NaN, infinity"),
        (np.array([[0.0], [1e200]]), "state 1 of 2 holds NaN, infinity or a value beyond 1e\\+150"),
    ],
)
def test_a_path_without_a_reading_is_refused(states: np.ndarray, words: str) -> None:
    with pytest.raises(DataError, match=words):
        measure(states)


@pytest.mark.parametrize(
    ("settings_", "words"),
    [
        ({"k": 1}, "neighbours is 1"),
        ({"bins": 1}, "bins is 1"),
        ({"smoothing": 2}, "smoothing is 2; it must be odd"),
        ({"smoothing": 0}, "smoothing is 0"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings_: dict[str, int], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        measure(np.ones((4, 2)), **settings_)
