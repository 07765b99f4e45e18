"""How likely each arm finds the person's held-out replies: stored likelihoods → bits per token, per byte, and gains."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from stages.evaluate.report import Tree, difference
from twin.config.evaluate import EvaluateConfig
from twin.errors import DataError
from twin.intervals import ratio, totals

BASELINES = ("B0", "B1", "C")
"""What the challenger is held against: the base, the prompted base, and the champion where there is one."""
CHALLENGER = "X"
Row = Mapping[str, Any]


def same_replies(arms: Mapping[str, list[Row]]) -> Mapping[str, list[Row]]:
    """Return the arms' likelihoods of the test replies as they are, after a check.

    Raises:
        DataError: the arms were not scored on the same replies and tokens, or a number is not finite.
    """
    for row in (row for rows in arms.values() for row in rows):
        if not (math.isfinite(row["total_nats"]) and row["tokens"] > 0 and row["bytes"] > 0):
            raise DataError(
                f"nll.jsonl: {row['prompt_id']}, arm {row['arm']}: {row['total_nats']} nats for "
                f"{row['tokens']} tokens is no likelihood. Run the generate stage again."
            )
    measured = {arm: [(row["prompt_id"], row["tokens"]) for row in rows] for arm, rows in arms.items()}
    odd = sorted(arm for arm in measured if measured[arm] != next(iter(measured.values())))
    if odd:
        raise DataError(
            f"nll.jsonl: the arms {sorted(arms)} were not scored on the same replies and tokens; "
            f"{odd[0]} differs. Run the generate stage again."
        )
    return arms


def likelihood(arms: Mapping[str, Sequence[Row]], config: EvaluateConfig) -> Tree:
    """Return bits per token and per byte of each arm, and the gains of X, with and without stock phrases."""
    return {
        "all": _likelihood(arms, config),
        "without_stock": _likelihood(without_stock(arms), config),
    }


def without_stock(arms: Mapping[str, Sequence[Row]]) -> dict[str, list[Row]]:
    """Return the likelihoods of replies that are no stock phrases."""
    return {arm: [row for row in rows if not row["stock"]] for arm, rows in arms.items()}


def _likelihood(arms: Mapping[str, Sequence[Row]], config: EvaluateConfig) -> Tree:
    if not any(arms.values()):
        return {}
    tree: Tree = {
        arm: {
            "bits_per_token": bits(rows) / sum(row["tokens"] for row in rows),
            "bits_per_byte": bits(rows) / sum(row["bytes"] for row in rows),
        }
        for arm, rows in arms.items()
    }
    for baseline in BASELINES:
        if baseline in arms and CHALLENGER in arms:
            for unit in ("token", "byte"):
                tree[f"bits_per_{unit}_gain_over_{baseline}"] = gain(
                    arms[baseline], arms[CHALLENGER], f"{unit}s", config
                )
    return tree


def bits(rows: Sequence[Row]) -> float:
    """Return the total surprise in bits."""
    return math.fsum(row["total_nats"] for row in rows) / math.log(2)


def gain(baseline: Sequence[Row], challenger: Sequence[Row], unit: str, config: EvaluateConfig) -> Tree:
    """Return (Σ bits of the baseline − Σ bits of the challenger) / Σ units: a difference over conversations."""
    conversations = [row["conversation_id"] for row in challenger]
    saved = [
        (old["total_nats"] - new["total_nats"]) / math.log(2) for old, new in zip(baseline, challenger, strict=True)
    ]
    saved_C = totals(conversations, saved)
    units_C = totals(conversations, [row[unit] for row in challenger])
    return difference(ratio(saved_C, units_C), len(units_C), len(challenger), config)
