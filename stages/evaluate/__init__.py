"""Scores what the arms said: stored replies and likelihoods → metrics, a score per reply, the fitted rubric.

Reads stored text and numbers only, so that everything here runs on any machine and comes out the same. What cannot
be measured is left out of the metrics and counts as unknown.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stages.evaluate import choice
from stages.evaluate.acts import act_agreement, read_labels, trusted
from stages.evaluate.alarms import alarms, lengths, secrets, usage
from stages.evaluate.canaries import exposure
from stages.evaluate.capability import capability
from stages.evaluate.choice import context_choice, of
from stages.evaluate.data import BASE, GENERATIONS, Data, gather, without_stock
from stages.evaluate.facts import with_facts
from stages.evaluate.gap import gap
from stages.evaluate.judgement import Judgement, judged, unjudged
from stages.evaluate.likelihood import CHALLENGER, likelihood, same_replies
from stages.evaluate.memorisation import memorisation
from stages.evaluate.replies import REAL
from stages.evaluate.report import Tree, finite
from stages.evaluate.rerank import reranked
from stages.evaluate.rubric import too_few, usual_for
from stages.evaluate.selective import Judges, Selective, selective
from twin.confidence import CONFIDENCE, QUESTIONS
from twin.config.evaluate import EvaluateConfig
from twin.config.load import load
from twin.files import read_json, read_jsonl, staged_folder, write_bytes, write_json, write_jsonl
from twin.reranker import RERANKER, Reranker

LIKELIHOODS = Path("data/generate/nll.jsonl")
SPLITS = {name: Path(f"data/split/{name}.jsonl") for name in ("train", "valid", "cal", "test")}
FURTHER = Path("data/generate/further.jsonl")
LIVE = Path("data/generate/live.jsonl")
REMINDERS = Path("data/generate/reminders.jsonl")
DECODING = Path("data/generate/decoding.json")
CANARIES = Path("data/split/canaries.jsonl")
LABELS = Path("data/labels")
OUT = Path("data/evaluate")
METRICS = Path("metrics/evaluate.json")
Scored = Mapping[str, Sequence[Mapping[str, Any]]]


@dataclass(frozen=True)
class Live:
    """What a live reply is judged by."""

    rows: Sequence[Mapping[str, Any]] = ()
    """Replies of X to cal and test, and of arm F."""
    decoding: Mapping[str, Any] = field(default_factory=dict)
    reminders: Sequence[Mapping[str, Any]] = ()
    """Replies of X and F to questions for a fact."""


NO_LIVE = Live()


@dataclass(frozen=True)
class Evaluated:
    """What the stage writes."""

    metrics: Tree
    judgement: Judgement
    """Of the rubric."""
    reranker: Reranker | None
    """What chose the replies of arm K."""
    selective: Selective
    """With the confidence of live replies."""


def evaluate(
    data: Data,
    likelihoods: Sequence[Mapping[str, Any]],
    labels: Mapping[str, str],
    config: EvaluateConfig,
    *,
    planted: Sequence[Mapping[str, Any]] = (),
    live: Live = NO_LIVE,
) -> Evaluated:
    """Return the metrics, the judgement of the rubric within them, and what later replies are judged by.

    Args:
        data: the replies.
        likelihoods: rows of nll.jsonl.
        labels: acts of the person's replies by id, as far as a hand has labelled them.
        config: from params.yaml.
        planted: rows of canaries.jsonl.
        live: rows that live replies are judged by.
    """
    chosen = reranked(data)
    data = chosen.data
    short = too_few(data.cal, data.cal_models, config.bucket_replies)
    usual, rules = usual_for(data.train, data.prompts)
    judgement = unjudged(data, short, usual, rules) if short else judged(data, usual, rules, config)
    with_arms = {"all": data.test, "without_stock": without_stock(data.test)}
    # Arm K chooses among these.
    drawn = [reply for reply in data.further if reply.arm == CHALLENGER]
    said = [reply for arms in (data.test, data.valid, data.protocol) for reply in arms.get(CHALLENGER, [])] + drawn
    acts = trusted([*data.train, *data.valid_person, *data.cal], labels, config)
    judges = Judges(judgement.rubric, acts.labeller, labels)
    chooses = selective(data, live.rows, judges, live.decoding, config)
    metrics: Tree = {
        **judgement.metrics,
        **_of_likelihoods(likelihoods, planted, config),
        "reranker": chosen.tree,
        "counts": _counts(data),
        "gap": gap(data.test, config),
        "act_agreement": act_agreement(data.test, acts, config),
        "selective": chooses.tree,
        "facts": with_facts(data, live.rows, live.reminders, judgement.rubric, config),
        "alarms": alarms(data.test, usual),
        "length": {name: lengths(arms, config.seed) for name, arms in with_arms.items() if arms[REAL]},
        "function_words": {name: usage(arms, usual, config.seed) for name, arms in with_arms.items() if arms[REAL]},
        "secrets": {CHALLENGER: secrets(said)} if said else {},
    }
    return Evaluated(finite(metrics), judgement, chosen.reranker, chooses)


def _of_likelihoods(
    likelihoods: Sequence[Mapping[str, Any]], planted: Sequence[Mapping[str, Any]], config: EvaluateConfig
) -> Tree:
    scored = {name: of(likelihoods, name) for name in ("test", "train", "choice", "alone")}
    return {
        "likelihood": likelihood(same_replies(scored["test"]), config),
        "canaries": exposure(of(likelihoods, "canary"), planted),
        "memorisation": memorisation(scored["train"], scored["test"], CHALLENGER, BASE, config),
        "context_choice": _choices(scored["choice"], scored["alone"], config)
        | {"without_stock": _choices(choice.without_stock(scored["choice"]), scored["alone"], config)},
        "capability": capability(of(likelihoods, "capability"), config),
    }


def _choices(inside: Scored, alone: Scored, config: EvaluateConfig) -> Tree:
    return {arm: context_choice(rows, alone[arm], config) for arm, rows in inside.items()}


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
    generations = read_jsonl(Path(GENERATIONS))
    data = gather(splits, generations, read_jsonl(FURTHER))
    answered = [row for row in generations if (row["arm"], row["prompt_set"]) == (CHALLENGER, "test")]
    live = Live([*answered, *read_jsonl(LIVE)], read_json(DECODING), read_jsonl(REMINDERS))
    made = evaluate(
        data,
        read_jsonl(LIKELIHOODS),
        read_labels(LABELS),
        load(EvaluateConfig),
        planted=read_jsonl(CANARIES),
        live=live,
    )
    with staged_folder(OUT) as part:
        write_jsonl(part / "scores.jsonl", made.judgement.rows)
        write_json(part / "rubric.json", made.judgement.artefact)
        if made.reranker:
            write_json(part / RERANKER, made.reranker.to_json())
        if made.selective.confidence and made.selective.questions:
            write_json(part / CONFIDENCE, made.selective.confidence.to_json())
            write_bytes(part / QUESTIONS, made.selective.questions.to_bytes())
    write_json(METRICS, made.metrics)
