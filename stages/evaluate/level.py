"""The level of a reply: real and model replies to the same prompts → classifier → conformal cut-points → 0 to 3.

Split-conformal p-values (Vovk et al., Algorithmic Learning in a Random World, 2005), one set of cut-points per
length of reply: whatever the classifier is worth, an exchangeable real reply reaches level 3 in 80 % of cases.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.evaluate.replies import REAL, Reply
from twin.files import canonical_json, sha256_text

ALPHAS = (0.01, 0.05, 0.20)
BUCKET_WORDS = (2, 8, 20)
"""Longest reply of each length bucket but the last."""
DECIMALS = 6
Rank = tuple[float, str]
"""A log-odds with the hash that breaks ties."""


@dataclass(frozen=True)
class Bucket:
    """Replies of up to `most_words` words and the ranks from which they are level 1, 2 and 3."""

    most_words: float
    replies: int
    cuts: tuple[Rank, ...]

    @property
    def expected(self) -> float:
        """Mean level of exchangeable replies."""
        return len(ALPHAS) - sum(_kth(alpha, self.replies) for alpha in ALPHAS) / (self.replies + 1)


class Features:
    """Character n-grams and surface features of replies, as one sparse matrix."""

    def __init__(self, grams: tuple[int, int], replies: Sequence[Reply]) -> None:
        # Half of the stage's time on small data is this import; nothing else of the stage needs it.
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.preprocessing import StandardScaler

        self._grams = TfidfVectorizer(analyzer="char_wb", ngram_range=grams, min_df=2, sublinear_tf=True)
        self._grams.fit([reply.text for reply in replies])
        self._scale = StandardScaler().fit(surface(replies))

    def of(self, replies: Sequence[Reply]) -> Any:
        """Return (replies, features)."""
        from scipy.sparse import csr_matrix, hstack

        # A quarter: ten columns of unit variance would otherwise outweigh rows of n-grams of unit length.
        scaled = csr_matrix(self._scale.transform(surface(replies)) / 4)
        return hstack([self._grams.transform([reply.text for reply in replies]), scaled], format="csr")

    def names(self) -> list[str]:
        """Return the n-grams in the order of their columns."""
        return [str(gram) for gram in self._grams.get_feature_names_out()]


def odds_model() -> Any:
    """Return the logistic regression that turns features into log-odds, unfitted."""
    from sklearn.linear_model import LogisticRegression

    # The dual form is the quick one where features outnumber replies; its order of steps is fixed by the seed.
    return LogisticRegression(
        C=10.0, class_weight="balanced", solver="liblinear", dual=True, random_state=0, max_iter=5000
    )


class Classifier:
    """Log-odds that a reply is the person's."""

    def __init__(self, grams: tuple[int, int], replies: Sequence[Reply], real: Sequence[bool]) -> None:
        """Fit on replies of which `real` are the person's."""
        self._features = Features(grams, replies)
        self._odds = odds_model().fit(self._features.of(replies), np.asarray(real))

    def log_odds(self, replies: Sequence[Reply]) -> NDArray[np.float64]:
        """Return one number a reply, rounded so that equal replies tie on every machine."""
        if not replies:
            return np.zeros(0)
        odds: NDArray[np.float64] = self._odds.decision_function(self._features.of(replies))
        return odds.round(DECIMALS)

    def fingerprint(self) -> str:
        """Return a hash of the n-grams and the rounded coefficients."""
        return sha256_text(canonical_json([self._features.names(), self._odds.coef_[0].round(DECIMALS).tolist()]))


def surface(replies: Sequence[Reply]) -> NDArray[np.float64]:
    """Return (replies, 10) features that n-grams miss: lengths, capitals, marks and line breaks."""
    return np.array([_surface(reply) for reply in replies], dtype=np.float64).reshape(len(replies), 10)


def _surface(reply: Reply) -> list[float]:
    text, words = reply.text, reply.words
    letters = max(1, sum(map(str.isalpha, text)))
    return [
        math.log1p(len(text)),
        math.log1p(len(words)),
        math.log1p(len(reply.sentences)),
        math.log1p(len(words) / max(1, len(reply.sentences))),
        sum(map(len, words)) / max(1, len(words)),
        sum(map(str.isupper, text)) / letters,
        float(text[:1].isupper()),
        float(text.rstrip()[-1:] in tuple(".!?…")),
        sum(text.count(mark) for mark in ",;:—()") / max(1, len(words)),
        float("\n" in text),
    ]


def rank(log_odds: float, reply: Reply) -> Rank:
    """Return the log-odds with a hash of the reply's id: ties fall evenly and always the same way."""
    name = f"{reply.prompt_set}/{reply.prompt_id}/{reply.arm}"
    return float(log_odds), hashlib.sha256(name.encode("utf-8")).hexdigest()


def buckets(cut: Sequence[Reply], ranks: Sequence[Rank], least: int) -> tuple[Bucket, ...]:
    """Return the length buckets with their cut-points; none if `cut` holds fewer than `least` replies."""
    edges: list[float] = [*BUCKET_WORDS, math.inf]
    groups: list[list[Rank]] = [[] for _ in edges]
    for reply, one in zip(cut, ranks, strict=True):
        groups[_place(len(reply.words), edges)].append(one)
    while len(groups) > 1 and min(map(len, groups)) < least:
        small = min(range(len(groups)), key=lambda place: len(groups[place]))
        beside = [place for place in (small - 1, small + 1) if 0 <= place < len(groups)]
        low, high = sorted((small, min(beside, key=lambda place: len(groups[place]))))
        groups[low : high + 1] = [groups[low] + groups[high]]
        del edges[low]
    if len(groups[0]) < least:
        return ()
    return tuple(Bucket(edge, len(group), _cuts(sorted(group))) for edge, group in zip(edges, groups, strict=True))


def _place(words: int, edges: Sequence[float]) -> int:
    return next(place for place, edge in enumerate(edges) if words <= edge)


def _cuts(ranks: Sequence[Rank]) -> tuple[Rank, ...]:
    return tuple(ranks[_kth(alpha, len(ranks)) - 1] for alpha in ALPHAS)


def _kth(alpha: float, n: int) -> int:
    """Which of `n` sorted calibration scores is the cut; with too few for `alpha`, the smallest."""
    return max(1, math.floor(round(alpha * (n + 1), 9)))


def level(reply: Reply, own: Rank, all_buckets: Sequence[Bucket]) -> int:
    """Return how many of its bucket's cut-points the reply reaches, 0 to 3."""
    bucket = all_buckets[_place(len(reply.words), [one.most_words for one in all_buckets])]
    return sum(own >= cut for cut in bucket.cuts)


def is_real(reply: Reply) -> bool:
    """Tell whether the person said it."""
    return reply.arm == REAL
