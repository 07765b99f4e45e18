"""Does the arm know which reply belongs to a context? Likelihoods of the real and of others' replies → share right.

A reply counts by what its context adds to it, log p(reply | context) − log p(reply), so that a reply that is likely
anywhere has no advantage. Nothing is generated and nothing judged; with four to choose from chance is 0.25.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from stages.evaluate.report import Tree, rate_over
from twin.config.evaluate import EvaluateConfig
from twin.intervals import totals

Row = Mapping[str, Any]


def context_choice(inside: Sequence[Row], alone: Sequence[Row], config: EvaluateConfig) -> Tree:
    """Return the share of prompts whose own reply gains most from them, with its bounds, and the share by chance.

    Args:
        inside: one arm's likelihoods of replies after each prompt; the reply named as the prompt is the real one.
        alone: the same arm's likelihoods of these replies apart from any context.
        config: draws and seed of the bounds.
    """
    if not inside:
        return {}
    apart = {row["reply_id"]: row["total_nats"] for row in alone}
    gains: dict[str, dict[str, float]] = defaultdict(dict)
    for row in inside:
        gains[row["prompt_id"]][row["reply_id"]] = apart[row["reply_id"]] - row["total_nats"]
    own = {row["prompt_id"]: row["conversation_id"] for row in inside if row["prompt_id"] == row["reply_id"]}
    right = [_right(gains[prompt], prompt) for prompt in own]
    right_C, prompts_C = totals(list(own.values()), right), totals(list(own.values()), [1.0] * len(own))
    return rate_over(right_C, prompts_C, config) | {
        "chance": math.fsum(1 / len(gains[prompt]) for prompt in own) / len(own)
    }


def without_stock(arms: Mapping[str, Sequence[Row]]) -> dict[str, list[Row]]:
    """Return the choices at prompts whose own reply is no stock phrase."""
    rows = [row for found in arms.values() for row in found]
    stock = {row["prompt_id"] for row in rows if row["prompt_id"] == row["reply_id"] and row["stock"]}
    return {arm: [row for row in found if row["prompt_id"] not in stock] for arm, found in arms.items()}


def _right(gains: Mapping[str, float], own: str) -> float:
    """Return 1 if the own reply gains most; several that gain equally share it."""
    best = [name for name, gain in gains.items() if gain == max(gains.values())]
    return 1 / len(best) if own in best else 0.0


def of(rows: Iterable[Row], prompt_set: str) -> dict[str, list[Row]]:
    """Return the rows of a prompt set by arm, in the order of prompts and replies."""
    arms: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: (str(row["prompt_id"]), str(row["reply_id"]))):
        if row["prompt_set"] == prompt_set:
            arms.setdefault(str(row["arm"]), []).append(row)
    return arms
