"""Scores what the arms said: stored replies and likelihoods → metrics, a score per reply, the fitted rubric.

Reads stored text and numbers only, so that everything here runs on any machine and comes out the same. What cannot
be measured is left out of the metrics and counts as unknown.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.evaluate.alarms import alarms, lengths, secrets
from stages.evaluate.likelihood import BASELINES, CHALLENGER, by_arm, likelihood
from stages.evaluate.replies import REAL, Reply, model_replies, real_replies
from stages.evaluate.report import Tree, bounds, finite, similarity
from stages.evaluate.rubric import Rubric, Score, fit, mean_score, too_few, usual_for
from stages.evaluate.rules import RULES, Rule, Usual, fired
from stages.evaluate.selftest import adversarial_scores, own_answers, self_test
from stages.evaluate.twosample import CLUSTERS_MIN, gap_closed, noise_floor, told_apart
from twin.config.evaluate import EvaluateConfig
from twin.config.load import load
from twin.errors import DataError
from twin.files import canonical_json, read_jsonl, staged_folder, write_json, write_jsonl
from twin.intervals import interval, ratio, totals
from twin.protocol import Prompt, protocol

GENERATIONS = Path("data/generate/generations.jsonl")
LIKELIHOODS = Path("data/generate/nll.jsonl")
SPLITS = {name: Path(f"data/split/{name}.jsonl") for name in ("train", "cal", "test")}
OUT = Path("data/evaluate")
METRICS = Path("metrics/evaluate.json")

BASE = "B0"
Arms = dict[str, list[Reply]]
Rows = list[dict[str, object]]


@dataclass(frozen=True)
class Data:
    """Everything that is scored, by prompt set; `test` and `protocol` by arm."""

    prompts: tuple[Prompt, ...]
    train: list[Reply]
    cal: list[Reply]
    cal_models: list[Reply]
    test: Arms
    protocol: Arms


@dataclass(frozen=True)
class Judgement:
    """What the rubric came to: branches of the metrics, a row per reply, the artefact."""

    metrics: Tree
    rows: Rows
    artefact: Tree


def gather(splits: Mapping[str, Sequence[Mapping[str, Any]]], generations: Sequence[Mapping[str, Any]]) -> Data:
    """Join the generated replies to the person's.

    Raises:
        DataError: an arm lacks a prompt, a prompt is unknown, or there is no base arm.
    """
    prompts = protocol()
    real = {name: real_replies(rows) for name, rows in splits.items()}
    replies = model_replies(generations, [*real["cal"], *real["test"]], prompts)
    test, fixed = _arms(replies, "test"), _arms(replies, "protocol")
    asked = {reply.prompt_id for reply in test[BASE]}
    test[REAL] = [reply for reply in real["test"] if reply.prompt_id in asked]
    cal_models = [reply for reply in replies if reply.prompt_set == "cal"]
    return Data(prompts, real["train"], real["cal"], cal_models, test, fixed)


def _arms(replies: Sequence[Reply], prompt_set: str) -> Arms:
    arms: Arms = {}
    for reply in replies:
        if reply.prompt_set == prompt_set:
            arms.setdefault(reply.arm, []).append(reply)
    if BASE not in arms:
        raise DataError(f"{GENERATIONS}: arm {BASE} answers no {prompt_set} prompt. Run the generate stage again.")
    asked = sorted(reply.prompt_id for reply in arms[BASE])
    for arm, given in arms.items():
        if sorted(reply.prompt_id for reply in given) != asked:
            raise DataError(
                f"{GENERATIONS}: arm {arm} does not answer the {len(asked)} {prompt_set} prompts that {BASE} answers. "
                "Arms compare on the same prompts only: run the generate stage again."
            )
    return arms


def evaluate(data: Data, likelihoods: Sequence[Mapping[str, Any]], config: EvaluateConfig) -> tuple[Tree, Judgement]:
    """Return the metrics, and the judgement of the rubric within them."""
    short = too_few(data.cal, data.cal_models, config.bucket_replies)
    usual, rules = usual_for(data.train)
    judgement = _unjudged(data, short, usual, rules) if short else _judged(data, usual, rules, config)
    with_arms = {"all": data.test, "without_stock": _without_stock(data.test)}
    said = [reply for arms in (data.test, data.protocol) for reply in arms.get(CHALLENGER, [])]
    metrics: Tree = {
        **judgement.metrics,
        "counts": _counts(data),
        "likelihood": likelihood(by_arm(likelihoods), config),
        "gap": _gap(data.test, config),
        "alarms": alarms(data.test, usual),
        "length": {name: lengths(arms, config.seed) for name, arms in with_arms.items() if arms[REAL]},
        "secrets": {CHALLENGER: secrets(said)} if said else {},
    }
    return finite(metrics), judgement


def _without_stock(arms: Arms) -> Arms:
    return {arm: [reply for reply in replies if not reply.stock] for arm, replies in arms.items()}


def _counts(data: Data) -> Tree:
    return {
        "train_replies": len(data.train),
        "cal_fit_replies": sum(reply.half == "fit" for reply in data.cal),
        "cal_cut_replies": sum(reply.half == "cut" for reply in data.cal),
        "test_replies": len(data.test[REAL]),
        "test_conversations": len({reply.conversation_id for reply in data.test[REAL]}),
        "test_stock_replies": sum(reply.stock for reply in data.test[REAL]),
    }


def _unjudged(data: Data, why: str, usual: Usual, rules: Sequence[Rule]) -> Judgement:
    """Only the hard rules can be told."""
    replies = [reply for arms in (data.test, data.protocol) for arm in arms.values() for reply in arm]
    rows = [_row(reply, fired(reply, usual, rules)) for reply in replies]
    return Judgement({"instrument": {"state": "UNKNOWN", "why": why}}, rows, {"version": 1, "unfitted": why})


def _judged(data: Data, usual: Usual, rules: tuple[Rule, ...], config: EvaluateConfig) -> Judgement:
    rubric, scores = _score(data, usual, rules, config)
    again = _score(data, usual, rules, config)
    same = _text(rubric, scores) == _text(*again)
    cal = rubric.scores(data.cal)
    tested = self_test(scores["test"][REAL], scores["test"][BASE], cal, scores["self_test"], same)
    metrics: Tree = {
        "instrument": {
            "state": tested.state,
            "holds": tested.holds,
            "adversarial": tested.adversarial,
            "expected_real_mean": sum(one.expected * one.replies for one in rubric.buckets)
            / sum(one.replies for one in rubric.buckets),
            "patterns_dropped": len(rubric.usual.patterns.dropped),
            "rules_dropped": len(RULES) - len(rubric.rules),
            **tested.values,
        },
        "rubric_test": {name: _means(arms, config) for name, arms in _stock_views(scores["test"]).items()},
        "protocol10": {arm: {"value": mean_score(found), "n": len(found)} for arm, found in scores["protocol"].items()},
    }
    return Judgement(metrics, _rows(scores), rubric.artefact())


Scores = dict[str, dict[str, list[Score]]]


def _score(data: Data, usual: Usual, rules: tuple[Rule, ...], config: EvaluateConfig) -> tuple[Rubric, Scores]:
    rubric = fit(usual, rules, data.cal, data.cal_models, config.bucket_replies)
    own = own_answers(rubric, [reply for reply in data.cal if reply.half == "fit"], data.prompts)
    return rubric, {
        "test": {arm: rubric.scores(replies) for arm, replies in data.test.items()},
        "protocol": {arm: rubric.score_set(replies) for arm, replies in data.protocol.items()},
        "self_test": adversarial_scores(rubric, own, data.prompts, data.train),
    }


def _text(rubric: Rubric, scores: Scores) -> str:
    return canonical_json([rubric.artefact(), _rows(scores)])


def _rows(scores: Scores) -> Rows:
    """The self-test's texts are stored with their scores; those of the arms lie in generations.jsonl."""
    rows: Rows = []
    for name, arms in scores.items():
        for one in (one for found in arms.values() for one in found):
            text = {"text": one.reply.text, "prompt_set": name} if name == "self_test" else {}
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
    for baseline in BASELINES:
        if baseline in arms and CHALLENGER in arms:
            pairs = zip(_by_prompt(arms[CHALLENGER]), _by_prompt(arms[baseline]), strict=True)
            ahead = [ours.score - theirs.score for ours, theirs in pairs]
            tree[f"{CHALLENGER}_over_{baseline}"] = _mean(_by_prompt(arms[CHALLENGER]), ahead, config)
    return tree


def _by_prompt(scores: Sequence[Score]) -> list[Score]:
    return sorted(scores, key=lambda one: one.reply.prompt_id)


def _mean(scores: Sequence[Score], values: Sequence[float], config: EvaluateConfig) -> Tree:
    conversations = [one.reply.conversation_id for one in scores]
    sums, sizes = totals(conversations, values), totals(conversations, [1.0] * len(values))
    return bounds(interval(ratio(sums, sizes), len(sizes), config.draws, config.seed), len(values))


def _gap(arms: Arms, config: EvaluateConfig) -> Tree:
    conversations = len({reply.conversation_id for reply in arms[REAL]})
    if conversations < CLUSTERS_MIN or CHALLENGER not in arms or "B1" not in arms:
        return {}
    told = {arm: told_apart(arms[REAL], arms[arm], config.seed) for arm in (*BASELINES, CHALLENGER)}
    floor = noise_floor(arms[REAL], config.seed)
    closed = gap_closed(told["B1"], told[CHALLENGER], floor, config.draws, config.seed)
    return {
        "auc": {arm: one.value for arm, one in told.items()} | {REAL: floor},
        "similarity": similarity(told[CHALLENGER].value, told[BASE].value, floor),
        "closed": bounds(closed, len(arms[REAL])) if closed else {},
    }


def main() -> None:
    """Run the stage."""
    data = gather({name: read_jsonl(path) for name, path in SPLITS.items()}, read_jsonl(GENERATIONS))
    metrics, judgement = evaluate(data, read_jsonl(LIKELIHOODS), load(EvaluateConfig))
    with staged_folder(OUT) as part:
        write_jsonl(part / "scores.jsonl", judgement.rows)
        write_json(part / "rubric.json", judgement.artefact)
    write_json(METRICS, metrics)
