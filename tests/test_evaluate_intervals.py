"""Proves intervals, rates, likelihood gains and length distances against closed forms, simulation and scipy."""

import math

import numpy as np
import pytest
from scipy import stats

from stages.evaluate.alarms import kolmogorov_smirnov, wasserstein
from stages.evaluate.choice import of
from stages.evaluate.likelihood import likelihood, same_replies
from stages.evaluate.report import bounds, finite, similarity
from twin.config.evaluate import EvaluateConfig
from twin.errors import DataError
from twin.intervals import expanded, interval, p_worse, rate_bounds, ratio, totals

CONFIG = EvaluateConfig(draws=2000, seed=5, bucket_replies=99)


def row(arm: str, prompt: int, nats: float, tokens: int = 10, stock: bool = False) -> dict[str, object]:
    return {
        "arm": arm,
        "prompt_set": "test",
        "prompt_id": f"p{prompt}",
        "reply_id": f"p{prompt}",
        "conversation_id": f"c{prompt % 4}",
        "total_nats": nats,
        "tokens": tokens,
        "bytes": 2 * tokens,
        "stock": stock,
    }


def test_a_ratio_is_that_of_the_sums_and_not_the_mean_of_ratios() -> None:
    found = interval(ratio([1.0, 9.0], [10.0, 10.0]), 2, 500, 1)
    assert found.value == pytest.approx(0.5)
    assert found.lower == pytest.approx(0.1)
    assert found.upper == pytest.approx(0.9)


def test_equal_conversations_leave_no_uncertainty() -> None:
    found = interval(ratio([2.0] * 30, [4.0] * 30), 30, 500, 1)
    assert (found.lower, found.value, found.upper) == (0.5, 0.5, 0.5)


def test_bounds_of_a_mean_of_normals_lie_where_the_normal_quantile_puts_them() -> None:
    sample = np.random.default_rng(0).normal(size=200)
    found = interval(ratio(sample, np.ones(200)), 200, 10000, 2)
    reach = 1.645 * sample.std() / math.sqrt(200)
    assert found.lower == pytest.approx(sample.mean() - reach, abs=0.1 * reach)
    assert found.upper == pytest.approx(sample.mean() + reach, abs=0.1 * reach)


def test_the_correction_is_bca_as_scipy_computes_it() -> None:
    sample = np.random.default_rng(3).exponential(size=25)
    ours, level = interval(ratio(sample, np.ones(25)), 25, 20000, 4), float(np.diff(expanded(25))[0])
    theirs = stats.bootstrap((sample,), np.mean, n_resamples=20000, confidence_level=level, method="BCa", rng=1)
    assert ours.lower == pytest.approx(theirs.confidence_interval.low, abs=0.01)
    assert ours.upper == pytest.approx(theirs.confidence_interval.high, abs=0.02)


def test_below_twenty_conversations_the_plain_percentiles_are_taken() -> None:
    sample = np.random.default_rng(3).exponential(size=19)
    ours, level = interval(ratio(sample, np.ones(19)), 19, 20000, 4), float(np.diff(expanded(19))[0])
    theirs = stats.bootstrap((sample,), np.mean, n_resamples=20000, confidence_level=level, method="percentile", rng=1)
    assert ours.lower == pytest.approx(theirs.confidence_interval.low, abs=0.01)


def test_the_lower_bound_covers_in_about_95_of_100_simulations() -> None:
    rng = np.random.default_rng(11)
    covered = 0
    for run in range(400):
        sizes = rng.integers(1, 9, size=40)
        sums = sizes * (1.0 + rng.normal(size=40) * 0.5) + rng.normal(size=40) * np.sqrt(sizes)
        covered += interval(ratio(sums, sizes.astype(float)), 40, 500, run).lower <= 1.0
    assert 0.92 <= covered / 400 <= 0.98


@pytest.mark.parametrize("clusters", [15, 40])
def test_a_difference_is_below_zero_at_5_percent_just_where_its_upper_bound_is(clusters: int) -> None:
    rng = np.random.default_rng(5)
    for shift in np.linspace(-0.9, 0.3, 60):
        sample = rng.exponential(size=clusters) - 1 + shift
        statistic = ratio(sample, np.ones(clusters))
        upper, p = interval(statistic, clusters, 500, 1).upper, p_worse(statistic, clusters, 500, 1)
        assert (upper < 0) == (p < 0.05) or abs(upper) < 0.02
        assert p_worse(ratio(sample + 0.1, np.ones(clusters)), clusters, 500, 1) >= p - 1e-9


def test_an_equal_adapter_is_called_worse_as_often_as_the_level_says() -> None:
    rng = np.random.default_rng(12)
    samples = rng.normal(size=(1500, 30))
    p = np.array([p_worse(ratio(one, np.ones(30)), 30, 500, 1) for one in samples])
    assert 0.035 <= np.mean(p < 0.05) <= 0.065
    assert 0.004 <= np.mean(p < 0.01) <= 0.018


def test_no_difference_at_all_is_not_below_zero() -> None:
    assert p_worse(ratio(np.zeros(30), np.ones(30)), 30, 500, 1) > 0.5
    assert p_worse(ratio(-np.ones(30), np.ones(30)), 30, 500, 1) < 0.01


def test_the_same_seed_gives_the_same_bounds() -> None:
    statistic = ratio(np.arange(25.0), np.ones(25))
    assert interval(statistic, 25, 300, 7) == interval(statistic, 25, 300, 7)
    assert interval(statistic, 25, 300, 7) != interval(statistic, 25, 300, 8)


def test_totals_are_per_conversation_in_the_order_of_their_ids() -> None:
    assert totals(["b", "a", "b"], [1.0, 2.0, 4.0]).tolist() == [2.0, 5.0]


def test_rates_have_the_exact_binomial_bounds() -> None:
    assert rate_bounds(0, 10) == pytest.approx((0.0, 1 - 0.05**0.1))
    assert rate_bounds(10, 10) == pytest.approx((0.05**0.1, 1.0))
    assert rate_bounds(48, 80)[1] <= 0.70 < rate_bounds(49, 80)[1]


def test_a_gain_is_bits_saved_per_token_and_per_byte() -> None:
    rows = [
        row(arm, prompt, nats * math.log(2)) for arm, nats in (("B0", 40), ("B1", 30), ("X", 20)) for prompt in range(8)
    ]
    found = finite(likelihood(same_replies(of(rows, "test")), CONFIG))["all"]
    assert isinstance(found, dict)
    assert found["B0"] == {"bits_per_token": pytest.approx(4.0), "bits_per_byte": pytest.approx(2.0)}
    assert found["bits_per_token_gain_over_B0"]["value"] == pytest.approx(2.0)
    assert found["bits_per_token_gain_over_B1"]["lower"] == pytest.approx(1.0)
    assert found["bits_per_byte_gain_over_B1"]["value"] == pytest.approx(0.5)
    assert found["bits_per_token_gain_over_B1"]["clusters"] == 4


def test_longer_replies_weigh_more_in_a_gain() -> None:
    rows = [
        row("B1", 0, 10.0, tokens=1),
        row("B1", 1, 90.0, tokens=9),
        row("X", 0, 0.0, tokens=1),
        row("X", 1, 90.0, tokens=9),
    ]
    found = finite(likelihood(same_replies(of(rows, "test")), CONFIG))["all"]
    assert isinstance(found, dict)
    assert found["bits_per_token_gain_over_B1"]["value"] == pytest.approx(1.0 / math.log(2))


def test_stock_phrases_are_left_out_of_the_second_view() -> None:
    rows = [row("X", 0, 10.0, stock=True), row("X", 1, 30.0), row("B0", 0, 90.0, stock=True), row("B0", 1, 30.0)]
    found = finite(likelihood(same_replies(of(rows, "test")), CONFIG))["without_stock"]
    assert isinstance(found, dict)
    assert found["bits_per_token_gain_over_B0"]["value"] == 0.0
    assert found["bits_per_token_gain_over_B0"]["n"] == 1


def test_arms_scored_on_different_tokens_are_refused() -> None:
    with pytest.raises(DataError, match="not scored on the same replies and tokens; X differs"):
        same_replies(of([row("B0", 0, 10.0), row("X", 0, 10.0, tokens=11)], "test"))


def test_a_likelihood_that_is_not_finite_is_refused() -> None:
    with pytest.raises(DataError, match="p0, arm X: nan nats for 10 tokens is no likelihood"):
        same_replies(of([row("X", 0, math.nan)], "test"))


@pytest.mark.parametrize("seed", range(5))
def test_length_distances_equal_scipys(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ours, others = rng.integers(1, 20, size=30).astype(float), rng.integers(1, 30, size=41).astype(float)
    assert wasserstein(ours, others) == pytest.approx(stats.wasserstein_distance(ours, others))
    assert kolmogorov_smirnov(ours, others) == pytest.approx(stats.ks_2samp(ours, others).statistic)


def test_a_shift_by_three_words_is_a_wasserstein_distance_of_three() -> None:
    assert wasserstein(np.array([1.0, 2.0]), np.array([4.0, 5.0])) == pytest.approx(3.0)
    assert kolmogorov_smirnov(np.array([1.0, 2.0]), np.array([4.0, 5.0])) == 1.0


def test_a_similarity_is_0_at_the_base_and_1_at_the_person() -> None:
    assert similarity(1.5, 0.5, 2.5)["normalised"] == pytest.approx(0.5)
    assert "normalised" not in similarity(1.5, 2.0, 2.0)
    assert similarity(1.5, None, 2.0) == {"raw": 1.5, "ceiling": 2.0}


def test_what_is_not_finite_is_left_out_with_its_empty_branch() -> None:
    found = bounds(interval(ratio([1.0], [1.0]), 1, 100, 1), 1)
    assert finite({"a": math.nan, "b": {"c": math.inf}, "d": found, "e": {}, "f": "x", "g": True}) == {
        "d": found,
        "f": "x",
        "g": True,
    }
