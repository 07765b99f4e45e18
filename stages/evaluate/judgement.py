"""What the rubric comes to: replies of all arms → branches of the metrics, a row per reply, the fitted artefact."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stages.evaluate.data import BASE, Data
from stages.evaluate.likelihood import BASELINES, CHALLENGER
from stages.evaluate.replies import REAL, Reply
from stages.evaluate.report import Tree, bounds, difference, similarity
from stages.evaluate.rerank import RERANKED
from stages.evaluate.rubric import Rubric, Score, fit, mean_score
from stages.evaluate.rules import RULES, Rule, Usual, fired
from stages.evaluate.selftest import adversarial_scores, own_answers, own_scores, self_test
from twin.config.evaluate import EvaluateConfig
from twin.files import canonical_json
from twin.intervals import Statistic, interval, ratio, totals

PROMPTED = "B1"
Rows = list[dict[str, object]]


@dataclass(frozen=True)
class Judgement:
    """What the rubric came to: branches of the metrics, a row per reply, the artefact."""

    metrics: Tree
    rows: Rows
    artefact: Tree
    rubric: Rubric | None = None


def unjudged(data: Data, why: str, usual: Usual, rules: Sequence[Rule]) -> Judgement:
    """Return what is left without a rubric: the hard rules alone."""
    sets = (data.test, data.valid, data.protocol)
    replies = [reply for arms in sets for arm in arms.values() for reply in arm]
    rows = [_row(reply, fired(reply, usual, rules)) for reply in replies]
    return Judgement({"instrument": {"state": "UNKNOWN", "why": why}}, rows, {"version": 1, "unfitted": why})


def judged(data: Data, usual: Usual, rules: tuple[Rule, ...], config: EvaluateConfig) -> Judgement:
    """Fit the rubric, score every arm, hold the rubric against its self-test."""
    rubric, scores = _score(data, usual, rules, config)
    again = _score(data, usual, rules, config)
    same = _text(rubric, scores) == _text(*again)
    cal = rubric.scores(data.cal)
    own = scores["own"][REAL]
    tested = self_test(scores["test"][REAL], scores["test"][BASE], cal, own, scores["self_test"], rescored_same=same)
    metrics: Tree = {
        "instrument": {
            "state": tested.state,
            "holds": tested.holds,
            "adversarial": tested.adversarial,
            "adversarial_left_out": tested.left_out,
            "expected_real_mean": sum(one.expected * one.replies for one in rubric.buckets)
            / sum(one.replies for one in rubric.buckets),
            "patterns_dropped": len(rubric.usual.patterns.dropped),
            "rules_dropped": len(RULES) - len(rubric.rules),
            **tested.values,
        },
        "rubric_test": {name: _means(arms, config) for name, arms in _stock_views(scores["test"]).items()},
        "side_by_side": side_by_side(scores["valid"]),
        "protocol10": {arm: _fixed_mean(found, config) for arm, found in scores["protocol"].items()},
    }
    return Judgement(metrics, _rows(scores), rubric.artefact(), rubric)


Scores = dict[str, dict[str, list[Score]]]


def _score(data: Data, usual: Usual, rules: tuple[Rule, ...], config: EvaluateConfig) -> tuple[Rubric, Scores]:
    rubric = fit(usual, rules, data.cal, data.cal_models, config.bucket_replies)
    own = own_answers(rubric, [reply for reply in data.cal if reply.half == "fit"], data.prompts)
    return rubric, {
        "test": {arm: rubric.score_arm(replies) for arm, replies in data.test.items()},
        "valid": {arm: rubric.score_arm(replies) for arm, replies in data.valid.items()},
        "protocol": {arm: rubric.score_set(replies) for arm, replies in data.protocol.items()},
        "own": {REAL: own_scores(rubric, own, data.prompts)},
        "self_test": adversarial_scores(rubric, own, data.prompts, data.train),
    }


def _text(rubric: Rubric, scores: Scores) -> str:
    return canonical_json([rubric.artefact(), _rows(scores)])


def _rows(scores: Scores) -> Rows:
    """The self-test's texts are stored with their scores; those of the arms lie in generations.jsonl."""
    rows: Rows = []
    for name, arms in scores.items():
        for one in (one for found in arms.values() for one in found):
            text = {"text": one.reply.text, "prompt_set": name} if name in ("own", "self_test") else {}
            judged = {"level": one.level, "log_odds": one.log_odds, "score": one.score}
            rows.append(_row(one.reply, one.caps) | judged | text)
    return rows


def _row(reply: Reply, caps: Mapping[str, int]) -> dict[str, object]:
    return {
        "prompt_set": reply.prompt_set,
        "prompt_id": reply.prompt_id,
        "arm": reply.arm,
        "cap": min(caps.values(), default=3),
        "rules": sorted(caps),
    }


def _stock_views(arms: Mapping[str, Sequence[Score]]) -> dict[str, dict[str, list[Score]]]:
    everything = {arm: list(found) for arm, found in arms.items()}
    without = {arm: [one for one in found if not one.reply.stock] for arm, found in arms.items()}
    return {"all": everything} | ({"without_stock": without} if without[REAL] else {})


def _means(arms: Mapping[str, Sequence[Score]], config: EvaluateConfig) -> Tree:
    tree: Tree = {arm: _mean(found, [one.score for one in found], config) for arm, found in arms.items()}
    means = {arm: mean_score(found) for arm, found in arms.items()}
    for arm in set(arms) - {BASE, REAL}:
        tree[f"{arm}_similarity"] = similarity(means[arm], means[BASE], means[REAL])
    for ours, theirs in [*((CHALLENGER, baseline) for baseline in BASELINES), (RERANKED, CHALLENGER)]:
        if ours in arms and theirs in arms:
            pairs = zip(_by_prompt(arms[ours]), _by_prompt(arms[theirs]), strict=True)
            ahead = [mine.score - other.score for mine, other in pairs]
            statistic, clusters = _mean_of(_by_prompt(arms[ours]), ahead)
            tree[f"{ours}_over_{theirs}"] = difference(statistic, clusters, len(ahead), config)
    return tree


def _by_prompt(scores: Sequence[Score]) -> list[Score]:
    return sorted(scores, key=lambda one: one.reply.prompt_id)


def _mean(scores: Sequence[Score], values: Sequence[float], config: EvaluateConfig) -> Tree:
    statistic, clusters = _mean_of(scores, values)
    return bounds(interval(statistic, clusters, config.draws, config.seed), len(values))


def _fixed_mean(scores: Sequence[Score], config: EvaluateConfig) -> Tree:
    """Return the mean over the fixed prompts, each of them a cluster: they stand in no conversation."""
    statistic = ratio([float(one.score) for one in scores], [1.0] * len(scores))
    return bounds(interval(statistic, len(scores), config.draws, config.seed), len(scores))


def _mean_of(scores: Sequence[Score], values: Sequence[float]) -> tuple[Statistic, int]:
    """Return the mean as a statistic of the conversations, and how many these are."""
    conversations = [one.reply.conversation_id for one in scores]
    sums, sizes = totals(conversations, values), totals(conversations, [1.0] * len(values))
    return ratio(sums, sizes), len(sizes)


def side_by_side(arms: Mapping[str, Sequence[Score]]) -> Tree:
    """Return on how many prompts of valid the challenger scores above the prompted base, and its p-value.

    15 wins of 20 have p = 0.021 (one-sided binomial over the prompts that are no ties).
    """
    from scipy.stats import binomtest

    if not {CHALLENGER, PROMPTED} <= set(arms):
        return {}
    pairs = list(zip(_by_prompt(arms[CHALLENGER]), _by_prompt(arms[PROMPTED]), strict=True))
    wins = sum(ours.score > theirs.score for ours, theirs in pairs)
    losses = sum(ours.score < theirs.score for ours, theirs in pairs)
    decided = {"p": float(binomtest(wins, wins + losses, alternative="greater").pvalue)} if wins + losses else {}
    return {"wins": wins, "losses": losses, "ties": len(pairs) - wins - losses, "n": len(pairs), **decided}
