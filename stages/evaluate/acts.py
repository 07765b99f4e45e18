"""Does an arm do what the person did? Replies and hand-labelled acts → agreement, corrections missed, false go.

The labeller is fitted on the person's own labelled replies, so that it knows their words in any language; it counts
only if, on conversations that it has not seen, it agrees with the hand (Cohen's κ).
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stages.evaluate.data import without_stock
from stages.evaluate.level import DECIMALS, Features, odds_model
from stages.evaluate.replies import REAL, Reply
from stages.evaluate.report import Tree, bounds, rate_over, similarity
from twin.config.evaluate import EvaluateConfig
from twin.errors import DataError
from twin.files import read_text
from twin.intervals import Array, Statistic, interval, totals

ACTS: Final = ("continue", "correct", "direct_expand", "choose", "scope", "commit", "ask", "other")
SPELLED: Final = {"direct": "direct_expand", "expand": "direct_expand", "stop": "correct"}
"""Finer labels and what they count as."""
CORRECT: Final = ACTS.index("correct")
GO: Final = (ACTS.index("continue"), ACTS.index("commit"))
PROMPTED: Final = ("B0", "B1")
"""Not labelled: an assistant's prose is unlike all that the labels know, and would get an act by its length."""
KAPPA_MIN: Final = 0.70
LABELS_MIN: Final = 100
FOLDS: Final = 5
GRAMS: Final = (2, 4)
Codes = NDArray[np.int64]


def read_labels(folder: Path) -> dict[str, str]:
    """Read every `*.csv` of a folder, columns id and act: id of a reply → one of ACTS.

    Raises:
        DataError: a header or an act is unknown, or an id has two acts.
    """
    acts: dict[str, str] = {}
    for path in sorted(folder.glob("*.csv")):
        rows = csv.reader(io.StringIO(read_text(path)))
        header = next(rows, [])
        if header != ["id", "act"]:
            raise DataError(f"{path}:1: the header is {','.join(header)!r}, expected 'id,act'.")
        for row in rows:
            if len(row) != 2 or SPELLED.get(row[1], row[1]) not in ACTS:
                known = ", ".join([*ACTS, *SPELLED])
                raise DataError(f"{path}:{rows.line_num}: {','.join(row)!r} is not an id and an act. Acts: {known}.")
            act = SPELLED.get(row[1], row[1])
            if acts.setdefault(row[0], act) != act:
                raise DataError(f"{path}:{rows.line_num}: {row[0]} is {act} here, {acts[row[0]]} before. Keep one.")
    return acts


@dataclass(frozen=True)
class Labeller:
    """Fitted on labelled replies of one person."""

    features: Features
    model: Any

    def acts(self, replies: Sequence[Reply]) -> Codes:
        """Return the act of each reply, an index of ACTS."""
        return _likeliest(self.model, self.features.of(replies))


def _fitted(features: Any, codes: Codes) -> Any:
    from sklearn.multiclass import OneVsRestClassifier

    return OneVsRestClassifier(odds_model()).fit(features, codes)


def _likeliest(model: Any, features: Any) -> Codes:
    odds = model.decision_function(features).round(DECIMALS)
    # Of two acts scikit-learn gives one column: the odds of the second.
    places = (odds > 0).astype(int) if odds.ndim == 1 else odds.argmax(axis=1)
    codes: Codes = model.classes_[places]
    return codes


def fit_labeller(replies: Sequence[Reply], codes: Codes, seed: int) -> tuple[Labeller, Codes]:
    """Return the labeller, and what others like it say of each reply whose conversation they were not fitted on."""
    from sklearn.model_selection import GroupKFold

    features = Features(GRAMS, replies)
    rows, held_out = features.of(replies), np.empty_like(codes)
    folds = GroupKFold(FOLDS, shuffle=True, random_state=seed)
    for fit, held in folds.split(rows, codes, groups=[reply.conversation_id for reply in replies]):
        held_out[held] = _likeliest(_fitted(rows[fit], codes[fit]), rows[held])
    return Labeller(features, _fitted(rows, codes)), held_out


def kappa(ours: Codes, others: Codes) -> float:
    """Return Cohen's κ (Educational and Psychological Measurement 20, 1960): 0 is chance, 1 full agreement."""
    table = confusion(ours, others) / len(ours)
    by_chance = float(table.sum(axis=1) @ table.sum(axis=0))
    return (float(np.trace(table)) - by_chance) / (1 - by_chance) if by_chance < 1 else 0.0


def confusion(true: Codes, said: Codes) -> Array:
    """Return (acts, acts) counts, the true act first."""
    table = np.zeros((len(ACTS), len(ACTS)))
    np.add.at(table, (true, said), 1.0)
    return table


def macro_f1(tables: Array) -> Array:
    """Return the mean F1 over the acts that truly occur, of (…, acts, acts) tables."""
    hits = np.diagonal(tables, axis1=-2, axis2=-1)
    true, said = tables.sum(axis=-1), tables.sum(axis=-2)
    occurs = true > 0
    scores = np.divide(2 * hits, true + said, out=np.zeros_like(hits), where=occurs)
    result: Array = scores.sum(axis=-1) / np.maximum(1, occurs.sum(axis=-1))
    return result


@dataclass(frozen=True)
class Trusted:
    """A labeller that was tried against the hand; None where it may not be used, and `tree` says why."""

    tree: Tree
    labeller: Labeller | None = None
    ceiling: float = 0.0
    """Macro-F1 against the hand on conversations that it has not seen."""


def trusted(known: Sequence[Reply], labels: Mapping[str, str], config: EvaluateConfig) -> Trusted:
    """Fit the labeller on the labelled replies among `known` and try it.

    Args:
        known: replies of the person outside test.
        labels: acts by id.
        config: seed of the folds.
    """
    labelled = [reply for reply in known if reply.prompt_id in labels]
    counts: Tree = {"labelled": len(labelled), "elsewhere": len(labels.keys() - {one.prompt_id for one in labelled})}
    codes = np.array([ACTS.index(labels[reply.prompt_id]) for reply in labelled], dtype=np.int64)
    conversations = {reply.conversation_id for reply in labelled}
    if len(labelled) < LABELS_MIN or len(set(codes.tolist())) < 2 or len(conversations) < FOLDS:
        return Trusted(
            counts | {"state": "UNKNOWN", "why": f"{len(labelled)} labelled replies; {LABELS_MIN} are needed"}
        )
    labeller, held_out = fit_labeller(labelled, codes, config.seed)
    agreed = kappa(codes, held_out)
    counts |= {"kappa": agreed}
    if agreed < KAPPA_MIN:
        why = f"the labeller's kappa is {agreed:.2f}; {KAPPA_MIN} is needed"
        return Trusted(counts | {"state": "UNKNOWN", "why": why})
    return Trusted(counts | {"state": "PASS"}, labeller, float(macro_f1(confusion(codes, held_out))))


def act_agreement(arms: Mapping[str, Sequence[Reply]], made: Trusted, config: EvaluateConfig) -> Tree:
    """Return how well each arm's acts match those of the person, also without stock phrases, or why that is unknown.

    Args:
        arms: replies to the test prompts by arm, the person (R) among them.
        made: the labeller.
        config: draws and seed of the bounds.
    """
    labeller, ceiling = made.labeller, made.ceiling
    if labeller is None:
        return made.tree
    if not arms[REAL]:
        return made.tree | {"state": "UNKNOWN", "why": "there are no test replies"}
    tuned = [arm for arm in arms if arm not in (REAL, *PROMPTED)]
    plain = without_stock(arms)
    return made.tree | {
        **{arm: _agreement(arms, arm, labeller, ceiling, config) for arm in tuned},
        "without_stock": {arm: _agreement(plain, arm, labeller, ceiling, config) for arm in tuned if plain[arm]},
    }


def _agreement(
    arms: Mapping[str, Sequence[Reply]], arm: str, labeller: Labeller, ceiling: float, config: EvaluateConfig
) -> Tree:
    real = {reply.prompt_id: reply for reply in arms[REAL]}
    replies = sorted(arms[arm], key=lambda reply: reply.prompt_id)
    true = labeller.acts([real[reply.prompt_id] for reply in replies])
    said = labeller.acts(replies)
    names, places = np.unique([reply.conversation_id for reply in replies], return_inverse=True)
    tables = np.zeros((len(names), len(ACTS), len(ACTS)))
    np.add.at(tables, (places, true, said), 1.0)
    whole = tables.sum(axis=0)
    chance = float(macro_f1(np.outer(whole.sum(axis=1), whole.sum(axis=0)) / len(replies)))
    found = interval(_of_tables(tables), len(names), config.draws, config.seed)
    corrected = [place for place, act in enumerate(true) if act == CORRECT]
    return {
        "macro_f1": bounds(found, len(replies)) | similarity(found.value, chance, ceiling),
        **_given(corrected, "correction_recall", replies, said == CORRECT, config),
        **_given(corrected, "false_go", replies, np.isin(said, GO), config),
    }


def _of_tables(tables_C: Array) -> Statistic:
    def statistic(weights_K_C: Array) -> Array:
        flat = weights_K_C @ tables_C.reshape(len(tables_C), -1)
        return macro_f1(flat.reshape(len(weights_K_C), len(ACTS), len(ACTS)))

    return statistic


def _given(
    places: Sequence[int], name: str, replies: Sequence[Reply], happens: NDArray[np.bool_], config: EvaluateConfig
) -> Tree:
    """Return the share of `places` at which something happens; nothing if there are none."""
    if not places:
        return {}
    conversations = [replies[place].conversation_id for place in places]
    hits, sizes = (
        totals(conversations, [float(happens[place]) for place in places]),
        totals(conversations, [1.0] * len(places)),
    )
    return {name: rate_over(hits, sizes, config)}
