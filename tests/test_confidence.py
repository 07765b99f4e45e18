"""On simulated replies whose chances are known the fitted confidence finds them; without a signal it claims none."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.evaluate.facts import used
from stages.evaluate.replies import Reply
from stages.evaluate.selective import (
    Judged,
    _at,
    _fitted,
    _held_out,
    _report,
    brier,
    expected_calibration_error,
    risks,
)
from twin.confidence import FEATURES, Confidence, Questions, Saying
from twin.config.evaluate import EvaluateConfig
from twin.graph import Edge

CONFIG = EvaluateConfig(draws=500, seed=1, bucket_replies=99)
SIZE = len(FEATURES)
FITTED = Confidence(
    run_id="run",
    temperature=0.0,
    label="good",
    replies=200,
    acceptable=0.5,
    means=(0.0,) * SIZE,
    scales=(1.0,) * SIZE,
    weights=(-1.0, *(0.0,) * (SIZE - 1)),
    intercept=0.0,
    distances=tuple(np.linspace(0.1, 0.6, 101).tolist()),
)


def simulated(n: int, seed: int, strength: float) -> Judged:
    """Replies whose log-odds of being good are `strength` times the first feature, minus a half."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, SIZE))
    chance = 1 / (1 + np.exp(-(strength * features[:, 0] - 0.5)))
    return Judged(features, rng.random(n) < chance, [f"c{k // 2}" for k in range(n)], rng.random(n).tolist())


def fitted_on(judged: Judged) -> Confidence:
    return _fitted(judged, {"run_id": "run", "temperature": 0.7}, with_acts=True)


def test_known_chances_are_found_again_on_replies_not_seen() -> None:
    made, other = fitted_on(simulated(400, 1, 2.0)), simulated(4000, 2, 2.0)
    said = made.probabilities(other.features_N_F)
    truth = 1 / (1 + np.exp(-(2.0 * other.features_N_F[:, 0] - 0.5)))
    assert float(np.abs(said - truth).mean()) < 0.06
    assert expected_calibration_error(said, other.acceptable_N) < 0.06
    assert (made.run_id, made.temperature, made.replies) == ("run", 0.7, 400)
    found: Any = _report(said, other, float(other.acceptable_N.mean()), CONFIG)
    assert found["brier_gain"]["lower"] > 0.05
    assert found["aurc_at_best"] < found["aurc"] < found["aurc_by_chance"] - 0.2


def test_without_a_signal_no_gain_is_claimed_and_nothing_is_covered() -> None:
    cal, test = simulated(200, 3, 0.0), simulated(200, 4, 0.0)
    said = fitted_on(cal).probabilities(test.features_N_F)
    found: Any = _report(said, test, float(cal.acceptable_N.mean()), CONFIG)
    assert found["brier_gain"]["lower"] < 0
    assert abs(found["aurc"] - found["aurc_by_chance"]) < 0.12
    assert _at(0.01, _held_out(cal, 1), cal, said, test) == {
        "coverage": 0.0,
        "why": "no threshold keeps the risk on cal",
    }


def test_a_threshold_from_cal_keeps_its_risk_on_test() -> None:
    cal, test = simulated(1000, 5, 4.0), simulated(4000, 6, 4.0)
    found: Any = _at(0.1, _held_out(cal, 1), cal, fitted_on(cal).probabilities(test.features_N_F), test)
    assert 0.2 < found["coverage"] < 0.6 and 0.05 < found["risk"] < 0.15


def test_held_out_probabilities_do_not_know_their_own_conversation() -> None:
    judged = simulated(200, 7, 0.0)
    told = replace(judged, acceptable_N=judged.acceptable_N.copy())
    first = _held_out(judged, 1)
    told.acceptable_N[:2] = ~told.acceptable_N[:2]
    assert (_held_out(told, 1)[:2] == first[:2]).all() and (_held_out(told, 1) != first).any()


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=30))
def test_risk_over_all_is_the_share_of_bad_replies_and_equals_do_not_depend_on_order(
    rows: list[tuple[float, bool]],
) -> None:
    said, good = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    curve = risks(said, good)
    assert curve[-1] == pytest.approx(1 - good.mean())
    assert risks(said[::-1], good[::-1]) == pytest.approx(curve)
    assert ((curve >= 0) & (curve <= 1 + 1e-9)).all()


def test_scores_of_probabilities_are_those_of_the_books() -> None:
    said, good = np.array([0.9, 0.9, 0.1, 0.1]), np.array([True, False, False, False])
    assert brier(said, good) == pytest.approx((0.01 + 0.81 + 0.01 + 0.01) / 4)
    assert expected_calibration_error(said, good, bins=2) == pytest.approx((0.4 + 0.1) / 2)
    assert risks(said, good).tolist() == pytest.approx([0.5, 0.5, 2 / 3, 3 / 4])


def test_a_probability_survives_its_file_and_a_less_likely_reply_is_less_sure() -> None:
    assert Confidence.from_json(FITTED.to_json()) == FITTED
    sure, unsure = (Saying("Is it?", "yes", 4, nats, nats / 2, 0.2) for nats in (1.0, 20.0))
    assert FITTED.probability(sure) > FITTED.probability(unsure) > 0
    assert len(sure.features()) == SIZE
    assert Saying("Is it?", "wrong. read it", 4, 1.0, 1.0, 0.2).features()[-2:] == [1.0, 1.0]


def test_novel_is_what_lies_beyond_a_share_of_ordinary_distances() -> None:
    assert [FITTED.novel_from(share) for share in (0, 0.5, 1)] == pytest.approx([0.1, 0.35, 0.6])


def test_a_known_question_is_near_and_a_strange_one_far() -> None:
    questions = Questions.of(["Is the build green?", "Shall I deploy it?", "Is the build green?"])
    same, near, far, empty = questions.distances(["Is the build green?", "is the build red?", "猫はどこ", ""])
    assert same == pytest.approx(0.0, abs=1e-3) and same < near < far and empty == 1.0
    assert Questions.of([]).distances(["x"]) == [1.0]
    many = Questions.of([f"question {number}" for number in range(12_000)])
    assert len(many.to_bytes()) < 5001 * 256 * 2


def test_a_fact_is_used_if_its_object_is_said_and_was_not_asked() -> None:
    facts = [Edge("spore-app", "owned_by", "lena", 0.9), Edge("spore-app", "waits_on", "store-review", 0.9)]

    def reply(text: str, prompt: str) -> Reply:
        return Reply("test", "1", "c", "F", text, prompt)

    assert used(reply("ask Lena.", "who owns it?"), facts) == facts[:1]
    assert used(reply("wait for the STORE review", "and now?"), facts) == facts[1:]
    assert used(reply("ask lena", "does Lena own it?"), facts) == []
    assert used(reply("lenas, in store reviewing", "who?"), facts) == []
