"""Proves the sequential test of pairs: its published stopping points, its formula, its false alarms and its power."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.special import betaln

from twin.sequential import CAP, STOP_E, log_e, stops, walk

POINTS = [(7, 7), (16, 20), (23, 30), (29, 40), (42, 60), (54, 80)]


@pytest.mark.parametrize(("wins", "n"), POINTS)
def test_the_published_points_stop_and_one_win_fewer_does_not(wins: int, n: int) -> None:
    assert stops(wins, n - wins)
    assert not stops(wins - 1, n - wins + 1)


def test_no_run_of_fewer_than_seven_wins_stops() -> None:
    assert walk([True] * 6).better is False
    assert (walk([True] * 20).wins, walk([True] * 20).better) == (7, True)


@given(wins=st.integers(0, 400), losses=st.integers(0, 400))
def test_the_whole_numbers_give_the_formula_of_the_beta_distribution(wins: int, losses: int) -> None:
    n, tail = wins + losses, stats.beta.logsf(0.5, wins + 1, losses + 1)
    expected = math.log(2) + betaln(wins + 1, losses + 1) + tail + n * math.log(2)
    assert log_e(wins, losses) == pytest.approx(expected, rel=1e-6, abs=1e-8)


def test_evidence_of_many_pairs_neither_overflows_nor_vanishes() -> None:
    assert log_e(3000, 0) == pytest.approx(3001 * math.log(2) - math.log(3001))
    assert math.isfinite(log_e(0, 3000))


def test_the_e_value_is_a_fair_game_under_a_fair_coin() -> None:
    for wins, losses in ((0, 0), (3, 1), (10, 25), (40, 39)):
        after = (math.exp(log_e(wins + 1, losses)) + math.exp(log_e(wins, losses + 1))) / 2
        assert after == pytest.approx(math.exp(log_e(wins, losses)))


def test_fair_coins_looked_at_after_every_pair_stop_in_at_most_one_of_twenty() -> None:
    rng = np.random.default_rng(1)
    walks = [walk((rng.random(CAP) < 0.5).tolist()) for _ in range(2000)]
    assert 0 < np.mean([one.better for one in walks]) <= 1 / STOP_E
    assert 0 < np.mean([one.worse for one in walks]) <= 1 / STOP_E


def test_a_coin_of_three_quarters_is_found_in_most_streams() -> None:
    rng = np.random.default_rng(2)
    assert np.mean([walk((rng.random(CAP) < 0.75).tolist()).better for _ in range(500)]) > 0.9


def test_pairs_after_the_end_do_not_count() -> None:
    assert walk([True] * 7 + [False] * 73) == walk([True] * 7)
    even = [True, False] * 40
    assert walk(even + [True] * 500) == walk(even)
    assert walk(even).n == CAP


def test_losses_stop_it_as_wins_do() -> None:
    found = walk([False] * 9)
    assert (found.losses, found.worse, found.better, found.can_win) == (7, True, False, False)


def test_it_can_win_while_54_of_80_can_be_reached() -> None:
    def losing(losses: int) -> list[bool]:
        return [True, False] * losses

    assert walk(losing(26)).can_win
    assert not walk(losing(27)).can_win
    assert walk([]).can_win


def test_fifteen_of_a_fixed_twenty_are_significant_and_fourteen_are_not() -> None:
    assert stats.binomtest(15, 20, alternative="greater").pvalue == pytest.approx(0.021, abs=5e-4)
    assert stats.binomtest(14, 20, alternative="greater").pvalue > 0.05
