"""Proves in simulation that the bounds over conversations lie on their side of the truth about as often as they say.

Few runs, so the bands are wide; `python -m bench.statistics` has the figures.
"""

import numpy as np
import pytest

from bench.statistics import sample, shares_of_t
from twin.intervals import interval, ratio

RUNS = 300


@pytest.mark.parametrize("clusters", [20, 40, 80])
@pytest.mark.parametrize(
    ("values", "lower_band", "upper_band"),
    [
        ("normal", (0.91, 0.985), (0.91, 0.985)),
        ("log-normal, sigma 0.5", (0.91, 0.985), (0.87, 0.985)),
        ("log-normal, sigma 1", (0.91, 1.0), (0.79, 0.97)),
    ],
)
def test_each_bound_covers_the_truth_about_as_often_as_it_says(
    values: str, lower_band: tuple[float, float], upper_band: tuple[float, float], clusters: int
) -> None:
    rng = np.random.default_rng([3, clusters])
    found = []
    for _ in range(RUNS):
        sums, sizes = sample(values, clusters, rng)
        found.append(interval(ratio(sums, sizes), clusters, 1000, 3))
    assert lower_band[0] <= np.mean([one.lower <= 1 for one in found]) <= lower_band[1]
    assert upper_band[0] <= np.mean([one.upper >= 1 for one in found]) <= upper_band[1]


def test_shares_of_students_t_are_beyond_those_of_the_normal_and_reach_them_with_many_conversations() -> None:
    assert shares_of_t(20)[0] < shares_of_t(80)[0] < 0.05
    assert shares_of_t(10**6) == pytest.approx([0.05, 0.95], abs=1e-5)
