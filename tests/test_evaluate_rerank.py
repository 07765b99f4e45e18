"""Arm K is the most personal of what the twin drew, chosen by what never saw the replies that judge it."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import stages.evaluate as stage
from stages.evaluate.data import Data
from stages.evaluate.rerank import reranked
from tests import persona
from twin.config.evaluate import EvaluateConfig
from twin.files import canonical_json
from twin.reranker import Reranker

Row = dict[str, Any]
PERSON = [f"ship {n} now, no fuss" for n in range(40)]
BASE = [f"I would be happy to help you with item {n}!" for n in range(40)]


def splits() -> dict[str, list[Row]]:
    parts = persona.splits()
    valid = [row | {"split": "valid", "id": f"valid-{n}"} for n, row in enumerate(parts["train"][:120])]
    return parts | {"valid": valid}


def drawn(parts: dict[str, list[Row]]) -> tuple[list[Row], list[Row]]:
    """The twin's first draw is the base's prose, the second the person's voice, the third prose again."""
    rows = persona.generations(parts)
    prose = {(row["prompt_set"], row["prompt_id"]): row["text"] for row in rows if row["arm"] == "B0"}
    answers, further = [], []
    for row in rows:
        if row["arm"] != "X":
            answers.append(row)
            continue
        said = prose[row["prompt_set"], row["prompt_id"]]
        answers.append(row | {"text": said})
        further += [row | {"sample": 1}, row | {"sample": 2, "text": said}]
    return answers, further


def data(parts: dict[str, list[Row]]) -> Data:
    return stage.gather(parts, *drawn(parts))


def test_the_most_personal_draw_is_chosen_and_judged_as_an_arm_of_its_own() -> None:
    parts = splits()
    config = EvaluateConfig(draws=300, seed=1, bucket_replies=99)
    found: Any
    made = stage.evaluate(data(parts), persona.likelihoods(parts), {}, config)
    found, judgement, reranker = made.metrics, made.judgement, made.reranker
    assert found["reranker"] | {"changed": 1.0, "samples": 3, "state": "PASS"} == found["reranker"]
    assert found["reranker"]["fitted_on_person"] == 120
    means = {arm: found["rubric_test"]["all"][arm]["value"] for arm in ("X", "K")}
    assert means["X"] < 0.2
    assert means["K"] > 2.3
    assert found["rubric_test"]["all"]["K_over_X"]["lower"] > 1.5
    assert found["gap"]["auc"]["K"]["value"] < found["gap"]["auc"]["X"]["value"]
    assert found["protocol10"]["K"]["value"] > found["protocol10"]["X"]["value"]
    assert {row["prompt_set"] for row in judgement.rows if row["arm"] == "K"} == {"test", "protocol"}
    assert reranker is not None


def test_neither_test_nor_cal_nor_train_has_a_say_in_what_is_chosen() -> None:
    parts = splits()
    first = data(parts)
    rewritten = {
        name: [row | {"messages": [*row["messages"][:-1], {"role": "assistant", "content": "x"}]} for row in rows]
        for name, rows in parts.items()
        if name != "valid"
    }
    second = stage.gather(parts | rewritten, *drawn(parts))
    ours, others = (reranked(one).reranker for one in (first, second))
    assert ours == others is not None


def test_a_single_draw_makes_no_arm() -> None:
    parts = splits()
    found = reranked(stage.gather(parts, persona.generations(parts)))
    assert (found.tree, found.reranker) == ({}, None)
    assert "K" not in found.data.test


def test_with_too_few_replies_in_valid_the_arm_is_unknown() -> None:
    few = data(splits())
    found = reranked(replace(few, valid_person=few.valid_person[:98]))
    assert (found.tree["state"], found.reranker) == ("UNKNOWN", None)
    assert "98 replies of the person" in str(found.tree["why"])
    assert "K" not in found.data.test


def test_a_stored_reranker_scores_as_the_fitted_one_to_the_last_bit() -> None:
    fitted = Reranker.fit(PERSON, BASE)
    stored = Reranker.from_json(json.loads(canonical_json(fitted.to_json())))
    texts = ["ship it now", "I would be happy to help", "", "été 東京"]
    assert stored == fitted
    assert np.array_equal(stored.log_odds(texts), fitted.log_odds(texts))
    assert fitted.best(texts) == 0
    assert fitted.best(["same", "same"]) == 0


def test_the_score_is_the_fitted_classifiers_log_odds() -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    grams = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True, min_df=2)
    odds = LogisticRegression(
        C=10.0, class_weight="balanced", solver="liblinear", dual=True, random_state=0, max_iter=5000
    )
    whole = make_pipeline(grams, odds).fit([*PERSON, *BASE], [1] * 40 + [0] * 40)
    texts = ["ship seven now", "happy to help", "no fuss"]
    assert Reranker.fit(PERSON, BASE).log_odds(texts) == pytest.approx(whole.decision_function(texts), abs=1e-4)
