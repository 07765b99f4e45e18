"""Scores what the arms said: stored replies and likelihoods → metrics, a score per reply, the fitted rubric.

Reads stored text and numbers only, so that everything here runs on any machine and comes out the same. What cannot
be measured is left out of the metrics and counts as unknown.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stages.evaluate.acts import act_agreement, read_labels
from stages.evaluate.alarms import alarms, lengths, secrets, usage
from stages.evaluate.canaries import exposure
from stages.evaluate.choice import context_choice, of, without_stock
from stages.evaluate.data import BASE, GENERATIONS, Arms, Data, gather
from stages.evaluate.gap import gap
from stages.evaluate.judgement import Judgement, judged, unjudged
from stages.evaluate.likelihood import CHALLENGER, likelihood, same_replies
from stages.evaluate.memorisation import memorisation
from stages.evaluate.replies import REAL
from stages.evaluate.report import Tree, finite
from stages.evaluate.rerank import reranked
from stages.evaluate.rubric import too_few, usual_for
from twin.config.evaluate import EvaluateConfig
from twin.config.load import load
from twin.files import read_jsonl, staged_folder, write_json, write_jsonl
from twin.reranker import RERANKER, Reranker

LIKELIHOODS = Path("data/generate/nll.jsonl")
SPLITS = {name: Path(f"data/split/{name}.jsonl") for name in ("train", "valid", "cal", "test")}
FURTHER = Path("data/generate/further.jsonl")
CANARIES = Path("data/split/canaries.jsonl")
LABELS = Path("data/labels")
OUT = Path("data/evaluate")
METRICS = Path("metrics/evaluate.json")
Scored = Mapping[str, Sequence[Mapping[str, Any]]]


def evaluate(
    data: Data,
    likelihoods: Sequence[Mapping[str, Any]],
    labels: Mapping[str, str],
    config: EvaluateConfig,
    planted: Sequence[Mapping[str, Any]] = (),
) -> tuple[Tree, Judgement, Reranker | None]:
    """Return the metrics, the judgement of the rubric within them, and what chose the replies of arm K.

    Args:
        data: the replies.
        likelihoods: rows of nll.jsonl.
        labels: acts of the person's replies by id, as far as a hand has labelled them.
        config: from params.yaml.
        planted: rows of canaries.jsonl.
    """
    chosen = reranked(data)
    data = chosen.data
    short = too_few(data.cal, data.cal_models, config.bucket_replies)
    usual, rules = usual_for(data.train)
    judgement = unjudged(data, short, usual, rules) if short else judged(data, usual, rules, config)
    with_arms = {"all": data.test, "without_stock": _without_stock(data.test)}
    # Arm K chooses among these.
    drawn = [reply for reply in data.further if reply.arm == CHALLENGER]
    said = [reply for arms in (data.test, data.valid, data.protocol) for reply in arms.get(CHALLENGER, [])] + drawn
    scored = {name: of(likelihoods, name) for name in ("test", "train", "choice", "alone")}
    metrics: Tree = {
        **judgement.metrics,
        "reranker": chosen.tree,
        "counts": _counts(data),
        "likelihood": likelihood(same_replies(scored["test"]), config),
        "canaries": exposure(of(likelihoods, "canary"), planted),
        "memorisation": memorisation(scored["train"], scored["test"], CHALLENGER, BASE, config),
        "context_choice": _choices(scored["choice"], scored["alone"], config)
        | {"without_stock": _choices(without_stock(scored["choice"]), scored["alone"], config)},
        "gap": gap(data.test, config),
        "act_agreement": act_agreement(data.test, [*data.train, *data.valid_person, *data.cal], labels, config),
        "alarms": alarms(data.test, usual),
        "length": {name: lengths(arms, config.seed) for name, arms in with_arms.items() if arms[REAL]},
        "function_words": {name: usage(arms, usual, config.seed) for name, arms in with_arms.items() if arms[REAL]},
        "secrets": {CHALLENGER: secrets(said)} if said else {},
    }
    return finite(metrics), judgement, chosen.reranker


def _choices(inside: Scored, alone: Scored, config: EvaluateConfig) -> Tree:
    return {arm: context_choice(rows, alone[arm], config) for arm, rows in inside.items()}


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


def main() -> None:
    """Run the stage."""
    splits = {name: read_jsonl(path) for name, path in SPLITS.items()}
    data = gather(splits, read_jsonl(Path(GENERATIONS)), read_jsonl(FURTHER))
    metrics, judgement, reranker = evaluate(
        data, read_jsonl(LIKELIHOODS), read_labels(LABELS), load(EvaluateConfig), read_jsonl(CANARIES)
    )
    with staged_folder(OUT) as part:
        write_jsonl(part / "scores.jsonl", judgement.rows)
        write_json(part / "rubric.json", judgement.artefact)
        if reranker:
            write_json(part / RERANKER, reranker.to_json())
    write_json(METRICS, metrics)
