"""When not to answer: the twin's replies to cal → a calibrated confidence, held against its replies to test.

A reply is acceptable if the rubric gives it 2 or 3 and it does what the person did (the same act). Both judges know
the person's own reply to the prompt, not its truth: an acceptable reply sounds like the person and goes the person's
way, and may still be wrong. The rubric saw half of cal's real replies when it was fitted, never one of the twin's.

Source: El-Yaniv & Wiener, JMLR 11, 2010 (risk and coverage); Geifman, Uziel & El-Yaniv, arXiv:1805.08206 (AURC).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stages.evaluate.acts import ACTS, Labeller
from stages.evaluate.data import Data
from stages.evaluate.likelihood import CHALLENGER
from stages.evaluate.replies import REAL, Reply, model_replies
from stages.evaluate.report import Tree, bounds
from stages.evaluate.rubric import Rubric
from twin.confidence import DECIMALS, Confidence, Questions, Saying
from twin.config.evaluate import EvaluateConfig
from twin.intervals import interval, ratio, totals

ACCEPTABLE: Final = 2
REPLIES_MIN: Final = 99
EACH_MIN: Final = 10
"""Acceptable replies, and others, that a fit needs."""
FOLDS: Final = 5
BINS: Final = 5
RISKS: Final = (0.1, 0.2)
LABEL: Final = "rubric at least 2 and the person's act"
RUBRIC_LABEL: Final = "rubric at least 2; no labeller of acts can be trusted"

Array = NDArray[np.float64]
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Selective:
    """What came of it: what to report, and what a live reply reads."""

    tree: Tree
    confidence: Confidence | None = None
    questions: Questions | None = None


@dataclass(frozen=True)
class Judges:
    """Who says whether a reply is acceptable; each is None where it could not be fitted."""

    rubric: Rubric | None
    labeller: Labeller | None
    labels: Mapping[str, str]
    """Acts of the person's replies by id, as far as a hand has labelled them."""


@dataclass(frozen=True)
class Judged:
    """Replies with what is known of them when they are said, and whether they are acceptable."""

    features_N_F: Array
    acceptable_N: NDArray[np.bool_]
    conversations: list[str]
    distances: list[float]


def selective(
    data: Data,
    rows: Sequence[Row],
    judges: Judges,
    made_by: Mapping[str, Any],
    config: EvaluateConfig,
) -> Selective:
    """Fit the confidence and report what it is worth, or why there is none.

    Args:
        data: the replies.
        rows: of the twin's replies to cal and test.
        judges: say which replies are acceptable.
        made_by: decoding.json: the run that made the twin, and the temperature.
        config: draws and seed of the bounds.
    """
    if judges.rubric is None:
        return _unknown("there is no rubric to judge the replies")
    known = [row for row in rows if row["arm"] == CHALLENGER and "nats" in row]
    questions = Questions.of([reply.prompt for reply in data.train])
    cal, test = (
        _judged([row for row in known if row["prompt_set"] == name], real, questions, judges)
        for name, real in (("cal", data.cal), ("test", data.test[REAL]))
    )
    good, n = int(cal.acceptable_N.sum()), len(cal.acceptable_N)
    if n < REPLIES_MIN or min(good, n - good) < EACH_MIN or not len(test.acceptable_N):
        return _unknown(
            f"{n} replies of the twin to cal, {good} of them acceptable; {REPLIES_MIN} and {EACH_MIN} of each kind "
            "are needed, and replies to test"
        )
    held_out_N = _held_out(cal, config.seed)
    fitted = _fitted(cal, made_by, judges.labeller is not None)
    said_N = fitted.probabilities(test.features_N_F)
    tested = _report(said_N, test, good / n, config)
    tree: Tree = {
        "state": "PASS",
        "label": fitted.label,
        "cal": {"n": n, "acceptable": good / n, **_calibration(held_out_N, cal.acceptable_N)},
        "test": tested,
        "tells_apart": tested["brier_gain"]["lower"] > 0,
        "at_cal_threshold": {f"{risk:g}": _at(risk, held_out_N, cal, said_N, test) for risk in RISKS},
        "novel_from": {f"{share:g}": fitted.novel_from(share) for share in (0.9, 0.95, 0.99)},
    }
    return Selective(tree, fitted, questions)


def _unknown(why: str) -> Selective:
    return Selective({"state": "UNKNOWN", "why": why})


def _judged(rows: Sequence[Row], real: Sequence[Reply], questions: Questions, judges: Judges) -> Judged:
    replies = model_replies(rows, real, ())
    distances = questions.distances([reply.prompt for reply in replies])
    sayings = [
        Saying(reply.prompt, reply.text, row["tokens"], row["nats"], row["worst_nats"], distance)
        for reply, row, distance in zip(replies, rows, distances, strict=True)
    ]
    assert judges.rubric is not None, "without a rubric nothing is judged"
    good_N = np.array([one.score >= ACCEPTABLE for one in judges.rubric.scores(replies)], dtype=bool)
    if judges.labeller is not None and replies:
        theirs = {reply.prompt_id: reply for reply in real}
        persons = [theirs[reply.prompt_id] for reply in replies]
        good_N &= judges.labeller.acts(replies) == _acts(persons, judges.labeller, judges.labels)
    features = np.array([one.features() for one in sayings], dtype=np.float64)
    return Judged(features, good_N, [reply.conversation_id for reply in replies], distances)


def _acts(persons: Sequence[Reply], labeller: Labeller, labels: Mapping[str, str]) -> NDArray[np.int64]:
    """Return what the person did: the hand's label where there is one, else the labeller's."""
    guessed_N = labeller.acts(persons)
    known = [ACTS.index(labels[one.prompt_id]) if one.prompt_id in labels else -1 for one in persons]
    return np.where(np.array(known) >= 0, known, guessed_N)


def _fitted(judged: Judged, made_by: Mapping[str, Any], with_acts: bool) -> Confidence:
    means, scales, weights, intercept = _fit(judged.features_N_F, judged.acceptable_N)
    quantiles = np.quantile(judged.distances, np.linspace(0, 1, 101))
    return Confidence(
        run_id=str(made_by.get("run_id", "")),
        temperature=float(made_by.get("temperature", 0.0)),
        label=LABEL if with_acts else RUBRIC_LABEL,
        replies=len(judged.acceptable_N),
        acceptable=round(float(judged.acceptable_N.mean()), DECIMALS),
        means=_rounded(means),
        scales=_rounded(scales),
        weights=_rounded(weights),
        intercept=round(intercept, DECIMALS),
        distances=_rounded(quantiles),
    )


def _rounded(values: Array) -> tuple[float, ...]:
    return tuple(round(float(value), DECIMALS) for value in values)


def _fit(features_N_F: Array, good_N: NDArray[np.bool_]) -> tuple[Array, Array, Array, float]:
    """Fit a logistic regression on standardised features, which is calibrated on what it is fitted on."""
    from sklearn.linear_model import LogisticRegression

    means, scales = features_N_F.mean(axis=0), features_N_F.std(axis=0)
    scales = np.where(scales > 1e-9, scales, 1.0)
    model = LogisticRegression(C=1.0, max_iter=1000).fit((features_N_F - means) / scales, good_N)
    return means, scales, model.coef_[0], float(model.intercept_[0])


def _held_out(judged: Judged, seed: int) -> Array:
    """Return for each reply what a fit without its conversation says."""
    from sklearn.model_selection import GroupKFold

    said_N = np.empty(len(judged.acceptable_N))
    folds = GroupKFold(FOLDS, shuffle=True, random_state=seed)
    for fit, held in folds.split(judged.features_N_F, judged.acceptable_N, groups=judged.conversations):
        if len(set(judged.acceptable_N[fit].tolist())) < 2:
            said_N[held] = judged.acceptable_N[fit].mean()
            continue
        means, scales, weights, intercept = _fit(judged.features_N_F[fit], judged.acceptable_N[fit])
        odds = (judged.features_N_F[held] - means) / scales @ weights + intercept
        said_N[held] = 1 / (1 + np.exp(-odds))
    return said_N.round(DECIMALS)


def brier(said_N: Array, good_N: NDArray[np.bool_]) -> float:
    """Return the mean squared error of probabilities (Brier, Monthly Weather Review 78, 1950)."""
    return float(np.mean((said_N - good_N) ** 2))


def expected_calibration_error(said_N: Array, good_N: NDArray[np.bool_], bins: int = BINS) -> float:
    """Return the mean distance of probability and share in bins of equally many replies."""
    parts = np.array_split(np.argsort(said_N, kind="stable"), bins)
    gaps = [abs(float(said_N[part].mean() - good_N[part].mean())) * len(part) for part in parts if len(part)]
    return sum(gaps) / len(said_N)


def risks(said_N: Array, good_N: NDArray[np.bool_]) -> Array:
    """Return the share of replies that are not acceptable among the surest 1, 2, … N; equals share their mean."""
    order = np.argsort(-said_N, kind="stable")
    sure, bad = said_N[order], (~good_N[order]).astype(np.float64)
    _, places, counts = np.unique(-sure, return_inverse=True, return_counts=True)
    mean_bad = np.bincount(places, weights=bad) / counts
    result: Array = np.cumsum(mean_bad[places]) / np.arange(1, len(sure) + 1)
    return result


def _calibration(said_N: Array, good_N: NDArray[np.bool_]) -> Tree:
    return {"brier": brier(said_N, good_N), "ece": expected_calibration_error(said_N, good_N)}


def _report(said_N: Array, test: Judged, rate: float, config: EvaluateConfig) -> dict[str, Any]:
    good_N, n = test.acceptable_N, len(test.acceptable_N)
    curve_N, best_N = risks(said_N, good_N), risks(good_N.astype(np.float64), good_N)
    gain_N = (rate - good_N) ** 2 - (said_N - good_N) ** 2
    sums, sizes = totals(test.conversations, gain_N.tolist()), totals(test.conversations, [1.0] * n)
    covered = {f"{risk:g}": float(np.max(np.flatnonzero(curve_N <= risk) + 1, initial=0)) / n for risk in RISKS}
    return {
        "n": n,
        "acceptable": float(good_N.mean()),
        **_calibration(said_N, good_N),
        # Against saying cal's rate of every reply: above 0 the confidence tells replies apart.
        "brier_gain": bounds(interval(ratio(sums, sizes), len(sizes), config.draws, config.seed), n),
        "aurc": float(curve_N.mean()),
        "aurc_by_chance": float(1 - good_N.mean()),
        "aurc_at_best": float(best_N.mean()),
        "coverage_at_risk": covered,
        "curve": {f"{share:g}": float(curve_N[max(1, round(share * n)) - 1]) for share in (0.1, 0.25, 0.5, 0.75, 1)},
    }


def _at(risk: float, held_out_N: Array, cal: Judged, said_N: Array, test: Judged) -> Tree:
    """Return what a threshold chosen on cal for a risk does on test."""
    curve_N = risks(held_out_N, cal.acceptable_N)
    count = int(np.max(np.flatnonzero(curve_N <= risk) + 1, initial=0))
    if not count:
        return {"coverage": 0.0, "why": "no threshold keeps the risk on cal"}
    threshold = float(np.sort(held_out_N)[::-1][count - 1])
    sent_N = said_N >= threshold
    tree: Tree = {"threshold": threshold, "coverage": float(sent_N.mean()), "n": int(sent_N.sum())}
    return tree | ({"risk": float((~test.acceptable_N[sent_N]).mean())} if sent_N.any() else {})
