"""The comparison: groups of runs → one tree of numbers, verdicts and words, from which all renderings are made.

The first group is the reference; every other one is compared with it.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from twin.compare.groups import (
    Group,
    changed,
    is_seed,
    notes,
    require_comparable,
    require_one_recipe,
    scope,
    training_loss,
)
from twin.compare.inference import DRAWS, LEVEL, SEED, Margins, side_by_side
from twin.compare.metrics import RUBRIC, likelihood, rubric, scores
from twin.errors import ConfigError
from twin.intervals import holm

Tree = dict[str, Any]


def compare(groups: Sequence[Group], margins: Margins) -> Tree:
    """Compare every later group with the first.

    Raises:
        ConfigError: there are fewer than two groups.
        DataError, ProvenanceError: they cannot be compared; the message names what differs.
    """
    if len(groups) < 2:
        raise ConfigError("twin compare takes two runs or more, such as `twin compare HEAD workspace`.")
    reference = groups[0]
    for group in groups:
        require_one_recipe(group)
        for run in group.runs:
            require_comparable(reference.runs[0], run)
    tree: Tree = {
        "version": 1,
        "reference": _who(reference),
        "margins": asdict(margins),
        "draws": DRAWS,
        "seed": SEED,
        "comparisons": [_comparison(reference, other, margins) for other in groups[1:]],
        "replies": _replies(groups),
    }
    if len(groups) > 2:
        _adjust(tree["comparisons"])
    return tree


def _who(group: Group) -> Tree:
    return {"name": group.name, "runs": [{"name": run.name, "id": run.id} for run in group.runs]}


def _comparison(reference: Group, other: Group, margins: Margins) -> Tree:
    about, words = scope(reference, other)
    metrics = {
        **likelihood(reference, other, margins),
        **{name: rubric(name, reference, other, margins) for name in RUBRIC},
    }
    tree = _who(other) | {
        "scope": about,
        "words": words,
        "notes": notes(reference, other),
        "differs": _differs(reference, other),
        "metrics": metrics,
        "training_loss": training_loss(reference, other),
    }
    paired = None if "refused" in metrics["rubric_test"] else scores("rubric_test", reference, other)
    return tree | ({"side_by_side": asdict(side_by_side(paired))} if paired else {})


def _differs(reference: Group, other: Group) -> Tree:
    ours, theirs = reference.runs[0], other.runs[0]
    several = len(reference.runs) + len(other.runs) > 2
    keys = [key for key in changed(ours.params, theirs.params) if not (several and is_seed(key))]
    params = {key: [ours.params.get(key), theirs.params.get(key)] for key in keys}
    return {"params": params, "sources": changed(ours.sources, theirs.sources)}


def _adjust(comparisons: Sequence[Tree]) -> None:
    """Write Holm's p-values beside those of all claims: every metric and side by side, of every comparison."""
    claims = [claim for one in comparisons for claim in _claims(one)]
    for claim, adjusted in zip(claims, holm([claim["p"] for claim in claims]), strict=True):
        claim["p_holm"] = adjusted
    for one in comparisons:
        for name, metric in one["metrics"].items():
            if metric.get("verdict") in ("better", "worse") and metric["p_holm"] > LEVEL:
                p = f"p {metric['p_holm']:.3f}"
                one["notes"].append(f"{name}: {metric['verdict']} by itself, {p} among {len(claims)} claims (Holm).")


def _claims(comparison: Tree) -> list[Tree]:
    found = [metric for metric in comparison["metrics"].values() if "p" in metric]
    return found + ([comparison["side_by_side"]] if "side_by_side" in comparison else [])


def _replies(groups: Sequence[Group]) -> list[Tree]:
    """What the first run of every group answers to the fixed prompts, in their order, and its scores if it has any."""
    answers = [group.runs[0].answers("protocol") for group in groups]
    scored = [group.runs[0].scored("protocol") for group in groups]
    return [
        {
            "prompt_id": one,
            "prompt": row["prompt"],
            "texts": [found[one]["text"] for found in answers],
            "scores": [found[one].get("score") for found in scored],
        }
        for one, row in answers[0].items()
    ]
