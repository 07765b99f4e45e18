"""The tag's worth in bits: a scalar that decides is worth the entropy, one that says nothing is worth nothing."""

import dataclasses
import json
import math
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stages.split import tag_value
from stages.split.tag_value import MEASURED, Case, gain, gains
from tests.split_rows import CONFIG, Row, parted, rows
from twin.files import write_jsonl

LOOSE = dataclasses.replace(CONFIG, purge_share_max=1.0)
CLASSES = ("a", "b", "c", "d")
WORDS = ("ship", "the fix", "why?", "look at\nthe log", "`run`", "tests", "now")


def cases(tell: Callable[[str, random.Random], Row | None], conversations: int = 160, replies: int = 8) -> list[Case]:
    """Return replies of four equally likely classes; `tell` makes the reading, the partner's words say nothing."""
    chance = random.Random(5)
    made = []
    for n in range(conversations * replies):
        label = chance.choice(CLASSES)
        partner = " ".join(chance.choices(WORDS, k=5))
        made.append(Case(f"c{n // replies:03}", partner, 1 + 2 * (n % replies), tell(label, chance), label))
    return made


def decided(label: str, chance: random.Random) -> Row:
    place = CLASSES.index(label)
    return {"one": float(place // 2), "two": float(place % 2), "regime": "calm"}


def unrelated(_: str, chance: random.Random) -> Row:
    return {"one": chance.random(), "two": chance.gauss(0, 3), "regime": chance.choice(["calm", "stalled"])}


def test_scalars_that_decide_the_class_are_worth_its_entropy() -> None:
    found = gain(cases(decided))
    assert found["baseline_bits"] == pytest.approx(2, abs=0.08)
    assert found["tagged_bits"] < 0.08
    assert found["gain_bits"] == pytest.approx(2, abs=0.1)
    assert found["low_bits"] > 1.8


def test_one_bit_of_two_is_worth_one_bit() -> None:
    found = gain(cases(lambda label, _: {"one": float(CLASSES.index(label) // 2), "regime": "calm"}))
    assert found["gain_bits"] == pytest.approx(1, abs=0.08)


def test_a_regime_alone_can_tell() -> None:
    found = gain(cases(lambda label, _: {"one": 0.0, "regime": label}))
    assert found["gain_bits"] == pytest.approx(2, abs=0.1)


def test_scalars_that_say_nothing_are_worth_nothing() -> None:
    found = gain(cases(unrelated))
    assert abs(found["gain_bits"]) < 0.02
    assert found["low_bits"] <= 0 <= found["high_bits"]


def test_deciding_scalars_of_other_replies_are_worth_nothing() -> None:
    told = cases(decided)
    found = []
    for seed in range(8):
        readings = random.Random(seed).sample([case.reading for case in told], len(told))
        found.append(gain([dataclasses.replace(case, reading=one) for case, one in zip(told, readings, strict=True)]))
    assert abs(sum(one["gain_bits"] for one in found)) / 8 < 0.01
    assert sum(one["low_bits"] <= 0 <= one["high_bits"] for one in found) >= 7  # of 95 % intervals one may miss


def test_what_the_partner_says_already_is_not_the_tags_merit() -> None:
    told = [dataclasses.replace(case, partner=f"{case.label * 8} {case.partner}") for case in cases(decided)]
    found = gain(told)
    assert found["baseline_bits"] < 0.2
    assert found["gain_bits"] < 0.2


def test_whether_there_is_a_reading_is_known_without_the_tag() -> None:
    found = gain(cases(lambda label, _: None if label in "ab" else {"one": 1.0, "regime": "calm"}))
    assert found["baseline_bits"] == pytest.approx(1, abs=0.05)
    assert abs(found["gain_bits"]) < 0.02


def test_the_newest_quarter_of_the_conversations_judges() -> None:
    told = cases(decided)
    turned = [
        dataclasses.replace(case, reading=decided(CLASSES[3 - CLASSES.index(case.label)], random.Random()))
        if case.conversation >= "c120"
        else case
        for case in told
    ]
    found = gain(turned)
    assert (found["fit"], found["judged"], found["conversations"]) == (120 * 8, 40 * 8, 40)
    assert found["gain_bits"] < -2  # misled on every judged reply, on none of the fitted


def test_a_class_that_was_not_fitted_is_counted_and_judges_nothing() -> None:
    told = cases(decided)
    new = [dataclasses.replace(case, label="new") if n % 8 == 0 and n >= 960 else case for n, case in enumerate(told)]
    found = gain(new)
    assert (found["unseen"], found["judged"]) == (40, 280)
    assert math.isfinite(found["gain_bits"])


@pytest.mark.parametrize(
    ("few", "why"),
    [
        (cases(decided, conversations=80, replies=3), "180 fit, 200 needed"),
        (cases(decided, conversations=76, replies=8), "19 conversations, 20 needed"),
        (
            [case for case in cases(decided, 80, 4) if case.conversation < "c060" or case.turns_before < 4],
            "40 judged, 50",
        ),
        ([dataclasses.replace(case, label="a") for case in cases(decided)], "one class only"),
        (cases(lambda *_: None), "no reply has a reading"),
        ([], "0 fit, 200 needed; 0 judged, 50 needed; 0 conversations, 20 needed"),
    ],
)
def test_too_little_to_judge_by_is_unknown_and_says_why(few: list[Case], why: str) -> None:
    found = gain(few)
    assert why in found["why"]
    assert [found[name] for name in MEASURED] == [None] * 5


def test_the_interval_draws_conversations_and_not_replies() -> None:
    worth = np.repeat([0.0, 1.0] * 20, 50)
    narrow = tag_value._interval(worth, [str(n) for n in range(2000)])
    wide = tag_value._interval(worth, [str(n // 50) for n in range(2000)])
    assert narrow == pytest.approx((0.478, 0.522), abs=0.003)
    assert wide == pytest.approx((0.345, 0.655), abs=0.03)


def test_the_newest_replies_of_train_are_read_and_acts_where_there_are_any(tmp_path: Path) -> None:
    made = [
        row
        | {
            "turns_before": 1,
            "reading": decided(CLASSES[n % 4], random.Random()),
            "act": CLASSES[n % 4] if n >= 800 else None,
        }
        for n, row in enumerate(rows(*[["w " * (1, 5, 15, 30)[m % 4] for m in range(8)] for _ in range(200)]))
    ]
    write_jsonl(tmp_path / "train.jsonl", made)
    found = gains(tmp_path / "train.jsonl")
    assert (found["length_bucket"]["fit"], found["act"]["fit"]) == (1200, 600)
    assert found["length_bucket"]["gain_bits"] == pytest.approx(2, abs=0.2)
    assert found["act"]["gain_bits"] == pytest.approx(2, abs=0.2)
    assert gains(tmp_path / "train.jsonl", skip=400)["length_bucket"]["fit"] == 113 * 8


def test_a_small_set_has_no_worth_and_the_split_goes_on() -> None:
    _, metrics = parted(rows(*[[f"reply {n}"] for n in range(20)]))
    assert metrics["tag_value"]["length_bucket"]["gain_bits"] is None
    assert metrics["tag_value"]["act"]["why"].startswith("0 fit, 200 needed")


def test_replies_of_judging_parts_play_no_part() -> None:
    made = rows(*[["w " * (n % 30 + 1) + f"{n} {m}" for m in range(4)] for n in range(200)])
    for n, row in enumerate(made):
        row["reading"] = unrelated("", random.Random(n))
    _, before = parted(made, LOOSE)
    for row in made[660:]:
        row["reading"] = {"one": 9.0, "two": 9.0, "regime": "other"}
    assert parted(made, LOOSE)[1]["tag_value"] == before["tag_value"]


@pytest.mark.slow
def test_the_number_of_threads_changes_no_digit(tmp_path: Path) -> None:
    told = [
        row | {"reading": unrelated("", random.Random(n))}
        for n, row in enumerate(rows(*[["w " * (n % 30 + 1) for _ in range(4)] for n in range(120)]))
    ]
    write_jsonl(tmp_path / "train.jsonl", told)
    probe = (
        "import json, sys; from pathlib import Path; from stages.split.tag_value import gains; "
        "print(json.dumps(gains(Path(sys.argv[1]))))"
    )
    answers = {
        subprocess.run(
            [sys.executable, "-c", probe, str(tmp_path / "train.jsonl")],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads},
        ).stdout
        for threads in ("1", "2")
    }
    assert len(answers) == 1
    assert json.loads(answers.pop())["length_bucket"]["why"] is None


def test_replies_of_one_conversation_that_err_together_widen_the_interval() -> None:
    def by_conversation(label: str, chance: random.Random) -> Row:
        return {"one": float(CLASSES.index(label)), "regime": "calm"}

    told = cases(by_conversation)
    misled = [
        dataclasses.replace(case, reading={"one": 3.0 - float((case.reading or {})["one"]), "regime": "calm"})
        if case.conversation >= "c140"
        else case
        for case in told
    ]
    found = gain(misled)
    assert found["high_bits"] - found["low_bits"] > 5  # were the 320 replies drawn one by one: 3.4


def test_the_penalty_is_chosen_on_conversations_that_were_not_fitted() -> None:
    chance = random.Random(9)
    noise = {f"n{k:02}": 0.0 for k in range(60)}
    found = gain(cases(lambda *_: {name: chance.gauss(0, 1) for name in noise} | {"regime": "calm"}))
    assert found["gain_bits"] > -0.12  # the weakest penalty, which fits best what it has seen, costs more
