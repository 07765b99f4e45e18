"""Chooses the most personal of several replies: the person's replies and the base's → a score of any text.

Whole replies are compared, not tokens: nothing about how the model decodes changes. Log-odds of a logistic regression
on character n-grams, fitted with scikit-learn and kept as plain numbers, so that a stored one scores anywhere alike.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

GRAMS: Final = (2, 4)
DECIMALS: Final = 6
VERSION: Final = 1
RERANKER: Final = "reranker.json"
"""Name of the file in data/evaluate."""


@dataclass(frozen=True)
class Reranker:
    """Fitted on one person; scores any text."""

    grams: tuple[str, ...]
    idf: tuple[float, ...]
    """Inverse document frequency of each n-gram."""
    weights: tuple[float, ...]
    """Of each n-gram, in log-odds."""
    intercept: float

    @classmethod
    def fit(cls, real: Sequence[str], model: Sequence[str]) -> "Reranker":
        """Fit on replies of the person and of the base."""
        from sklearn.linear_model import LogisticRegression

        grams = _grams(min_df=2)
        rows = grams.fit_transform([*real, *model])
        is_real = np.array([True] * len(real) + [False] * len(model))
        odds = LogisticRegression(
            C=10.0, class_weight="balanced", solver="liblinear", dual=True, random_state=0, max_iter=5000
        ).fit(rows, is_real)
        return cls(
            tuple(map(str, grams.get_feature_names_out())),
            tuple(grams.idf_.round(DECIMALS).tolist()),
            tuple(odds.coef_[0].round(DECIMALS).tolist()),
            round(float(odds.intercept_[0]), DECIMALS),
        )

    @cached_property
    def _vectors(self) -> Any:
        grams = _grams(vocabulary=self.grams)
        grams.idf_ = np.array(self.idf)
        return grams

    def log_odds(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return for each text the log-odds that the person said it rather than the base."""
        odds: NDArray[np.float64] = self._vectors.transform(texts) @ np.array(self.weights) + self.intercept
        return odds.round(DECIMALS)

    def best(self, texts: Sequence[str]) -> int:
        """Return the place of the most personal text, the first of equals."""
        return int(np.argmax(self.log_odds(texts)))

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` reads."""
        table = [[gram, idf, weight] for gram, idf, weight in zip(self.grams, self.idf, self.weights, strict=True)]
        return {"version": VERSION, "intercept": self.intercept, "grams": table}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Reranker":
        """Read what `to_json` returned."""
        grams, idf, weights = zip(*stored["grams"], strict=True)
        return cls(tuple(grams), tuple(idf), tuple(weights), stored["intercept"])


def _grams(**options: Any) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(analyzer="char_wb", ngram_range=GRAMS, sublinear_tf=True, **options)
