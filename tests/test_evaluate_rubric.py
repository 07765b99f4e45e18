"""Proves the calibrated level, the two-sample test and the self-test: their numbers are what theory says they are."""

import functools
import itertools
import math
import random
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from stages.evaluate.level import Bucket, Rank, buckets, level, rank
from stages.evaluate.replies import Reply, model_replies, real_replies
from stages.evaluate.rubric import Rubric, fit, mean_score, too_few, usual_for
from stages.evaluate.rules import RULES
from stages.evaluate.selftest import SelfTest, adversarial_scores, own_answers, own_scores, self_test
from stages.evaluate.twosample import Told, against_themself, auc, gap_closed, noise_floor, told_apart
from tests import persona
from twin.errors import DataError
from twin.intervals import interval
from twin.protocol import protocol


@functools.cache
def replies() -> dict[str, list[Reply]]:
    parts = persona.splits()
    real = {name: real_replies(rows) for name, rows in parts.items()}
    models = model_replies(persona.generations(parts), real["valid"] + real["cal"] + real["test"], protocol())
    return real | {"cal_models": [one for one in models if one.prompt_set == "cal"], "models": models}


@functools.cache
def rubric() -> Rubric:
    usual, rules = usual_for(replies()["train"], protocol())
    return fit(usual, rules, replies()["cal"], replies()["cal_models"], 99)


def arm(name: str, prompt_set: str = "test") -> list[Reply]:
    return [one for one in replies()["models"] if one.arm == name and one.prompt_set == prompt_set]


def of_words(count: int, number: int = 0) -> Reply:
    return Reply("cal", f"r{number}", f"c{number}", "R", " ".join(["word"] * count), "ok?")


def ranks(count: int) -> list[Rank]:
    return [(float(number), f"{number:04}") for number in range(count)]


def test_cuts_are_the_conformal_order_statistics() -> None:
    (bucket,) = buckets([of_words(3)] * 99, ranks(99), 99)
    assert [odds for odds, _ in bucket.cuts] == [0.0, 4.0, 19.0]
    assert bucket.expected == pytest.approx(3 - (1 + 5 + 20) / 100)


def test_a_reply_on_the_cut_reaches_it() -> None:
    (bucket,) = buckets([of_words(3)] * 99, ranks(99), 99)
    reached = [level(of_words(3), own, [bucket]) for own in ((-1.0, ""), (0.0, "0000"), (4.0, "0004"), (19.0, "0019"))]
    assert reached == [0, 1, 2, 3]
    assert level(of_words(3), (19.0, "0018"), [bucket]) == 2


def test_buckets_merge_with_their_smaller_neighbour_until_each_is_large_enough() -> None:
    sizes = {1: 30, 5: 200, 15: 110, 30: 5}
    cut = [of_words(count) for count, times in sizes.items() for _ in range(times)]
    made = buckets(cut, ranks(len(cut)), 99)
    assert [(one.most_words, one.replies) for one in made] == [(8, 230), (math.inf, 115)]


def test_too_few_replies_make_no_cut_points() -> None:
    assert buckets([of_words(3)] * 98, ranks(98), 99) == ()
    usual, rules = usual_for(replies()["train"], protocol())
    with pytest.raises(DataError, match="the cut half of cal has 150 replies; cut-points need 200"):
        fit(usual, rules, replies()["cal"], replies()["cal_models"], 200)


def test_what_is_too_few_is_named() -> None:
    assert too_few(replies()["cal"], replies()["cal_models"], 99) == ""
    assert "150 real replies in the cut half of cal; 200 are needed" in too_few(replies()["cal"], [], 200)


def test_exchangeable_replies_have_the_expected_mean_level_whatever_the_classifier() -> None:
    """The scores are noise full of ties, as those of a person who often says the same."""
    dice = random.Random(4)
    means, count = [], 120
    for run in range(300):
        cut = [of_words(dice.randint(1, 30), number) for number in range(count)]
        own = [rank(dice.randint(0, 6), Reply("cal", f"{run}/{n}", "", "R", "", "")) for n in range(count)]
        made = buckets(cut, own, 99)
        new = [Reply("test", f"{run}/{number}", "", "R", "word", "") for number in range(40)]
        means.append(np.mean([level(one, rank(dice.randint(0, 6), one), made) for one in new]))
    assert np.mean(means) == pytest.approx(3 - (1 + 6 + 24) / 121, abs=0.03)


def test_ties_fall_by_the_replys_id_and_always_the_same_way() -> None:
    first, second = rank(1.0, of_words(1, 1)), rank(1.0, of_words(1, 2))
    assert first == rank(1.0, of_words(9, 1))
    assert first[0] == second[0]
    assert first[1] != second[1]


def test_the_area_under_the_curve_counts_a_tie_as_half() -> None:
    assert auc([3.0, 2.0], [1.0, 2.0]) == pytest.approx(0.875)
    assert auc([1.0], [1.0]) == 0.5


def test_a_weighted_auc_is_that_of_the_conversations_repeated() -> None:
    dice = np.random.default_rng(0)
    positive, negative = dice.integers(0, 5, size=(2, 4)).astype(float)
    won = (positive[:, None] > negative) + (positive[:, None] == negative) / 2
    told = Told(won, np.ones((4, 4)))
    weights = np.array([2, 0, 1, 3])
    assert told.auc(weights[None].astype(float))[0] == pytest.approx(
        auc(np.repeat(positive, weights), np.repeat(negative, weights))
    )


def test_wordy_replies_are_told_apart_and_the_persons_own_are_not() -> None:
    real = replies()["test"]
    assert told_apart(real, arm("B1"), 1).told().value > 0.99
    assert 0.35 < told_apart(real, arm("X"), 1).told().value < 0.65
    assert 0.5 <= noise_floor([odds.told() for odds in against_themself(real, 1)]) < 0.6


def test_some_replies_may_be_left_out_of_what_is_told_apart() -> None:
    real = replies()["test"]
    odd = [
        replace(reply, text="As an AI, I would be delighted to elaborate on that.") for reply in arm("X") if reply.stock
    ]
    apart = told_apart(real, [*(reply for reply in arm("X") if not reply.stock), *odd], 1)
    assert apart.told(lambda reply: reply.stock).value > 0.9
    assert 0.35 < apart.told(lambda reply: not reply.stock).value < 0.65
    left = {reply.conversation_id for reply in real if reply.stock}
    assert len(apart.told(lambda reply: reply.stock).wins) == len(left) < len({one.conversation_id for one in real})


def test_the_gap_is_closed_by_the_person_and_not_by_the_prompted_base() -> None:
    real = replies()["test"]
    prompted, person = (told_apart(real, arm(name), 1).told() for name in ("B1", "X"))
    closing, nothing = gap_closed(prompted, person, 0.5), gap_closed(prompted, prompted, 0.5)
    assert closing is not None and nothing is not None
    closed, same = (interval(statistic, len(prompted.wins), 500, 1) for statistic in (closing, nothing))
    assert closed.value > 0.8
    assert closed.lower > 0.5
    assert (same.lower, same.value, same.upper) == (0.0, 0.0, 0.0)


def test_a_prompted_base_that_is_the_person_leaves_no_gap_to_close() -> None:
    person = told_apart(replies()["test"], arm("X"), 1).told()
    assert gap_closed(person, person, 0.5) is None


def test_the_score_is_the_lower_of_cap_and_level() -> None:
    scores = rubric().scores([*arm("B0"), *arm("X"), *replies()["test"]])
    assert all(one.score == min(one.level, *one.caps.values(), 3) for one in scores)
    assert {one.score for one in scores} == {0, 1, 2, 3}


def test_scoring_one_reply_does_not_depend_on_the_others() -> None:
    together = rubric().scores(arm("X"))
    alone = list(itertools.chain.from_iterable(rubric().scores([one]) for one in arm("X")))
    assert [(one.log_odds, one.score, one.caps) for one in together] == [
        (one.log_odds, one.score, one.caps) for one in alone
    ]


def test_every_adversarial_set_fails_and_the_persons_own_answers_pass() -> None:
    fit_half = [one for one in replies()["cal"] if one.half == "fit"]
    own = own_answers(rubric(), fit_half, protocol())
    found = adversarial_scores(rubric(), own, protocol(), replies()["train"])
    assert {name: mean_score(scores) for name, scores in found.items() if mean_score(scores) > 1.0} == {}
    assert len(found) == 29
    assert {len(scores) for scores in found.values()} == {10}
    assert len(set(own)) == 10
    assert mean_score(own_scores(rubric(), own, protocol())) == 3.0


def test_the_self_test_holds_here_and_fails_closed_when_the_base_sounds_real() -> None:
    real, base = rubric().scores(replies()["test"]), rubric().scores(arm("B0"))
    texts = own_answers(rubric(), replies()["cal"], protocol())
    adversarial = adversarial_scores(rubric(), texts, protocol(), replies()["train"])
    own = own_scores(rubric(), texts, protocol())
    assert self_test(real, base, [], own, adversarial, rescored_same=True).state == "PASS"
    assert self_test(real, base, [], own, adversarial, rescored_same=False).holds["rescored_same"] is False
    few = dict(list(adversarial.items())[:5])
    assert self_test(real, base, [], own, few, rescored_same=True).holds["adversarial_sets"] is False
    weak = self_test(real, base, [], adversarial["language_de"], adversarial, rescored_same=True)
    assert weak.holds["own_answers"] is False
    fooled = self_test(real, rubric().scores(arm("X")), [], own, adversarial, rescored_same=True)
    assert fooled.state == "FAIL"
    assert not fooled.holds["base_mean"]
    assert not fooled.holds["auc"]


def test_an_adversarial_set_that_passes_fails_the_self_test() -> None:
    real, base = rubric().scores(replies()["test"]), rubric().scores(arm("B0"))
    assert (
        self_test(real, base, [], real[:10], {"perfect": real[:10]}, rescored_same=True).holds["adversarial_max"]
        is False
    )


def test_rules_that_fire_on_the_person_fail_the_self_test() -> None:
    real, base = rubric().scores(replies()["test"]), rubric().scores(arm("B0"))
    empty = {"empty": rubric().scores([Reply("protocol", "one", "c", "X", "", "ok?")] * 10)}
    tested = self_test(real, base, base, real[:10], empty, rescored_same=True)
    assert tested.values["rules_on_real"] > 0.4
    assert not tested.holds["rules_on_real"]


def test_a_bucket_of_fewer_than_99_still_has_a_lowest_cut() -> None:
    (bucket,) = buckets([of_words(3)] * 19, ranks(19), 19)
    assert isinstance(bucket, Bucket)
    assert [odds for odds, _ in bucket.cuts] == [0.0, 0.0, 3.0]


def kana(text: str, dice: random.Random) -> str:
    chosen = (random.Random(word) for word in text.replace(".", "").replace(",", "").split())
    return (
        "".join(
            "".join(one.choices("変更確認今日中止開始順番再起動", k=2)) + one.choice("をにがはで") for one in chosen
        )
        + "。"
    )


ARABIC = str.maketrans("abcdefghijklmnopqrstuvwxyz", "ابجدهوزحطيكلمنسعفصقرشتثخذض")


def persian(text: str, dice: random.Random) -> str:
    words = text.translate(ARABIC).split()
    return " ".join(word if place % 4 else f"{word[:2]}\u200c{word[2:]}" for place, word in enumerate(words))


def quoting(text: str, dice: random.Random) -> str:
    return f'"{text}"' if dice.random() < 0.3 else text


def shouting(text: str, dice: random.Random) -> str:
    return text.upper() if dice.random() < 0.4 else text


def recalibrated(speaks: Callable[[str, random.Random], str]) -> tuple[Rubric, SelfTest]:
    """Fit and test the rubric on somebody who says all of it in another way."""
    parts = persona.splits()
    for row in itertools.chain.from_iterable(parts.values()):
        row["messages"][-1]["content"] = speaks(row["messages"][-1]["content"], random.Random(row["id"]))
    real = {name: real_replies(rows) for name, rows in parts.items()}
    models = model_replies(persona.generations(parts), [*real["valid"], *real["cal"], *real["test"]], protocol())
    usual, rules = usual_for(real["train"], protocol())
    found = fit(usual, rules, real["cal"], [one for one in models if one.prompt_set == "cal"], 99)
    own = own_answers(found, [one for one in real["cal"] if one.half == "fit"], protocol())
    base = [one for one in models if (one.prompt_set, one.arm) == ("test", "B0")]
    adversarial = adversarial_scores(found, own, protocol(), real["train"])
    scored = (found.score_arm(real["test"]), found.score_arm(base), found.scores(real["cal"]))
    return found, self_test(*scored, own_scores(found, own, protocol()), adversarial, rescored_same=True)


@pytest.mark.parametrize(
    ("speaks", "left_out", "dropped"),
    [
        (kana, {"train_copies", "capitals", "homoglyphs"}, {"off_topic"}),
        (persian, {"capitals", "homoglyphs"}, {"off_topic"}),
        (quoting, {"quoted"}, {"quoted"}),
        (shouting, {"capitals"}, set()),
    ],
)
def test_another_person_recalibrates_and_what_is_theirs_is_not_held_against_them(
    speaks: Callable[[str, random.Random], str], left_out: set[str], dropped: set[str]
) -> None:
    found, tested = recalibrated(speaks)
    assert [name for name, holds in tested.holds.items() if not holds] == []
    assert tested.values["own_answers"] == 3.0
    assert left_out <= {name for name, count in tested.left_out.items() if count > 5}
    assert left_out.isdisjoint(tested.adversarial)
    assert {rule.name for rule in RULES if rule not in found.rules} == dropped
