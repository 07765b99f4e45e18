"""The 0 to 3 rubric: the person's replies and the base's → a fitted rubric; a reply → min(cap, level).

0 is full assistant slop or no answer at all, 3 could be the person.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from stages.evaluate.level import ALPHAS, Bucket, Classifier, buckets, is_real, level, rank
from stages.evaluate.patterns import SLOP, calibrate, read_patterns
from stages.evaluate.person import measure
from stages.evaluate.replies import Reply
from stages.evaluate.rules import REPEATED, RULES, TOP, WORN, Rule, Usual, fired, repeated, rules_for, worn
from twin.errors import DataError
from twin.files import sha256_file
from twin.protocol import PROTOCOL, Prompt

REPEATED_CAP = 1
GRAMS = (2, 4)


@dataclass(frozen=True)
class Score:
    """What the rubric says of one reply."""

    reply: Reply
    log_odds: float
    level: int
    caps: dict[str, int]

    @property
    def cap(self) -> int:
        """The lowest cap of the rules that fired."""
        return min(self.caps.values(), default=TOP)

    @property
    def score(self) -> int:
        """0 to 3."""
        return min(self.cap, self.level)


@dataclass(frozen=True)
class Rubric:
    """Fitted on one person; scores anyone."""

    usual: Usual
    rules: tuple[Rule, ...]
    classifier: Classifier
    buckets: tuple[Bucket, ...]
    fit_real: int
    fit_model: int

    def scores(self, replies: Sequence[Reply]) -> list[Score]:
        """Score replies each by itself; repetition is judged by `score_set` and `score_arm`."""
        odds = self.classifier.log_odds(replies)
        return [
            Score(
                reply=reply,
                log_odds=float(own),
                level=level(reply, rank(own, reply), self.buckets),
                caps=fired(reply, self.usual, self.rules),
            )
            for reply, own in zip(replies, odds, strict=True)
        ]

    def score_set(self, replies: Sequence[Reply]) -> list[Score]:
        """Score one arm's replies to the ten prompts, repetition among them included."""
        return _capped(self.scores(replies), REPEATED, repeated(replies, self.usual))

    def score_arm(self, replies: Sequence[Reply]) -> list[Score]:
        """Score one arm's replies to the test prompts, those that carry too much of it included."""
        return _capped(self.scores(replies), WORN, worn(replies, self.usual))

    def artefact(self) -> dict[str, object]:
        """Return all that was fitted, to be stored and hashed."""
        return {
            "version": 3,
            "alphas": list(ALPHAS),
            "buckets": [_bucket(one) for one in self.buckets],
            "classifier_sha256": self.classifier.fingerprint(),
            "fit": {"model": self.fit_model, "real": self.fit_real},
            "limits": _finite(self.usual.person.limits),
            "patterns_dropped": list(self.usual.patterns.dropped),
            "rules_dropped": [rule.name for rule in RULES if rule not in self.rules],
            "protocol_sha256": sha256_file(PROTOCOL),
            "slop_sha256": sha256_file(SLOP),
        }


def _capped(scores: Sequence[Score], rule: str, fires: Sequence[bool]) -> list[Score]:
    return [
        Score(one.reply, one.log_odds, one.level, one.caps | ({rule: REPEATED_CAP} if again else {}))
        for one, again in zip(scores, fires, strict=True)
    ]


def _finite(limits: object) -> dict[str, object]:
    tree = {name: value if isinstance(value, float | int) else _finite(value) for name, value in vars(limits).items()}
    return {name: value for name, value in tree.items() if not isinstance(value, float) or math.isfinite(value)}


def _bucket(bucket: Bucket) -> dict[str, object]:
    edge = {"most_words": bucket.most_words} if math.isfinite(bucket.most_words) else {}
    cuts = [{"log_odds": odds, "tie": tie} for odds, tie in bucket.cuts]
    return {**edge, "replies": bucket.replies, "cuts": cuts}


def fit(
    usual: Usual, rules: tuple[Rule, ...], cal: Sequence[Reply], cal_models: Sequence[Reply], bucket_replies: int
) -> Rubric:
    """Fit the classifier on the `fit` half of `cal` and the cut-points on its `cut` half.

    Raises:
        DataError: `cal` holds too few replies for any cut-point; `too_few` tells beforehand.
    """
    pool = [reply for reply in [*cal, *cal_models] if reply.half == "fit"]
    real = [is_real(reply) for reply in pool]
    classifier = Classifier(GRAMS, pool, real)
    cut = [reply for reply in cal if reply.half == "cut"]
    ranks = [rank(odds, reply) for odds, reply in zip(classifier.log_odds(cut), cut, strict=True)]
    made = buckets(cut, ranks, bucket_replies)
    if not made:
        raise DataError(f"the cut half of cal has {len(cut)} replies; cut-points need {bucket_replies}. Bring more.")
    return Rubric(usual, rules, classifier, made, sum(real), len(real) - sum(real))


def usual_for(train: Sequence[Reply], prompts: Sequence[Prompt]) -> tuple[Usual, tuple[Rule, ...]]:
    """Measure the person and keep the patterns and rules that do not fire on them."""
    usual = Usual(measure(train), calibrate(read_patterns(), train))
    return usual, rules_for(usual, train, prompts)


def too_few(cal: Sequence[Reply], cal_models: Sequence[Reply], bucket_replies: int) -> str:
    """Return why no rubric can be fitted, or "" if one can."""
    sizes = {
        "real replies in the fit half of cal": sum(reply.half == "fit" for reply in cal),
        "model replies to the fit half of cal": sum(reply.half == "fit" for reply in cal_models),
        "real replies in the cut half of cal": sum(reply.half == "cut" for reply in cal),
    }
    short = [f"{n} {what}" for what, n in sizes.items() if n < bucket_replies]
    return f"{' and '.join(short)}; {bucket_replies} are needed" if short else ""


def mean_score(scores: Sequence[Score]) -> float:
    """Return the mean of the 0 to 3 scores."""
    assert scores, "no scores to average"
    return sum(one.score for one in scores) / len(scores)
