"""Acts are compared as defined: κ, F1 and shares equal closed forms, and an unproven labeller counts for nothing."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages.evaluate.acts import ACTS, act_agreement, confusion, kappa, macro_f1, read_labels, trusted
from stages.evaluate.replies import Reply
from twin.config.evaluate import EvaluateConfig
from twin.errors import DataError

CONFIG = EvaluateConfig(draws=300, seed=1, bucket_replies=99)
SAID = {
    "continue": ("go ahead {n}", "yep, go {n}", "keep going {n}"),
    "correct": ("no, not the part {n}", "wrong part {n}, not that", "undo {n}, not the part"),
    "ask": ("who owns item {n}?", "which one is {n}?", "why item {n}?"),
}


def said(act: str, n: int, arm: str = "R", prompt_set: str = "train") -> Reply:
    text = SAID[act][n % 3].format(n=n)
    return Reply(prompt_set, f"{prompt_set}-{n}", f"{prompt_set}-c{n // 2}", arm, text, "Shall I?")


def known(labels: bool = True) -> tuple[list[Reply], dict[str, str]]:
    acts = [list(SAID)[n % 3] for n in range(150)]
    shuffled = [acts[(n * 7 + n // 3) % 150] for n in range(150)]
    replies = [said(act, n) for n, act in enumerate(acts)]
    return replies, {reply.prompt_id: act for reply, act in zip(replies, acts if labels else shuffled, strict=True)}


def compared(person: list[str], twin: list[str]) -> Any:
    arms = {
        "R": [said(act, n, "R", "test") for n, act in enumerate(person)],
        "X": [said(act, n, "X", "test") for n, act in enumerate(twin)],
    }
    return act_agreement(arms, trusted(*known(), CONFIG), CONFIG)


def codes(*acts: str) -> Any:
    return np.array([ACTS.index(act) for act in acts])


def test_kappa_is_agreement_beyond_chance() -> None:
    # The textbook's 2 × 2 table: 20 and 15 agree, 5 and 10 do not; 0.7 observed, 0.5 by chance.
    ours = codes(*["ask"] * 25, *["continue"] * 25)
    others = codes(*["ask"] * 20, *["continue"] * 5, *["ask"] * 10, *["continue"] * 15)
    assert kappa(ours, others) == pytest.approx(0.4)
    assert kappa(ours, ours) == 1.0
    assert kappa(codes("ask", "ask"), codes("ask", "ask")) == 0.0


def test_macro_f1_is_the_mean_over_the_acts_that_occur() -> None:
    true, guess = codes("ask", "ask", "continue"), codes("ask", "commit", "continue")
    assert macro_f1(confusion(true, guess)) == pytest.approx((2 / 3 + 1) / 2)


def test_a_twin_that_does_as_the_person_did_agrees_and_one_that_goes_ahead_on_every_correction_is_found_out() -> None:
    person = ["correct", "continue", "ask"] * 10
    same = compared(person, person)
    assert same["state"] == "PASS"
    assert same["X"]["macro_f1"]["value"] == 1.0
    assert (same["X"]["correction_recall"]["value"], same["X"]["false_go"]["value"]) == (1.0, 0.0)
    eager = compared(person, ["continue"] * 30)["X"]
    assert (eager["correction_recall"]["value"], eager["false_go"]["value"]) == (0.0, 1.0)
    assert eager["false_go"]["n"] == 10
    assert eager["macro_f1"]["value"] == pytest.approx((2 * 10 / (10 + 30)) / 3)


def test_a_rate_that_was_never_seen_to_happen_may_still_happen() -> None:
    found = compared(["correct"] * 6 + ["ask"] * 24, ["correct"] * 6 + ["ask"] * 24)["X"]
    assert (found["false_go"]["lower"], found["false_go"]["upper"]) == (0.0, pytest.approx(1 - 0.05 ** (1 / 6)))
    assert (found["correction_recall"]["lower"], found["correction_recall"]["upper"]) == (
        pytest.approx(0.05 ** (1 / 6)),
        1,
    )
    assert found["false_go"]["n"] == 6


def test_one_act_for_everything_is_worth_what_chance_is_worth() -> None:
    found = compared(["correct", "continue", "ask"] * 10, ["correct"] * 30)["X"]["macro_f1"]
    assert found["normalised"] == pytest.approx(0.0)


def test_labels_without_a_pattern_leave_the_agreement_unknown() -> None:
    found = act_agreement({"R": [said("ask", 1, "R", "test")], "X": []}, trusted(*known(labels=False), CONFIG), CONFIG)
    assert found["state"] == "UNKNOWN"
    assert "kappa" in str(found["why"])
    assert float(str(found["kappa"])) < 0.7


def test_labels_of_another_export_are_counted_and_change_nothing() -> None:
    replies, labels = known()
    arms = {"R": [said("ask", 1, "R", "test")], "X": [said("ask", 1, "X", "test")]}
    others = {f"elsewhere-{n}": "ask" for n in range(500)}
    assert act_agreement(arms, trusted(replies, others, CONFIG), CONFIG)["state"] == "UNKNOWN"
    found = act_agreement(arms, trusted(replies, labels | others, CONFIG), CONFIG)
    assert (found["state"], found["elsewhere"]) == ("PASS", 500)
    assert found["X"] == act_agreement(arms, trusted(replies, labels, CONFIG), CONFIG)["X"]


def test_the_replies_of_the_test_set_never_fit_the_labeller() -> None:
    replies, labels = known()
    arms = {"R": [said("ask", n, "R", "test") for n in range(9)], "X": [said("ask", n, "X", "test") for n in range(9)]}
    lies = {f"test-{n}": "continue" for n in range(9)}
    assert (
        act_agreement(arms, trusted(replies, labels | lies, CONFIG), CONFIG)["X"]
        == act_agreement(arms, trusted(replies, labels, CONFIG), CONFIG)["X"]
    )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("id,act\na,shrug\n", r"x.csv:2: 'a,shrug' is not an id and an act"),
        ("id,act\na,ask\na,commit\n", r"x.csv:3: a is commit here, ask before"),
        ("act,id\n", r"x.csv:1: the header is 'act,id'"),
    ],
)
def test_a_malformed_label_is_named_with_its_place(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "x.csv").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=complaint):
        read_labels(tmp_path)


def test_finer_labels_count_as_the_act_that_they_are_part_of(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("id,act\na,direct\nb,expand\nc,stop\nd,ask\n", encoding="utf-8")
    assert read_labels(tmp_path) == {"a": "direct_expand", "b": "direct_expand", "c": "correct", "d": "ask"}


def test_agreement_without_stock_phrases_leaves_out_prompts_that_got_one() -> None:
    replies, labels = known()
    acts = [list(SAID)[n % 3] for n in range(12)]
    arms = {
        name: [
            replace(said(act if name == "R" or n % 2 else "ask", n, name, "test"), stock=n % 2 == 0)
            for n, act in enumerate(acts)
        ]
        for name in ("R", "X")
    }
    found: Any = act_agreement(arms, trusted(replies, labels, CONFIG), CONFIG)
    assert found["X"]["macro_f1"]["value"] < found["without_stock"]["X"]["macro_f1"]["value"] == 1.0
    assert found["without_stock"]["X"]["macro_f1"]["n"] == 6
