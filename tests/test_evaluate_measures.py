"""What is measured beside the rubric equals its closed form: memory, choice by context, word use, worn replies."""

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest

from stages.evaluate.alarms import commonest, jensen_shannon
from stages.evaluate.capability import capability
from stages.evaluate.choice import context_choice, of
from stages.evaluate.judgement import side_by_side
from stages.evaluate.memorisation import memorisation
from stages.evaluate.patterns import calibrate, read_patterns
from stages.evaluate.person import measure
from stages.evaluate.replies import Reply
from stages.evaluate.rubric import Score
from stages.evaluate.rules import Usual, worn
from twin.config.evaluate import EvaluateConfig

CONFIG = EvaluateConfig(draws=300, seed=1, bucket_replies=99)
Row = dict[str, Any]


def likelihoods(arm: str, nats: list[float], *, stock: bool = False, tokens: int = 4) -> list[Row]:
    return [
        {"arm": arm, "conversation_id": f"c{n}", "stock": stock, "tokens": tokens, "total_nats": tokens * one}
        for n, one in enumerate(nats)
    ]


def memory(learned: list[float], held_out: list[float], base: float = 3.0) -> Any:
    arms = [{"X": likelihoods("X", nats), "B0": likelihoods("B0", [base] * len(nats))} for nats in (learned, held_out)]
    return memorisation(*arms, "X", "B0", CONFIG)


def test_replies_learned_by_heart_are_told_from_held_out_ones() -> None:
    assert memory([0.1] * 30, [2.0] * 30)["auc"] == 1.0
    assert memory([2.0] * 30, [2.0] * 30)["auc"] == 0.5
    assert memory([1.0, 2.0, 3.0], [1.5, 2.5])["auc"] == pytest.approx(3 / 6)
    assert memory([0.1, 0.1], [2.0, 0.05])["auc"] == 0.5


def test_memory_is_measured_against_the_base_so_that_easy_replies_are_not_taken_for_learned_ones() -> None:
    easy, hard = [1.0] * 30, [3.0] * 30
    found = memorisation(
        {"X": likelihoods("X", easy), "B0": likelihoods("B0", easy)},
        {"X": likelihoods("X", hard), "B0": likelihoods("B0", hard)},
        "X",
        "B0",
        CONFIG,
    )
    alone = found["likelihood_alone"]
    assert isinstance(alone, dict)
    assert (found["auc"], alone["auc"], alone["upper"]) == (0.5, 1.0, 1.0)


def test_memory_weighs_tokens_not_replies() -> None:
    short, long = likelihoods("X", [1.0] * 5, tokens=1), likelihoods("X", [1.0] * 5, tokens=50)
    base = [likelihoods("B0", [2.0] * 5, tokens=tokens) for tokens in (1, 50)]
    assert memorisation({"X": short, "B0": base[0]}, {"X": long, "B0": base[1]}, "X", "B0", CONFIG)["auc"] == 0.5


def test_without_learned_replies_memory_is_unknown() -> None:
    assert memorisation({}, {"X": likelihoods("X", [1.0]), "B0": likelihoods("B0", [1.0])}, "X", "B0", CONFIG) == {}


def choice(gains: dict[str, list[float]], apart: list[float] | None = None) -> Any:
    names = list(gains)
    inside = [
        {"prompt_id": prompt, "reply_id": reply, "conversation_id": prompt, "total_nats": 10.0 - gain}
        for prompt, own in gains.items()
        for reply, gain in zip([prompt, *[name for name in names if name != prompt]], own, strict=True)
    ]
    alone = [{"reply_id": name, "total_nats": nats} for name, nats in zip(names, apart or [10.0] * 4, strict=True)]
    return context_choice(inside, alone, CONFIG)


def test_the_reply_that_gains_most_from_its_context_is_chosen() -> None:
    found = choice({"a": [2.0, 1.0, 0.0, 0.0], "b": [0.5, 1.0, 0.0, 0.0], "c": [3.0, 1, 1, 1], "d": [1.0, 0, 0, 0]})
    assert (found["value"], found["chance"], found["n"]) == (0.75, 0.25, 4)


def test_replies_that_gain_equally_share_the_choice() -> None:
    assert choice({name: [0.0, 0.0, 0.0, 0.0] for name in "abcd"})["value"] == 0.25


def test_a_reply_that_is_likely_anywhere_has_no_advantage() -> None:
    """b is 5 nats likelier than the others behind every prompt, its own and apart from any."""
    gains = {"a": [1.0, 5.5, 0.0, 0.0], "b": [6.0, 0.0, 0.0, 0.0], "c": [1.0, 0, 5.5, 0], "d": [1.0, 0, 5.5, 0]}
    assert choice(gains, [10.0, 5.0, 10.0, 10.0])["value"] == 1.0


def test_stored_likelihoods_are_taken_by_set_and_arm_in_one_order() -> None:
    rows = [{"prompt_set": "test", "prompt_id": name, "reply_id": name, "arm": arm} for name in "ba" for arm in "XB"]
    found = of([*rows, rows[0] | {"prompt_set": "train"}], "test")
    assert [(arm, [row["prompt_id"] for row in some]) for arm, some in found.items()] == [
        ("X", ["a", "b"]),
        ("B", ["a", "b"]),
    ]


def test_the_divergence_of_two_distributions_is_known() -> None:
    assert jensen_shannon(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == 1.0
    assert jensen_shannon(np.array([0.3, 0.7]), np.array([0.3, 0.7])) == 0.0
    expected = (1 * math.log2(1 / 0.75) + 0.5 * math.log2(0.5 / 0.75) + 0.5 * math.log2(0.5 / 0.25)) / 2
    assert jensen_shannon(np.array([1.0, 0.0]), np.array([0.5, 0.5])) == pytest.approx(expected)


def test_words_as_common_as_one_another_are_taken_by_the_alphabet() -> None:
    words = [f"w{n:02}" for n in range(80)]
    for some in (words, words[::-1]):
        assert commonest(Counter(dict.fromkeys(some, 3)) | Counter({"": 9, "the": 5})) == ["the", *words[:49]]


def said(texts: list[str], arm: str = "X") -> list[Reply]:
    return [Reply("test", f"p{n:03}", f"c{n:03}", arm, text, "and now?") for n, text in enumerate(texts)]


@pytest.fixture(scope="module")
def usual() -> Usual:
    """A person of 200 replies: "ok" in a fifth of them, five phrases of 2 % each, the rest said once."""
    phrases = [f"go with {word}" for word in ("it", "that", "both", "none", "this")]
    train = said(["ok"] * 40 + phrases * 4 + [f"reply number {n} of many" for n in range(140)], "R")
    return Usual(measure(train), calibrate(read_patterns(), train))


def test_one_safe_reply_to_everything_is_worn(usual: Usual) -> None:
    assert all(worn(said(["ok"] * 60), usual))


def test_a_handful_of_safe_replies_is_worn_too(usual: Usual) -> None:
    phrases = [f"go with {word}" for word in ("it", "that", "both", "none", "this")]
    assert all(worn(said(phrases * 12), usual))


def test_a_person_who_says_ok_a_lot_may_go_on_doing_so(usual: Usual) -> None:
    assert not any(worn(said(["ok"] * 12 + [f"say {n}" for n in range(48)]), usual))
    assert not any(worn(said(["new here", "new here", *[f"say {n}" for n in range(58)]]), usual))


def test_wins_side_by_side_have_their_binomial_p_value() -> None:
    def scores(arm: str, levels: list[int]) -> list[Score]:
        return [
            Score(reply, 0.0, level, {}) for reply, level in zip(said(["x"] * len(levels), arm), levels, strict=True)
        ]

    arms = {"X": scores("X", [3] * 15 + [0] * 5 + [2]), "B1": scores("B1", [1] * 15 + [1] * 5 + [2])}
    found = side_by_side(arms)
    assert {name: found[name] for name in ("wins", "losses", "ties", "n")} == dict(
        Counter(wins=15, losses=5, ties=1, n=21)
    )
    assert found["p"] == pytest.approx(0.0207, abs=1e-4)
    assert side_by_side({"B1": arms["B1"]}) == {}


def answered(arm: str, surprise: dict[str, list[float]]) -> list[dict[str, Any]]:
    return [
        {"arm": arm, "prompt_id": asked, "reply_id": f"{asked}/{number}", "total_nats": nats * size, "bytes": size}
        for asked, per_byte in surprise.items()
        for number, (nats, size) in enumerate(zip(per_byte, (9, 2, 3, 4), strict=True))
    ]


def test_what_was_unlearned_is_the_loss_of_right_answers_and_a_tie_is_none() -> None:
    right, wrong, tie = [1.0, 2.0, 3.0, 4.0], [2.0, 1.0, 3.0, 4.0], [1.0, 1.0, 3.0, 4.0]
    base = answered("B0", {f"q{n}": right for n in range(30)} | {"tie": tie})
    twin = answered("X", {f"q{n}": wrong if n < 10 else right for n in range(30)} | {"tie": right})
    found: Any = capability({"B0": base, "X": twin, "C": base}, CONFIG)
    assert (found["B0"]["hits"], found["X"]["hits"], found["X"]["n"]) == (30, 21, 31)
    assert found["lost"]["value"] == pytest.approx(9 / 31)
    assert 0 < found["lost"]["lower"] < 9 / 31 < found["lost"]["upper"]
    assert capability({}, CONFIG) == {}
    assert set(capability({"B0": base}, CONFIG)) == {"B0"}
