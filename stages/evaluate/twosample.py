"""How well a classifier tells model replies from the person's: replies to the same prompts → AUC, gap closed.

Classifier two-sample test (Lopez-Paz and Oquab, ICLR 2017): 0.5 means that it cannot. Scores of different folds come
from different fits and are never compared with each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stages.evaluate.level import DECIMALS, Features, odds_model
from stages.evaluate.replies import Reply, halves
from twin.intervals import Array, Statistic

FOLDS = 5
GRAMS = (2, 5)
HALVINGS = 5
CHANCE = 0.5
DENOMINATOR_MIN = 0.10
CLUSTERS_MIN = 20


def auc(positive: Sequence[float] | Array, negative: Sequence[float] | Array) -> float:
    """Return P(positive > negative) + P(equal) / 2."""
    return float(wins(np.asarray(positive), np.asarray(negative)).mean())


def wins(positive_P: NDArray[np.float64], negative_N: NDArray[np.float64]) -> Array:
    """Return (P, N): 1 where the positive is higher, ½ where both are equal."""
    higher: Array = (positive_P[:, None] > negative_N) + (positive_P[:, None] == negative_N) / 2
    return higher


@dataclass(frozen=True)
class Told:
    """Wins of positives over negatives and how many pairs were compared, per pair of conversations."""

    wins: Array
    pairs: Array

    def auc(self, weights_K_C: Array) -> Array:
        """Return the AUC under each row of conversation weights."""
        won = ((weights_K_C @ self.wins) * weights_K_C).sum(axis=1)
        compared = ((weights_K_C @ self.pairs) * weights_K_C).sum(axis=1)
        # A draw in which no fold holds both kinds tells nothing.
        result: Array = np.divide(won, compared, out=np.full_like(won, CHANCE), where=compared > 0)
        return result

    @property
    def value(self) -> float:
        """The AUC over all conversations."""
        return float(self.auc(np.ones((1, len(self.wins))))[0])


def told_apart(positive: Sequence[Reply], negative: Sequence[Reply], seed: int) -> Told:
    """Cross-validate the classifier over conversations; needs at least `FOLDS` of them on either side."""
    from sklearn.model_selection import StratifiedGroupKFold

    replies = [*positive, *negative]
    is_positive = np.array([True] * len(positive) + [False] * len(negative))
    names, conversations = np.unique([reply.conversation_id for reply in replies], return_inverse=True)
    won, compared = np.zeros((len(names), len(names))), np.zeros((len(names), len(names)))
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    features = Features(GRAMS, replies).of(replies)  # of all folds: weights of n-grams know nothing of the labels
    for fit, held in folds.split(is_positive, is_positive, groups=conversations):
        odds = odds_model().fit(features[fit], is_positive[fit]).decision_function(features[held]).round(DECIMALS)
        high, low = is_positive[held], ~is_positive[held]
        where = np.ix_(conversations[held][high], conversations[held][low])
        np.add.at(won, where, wins(odds[high], odds[low]))
        np.add.at(compared, where, 1.0)
    return Told(won, compared)


def noise_floor(real: Sequence[Reply], seed: int) -> float:
    """Return the mean AUC of the person against themself, over random halves of the conversations; at least ½."""
    pairs = [halves(real, seed + halving) for halving in range(HALVINGS)]
    values = [told_apart(ours, others, seed).value for ours, others in pairs]
    return max(CHANCE, float(np.mean(values)))


def gap_closed(prompted: Told, challenger: Told, floor: float) -> Statistic | None:
    """Return the share of the prompted base's distance to the person that the challenger closes.

    None where the prompted base is within 0.10 AUC of the person: there is nothing to close. The floor counts as known.
    """
    if prompted.value - floor < DENOMINATOR_MIN:
        return None

    def statistic(weights_K_C: Array) -> Array:
        distance = prompted.auc(weights_K_C)
        result: Array = (distance - challenger.auc(weights_K_C)) / np.maximum(distance - floor, DENOMINATOR_MIN)
        return result

    return statistic
