"""How well a classifier tells model replies from the person's: replies to the same prompts → AUC, gap closed.

Classifier two-sample test (Lopez-Paz and Oquab, ICLR 2017): 0.5 means that it cannot. Scores of different folds come
from different fits and are never compared with each other.
"""

from collections.abc import Callable, Sequence
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


def told(
    conversations: Sequence[str], is_positive_N: NDArray[np.bool_], scores_N: Array, fold_N: NDArray[np.intp]
) -> Told:
    """Compare positives with negatives of the same fold, by scores that take the higher one for the positive."""
    names, places = np.unique(np.asarray(conversations), return_inverse=True)
    won, compared = np.zeros((len(names), len(names))), np.zeros((len(names), len(names)))
    for fold in np.unique(fold_N):
        high, low = (fold_N == fold) & is_positive_N, (fold_N == fold) & ~is_positive_N
        where = np.ix_(places[high], places[low])
        np.add.at(won, where, wins(scores_N[high], scores_N[low]))
        np.add.at(compared, where, 1.0)
    return Told(won, compared)


@dataclass(frozen=True)
class Odds:
    """What the classifier made of replies that it was not fitted on."""

    replies: Sequence[Reply]
    is_positive_N: NDArray[np.bool_]
    odds_N: Array
    fold_N: NDArray[np.intp]

    def told(self, kept: Callable[[Reply], bool] = lambda _: True) -> Told:
        """Compare the replies of each fold, those that are `kept`."""
        kept_N = np.array([kept(reply) for reply in self.replies])
        conversations = [reply.conversation_id for reply in self.replies if kept(reply)]
        return told(conversations, self.is_positive_N[kept_N], self.odds_N[kept_N], self.fold_N[kept_N])


def told_apart(positive: Sequence[Reply], negative: Sequence[Reply], seed: int) -> Odds:
    """Cross-validate the classifier over conversations; needs at least `FOLDS` of them on either side."""
    from sklearn.model_selection import StratifiedGroupKFold

    replies = [*positive, *negative]
    is_positive = np.array([True] * len(positive) + [False] * len(negative))
    conversations = [reply.conversation_id for reply in replies]
    odds, fold_of = np.empty(len(replies)), np.empty(len(replies), dtype=np.intp)
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    features = Features(GRAMS, replies).of(replies)  # of all folds: weights of n-grams know nothing of the labels
    for fold, (fit, held) in enumerate(folds.split(is_positive, is_positive, groups=conversations)):
        model = odds_model().fit(features[fit], is_positive[fit])
        odds[held], fold_of[held] = model.decision_function(features[held]).round(DECIMALS), fold
    return Odds(replies, is_positive, odds, fold_of)


def against_themself(real: Sequence[Reply], seed: int) -> list[Odds]:
    """Tell the person from themself, over random halves of the conversations."""
    pairs = [halves(real, seed + halving) for halving in range(HALVINGS)]
    return [told_apart(ours, others, seed) for ours, others in pairs]


def noise_floor(halved: Sequence[Told]) -> float:
    """Return the mean AUC of the person against themself; at least ½."""
    return max(CHANCE, float(np.mean([told.value for told in halved])))


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
