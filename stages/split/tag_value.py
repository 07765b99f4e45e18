"""What the tag knows of a reply that its context does not: rows of train → bits a reply, judged on the newest.

Two logistic regressions predict, before a reply is seen, how long it is and what it does: one from the partner's
last turn, one from that and the trajectory. By how much their held-out log-losses differ is what the trajectory
adds. Rows of train only: test is opened by the evaluation alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stages.split.examples import Row, length, reply, rows

NEWEST: Final = 20_000
"""Replies looked at, the newest; more say the same and take longer."""

JUDGED: Final = 4
"""One in so many conversations judges, the newest."""

FEWEST: Final = {"fit": 200, "judged": 50, "conversations": 20}
"""With fewer the gain is unknown."""

GRAMS: Final = 256
"""Hashed character n-grams of the partner's turn."""

PENALTIES: Final = (0.01, 0.1, 1.0)
"""Inverse strengths of the penalty; each regression chooses its own, on the conversations it is fitted to."""

MEASURED: Final = ("gain_bits", "low_bits", "high_bits", "baseline_bits", "tagged_bits")
FOLDS: Final = 3
DRAWS: Final = 2000
SEED: Final = 0
DECIMALS: Final = 6
"""Of the metrics; what is below differs between machines."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Case:
    """One reply to predict: its conversation, what came before it, and its class."""

    conversation: str
    partner: str
    turns_before: int
    reading: Row | None
    label: str


def gains(train: Path, skip: int = 0) -> Row:
    """Return what the tag adds, in bits a reply, to predicting the reply's length bucket and its dialogue act.

    Args:
        train: rows of train, oldest conversation first.
        skip: rows at the start that are passed over.
    """
    lengths, acts = list[Case](), list[Case]()
    for _, row in rows(train, skip):
        lengths.append(_case(row, length(reply(row))))
        acts += [_case(row, row["act"])] if row.get("act") else []
    return {"length_bucket": gain(lengths), "act": gain(acts)}


def _case(row: Row, label: str) -> Case:
    before = row["messages"][-2]["content"]
    return Case(row["conversation_id"], before, row["turns_before"], row["reading"], label)


def gain(cases: Sequence[Case]) -> Row:
    """Return the bits a reply that the tag saves in predicting the labels, with a 95 % interval.

    The interval is a cluster bootstrap over the judging conversations; it says nothing of a fit to other data.
    Judging replies of a class that no fitted reply has are counted as `unseen` and judge nothing.
    """
    order = list(dict.fromkeys(case.conversation for case in cases))
    newest = set(order[len(order) - len(order) // JUDGED :])
    fit = [case for case in cases if case.conversation not in newest]
    classes = {case.label for case in fit}
    asked = [case for case in cases if case.conversation in newest]
    judged = [case for case in asked if case.label in classes]
    found = {"fit": len(fit), "judged": len(judged), "conversations": len({case.conversation for case in judged})}
    why = _why(found, cases, classes)
    measured = dict.fromkeys(MEASURED) if why else _measure(fit, judged)
    return found | {"unseen": len(asked) - len(judged), "why": why} | measured


def _why(found: dict[str, int], cases: Sequence[Case], classes: set[str]) -> str | None:
    """Return what makes the gain unknown, or None."""
    few = [f"{found[name]} {name}, {fewest} needed" for name, fewest in FEWEST.items() if found[name] < fewest]
    if few:
        return "; ".join(few)
    if len(classes) < 2:
        return "one class only"
    return None if any(case.reading for case in cases) else "no reply has a reading"


def _measure(fit: Sequence[Case], judged: Sequence[Case]) -> Row:
    from threadpoolctl import threadpool_limits

    context, tag = _context(fit, judged), _tag(fit, judged)
    # One thread: how a sum is cut up between threads decides its last digits.
    with threadpool_limits(1):
        baseline_N = _bits(fit, judged, context)
        tagged_N = _bits(fit, judged, [np.hstack(pair) for pair in zip(context, tag, strict=True)])
    gain_N = baseline_N - tagged_N
    low, high = _interval(gain_N, [case.conversation for case in judged])
    values = (gain_N.mean(), low, high, baseline_N.mean(), tagged_N.mean())
    return {name: round(float(value), DECIMALS) for name, value in zip(MEASURED, values, strict=True)}


def _context(fit: Sequence[Case], judged: Sequence[Case]) -> list[Floats]:
    """Return what the context itself says of a reply, (N, F) for `fit` and for `judged`."""
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

    grams = HashingVectorizer(analyzer="char_wb", ngram_range=(1, 3), n_features=GRAMS, alternate_sign=False, norm=None)
    counts = [grams.transform([case.partner for case in cases]) for cases in (fit, judged)]
    weigh = TfidfTransformer(sublinear_tf=True).fit(counts[0])
    surface = _standard(*(np.array([_surface(case) for case in cases]) for cases in (fit, judged)))
    return [np.hstack([weigh.transform(count).toarray(), more]) for count, more in zip(counts, surface, strict=True)]


def _surface(case: Case) -> list[float]:
    text = case.partner
    sizes = np.log1p([len(text), len(text.split()), case.turns_before]).tolist()
    return [*sizes, "?" in text, "\n" in text, "`" in text, case.reading is None]


def _tag(fit: Sequence[Case], judged: Sequence[Case]) -> list[Floats]:
    """Return the scalars and the regime of each reading, zeros where there is none."""
    readings = [case.reading for case in fit if case.reading]
    scalars = sorted({name for reading in readings for name in reading} - {"regime"})
    regimes = sorted({reading["regime"] for reading in readings})

    def row(case: Case) -> list[float]:
        reading = case.reading or {}
        return [reading.get(name, 0.0) for name in scalars] + [reading.get("regime") == name for name in regimes]

    return _standard(*(np.array([row(case) for case in cases], dtype=np.float64) for cases in (fit, judged)))


def _standard(fit: Floats, judged: Floats) -> list[Floats]:
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(fit)
    return [scaler.transform(fit), scaler.transform(judged)]


def _bits(fit: Sequence[Case], judged: Sequence[Case], features: Sequence[Floats]) -> Floats:
    """Return the log-loss of each judged reply under a regression whose penalty cross-validation chose."""
    known, new = features
    label, truth = (np.array([case.label for case in cases]) for cases in (fit, judged))
    order = {key: number for number, key in enumerate(dict.fromkeys(case.conversation for case in fit))}
    fold = np.array([order[case.conversation] % FOLDS for case in fit])

    def held_out(penalty: float) -> float:
        folds = [(fold != held, fold == held) for held in range(FOLDS)]
        losses = [_loss(known[ours], label[ours], known[held], label[held], penalty) for ours, held in folds]
        return float(np.nanmean(np.concatenate(losses)))

    return _loss(known, label, new, truth, min(PENALTIES, key=held_out))


def _loss(known: Floats, label: NDArray[Any], new: Floats, truth: NDArray[Any], penalty: float) -> Floats:
    """Return -log2 of the chance given to each truth; NaN for a class that was not fitted."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=penalty, max_iter=1000).fit(known, label)
    column = np.searchsorted(model.classes_, truth).clip(max=len(model.classes_) - 1)
    nats = -model.predict_log_proba(new)[np.arange(len(truth)), column]
    return np.where(model.classes_[column] == truth, nats / np.log(2), np.nan)


def _interval(gain_N: Floats, conversations: Sequence[str]) -> tuple[float, float]:
    """Return a 95 % percentile interval of the mean gain, conversations drawn with replacement."""
    _, cluster = np.unique(conversations, return_inverse=True)
    total, size = np.bincount(cluster, gain_N), np.bincount(cluster)
    drawn = np.random.default_rng(SEED).integers(0, len(total), (DRAWS, len(total)))
    low, high = np.quantile(total[drawn].sum(axis=1) / size[drawn].sum(axis=1), (0.025, 0.975))
    return float(low), float(high)
