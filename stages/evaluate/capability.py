"""What the twin unlearned: stored likelihoods of right and wrong answers to plain questions → share right, and loss.

An answer is chosen by its likelihood per byte, so that a long one is at no disadvantage; a tie is not right. Chance is
0.25; a base that is no better knows nothing that could be lost, and says so by its own share.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stages.evaluate.data import BASE
from stages.evaluate.likelihood import CHALLENGER
from stages.evaluate.report import Tree, difference, rate
from twin.config.evaluate import EvaluateConfig
from twin.intervals import ratio

Row = Mapping[str, Any]


def capability(arms: Mapping[str, Sequence[Row]], config: EvaluateConfig) -> Tree:
    """Return the share of questions that base and twin answer right, and by how much it fell, with its bounds.

    Args:
        arms: likelihoods of the answers by arm; the answer whose id ends in /0 is the right one.
        config: draws and seed of the bounds.
    """
    right = {arm: _right(rows) for arm, rows in arms.items() if arm in (BASE, CHALLENGER)}
    tree: Tree = {arm: rate(sum(found.values()), len(found)) for arm, found in right.items() if found}
    if len(tree) == 2:
        lost = np.array([right[BASE][one] - right[CHALLENGER][one] for one in right[BASE]], dtype=np.float64)
        tree["lost"] = difference(ratio(lost, np.ones_like(lost)), len(lost), len(lost), config)
    return tree


def _right(rows: Sequence[Row]) -> dict[str, int]:
    surprise: dict[str, dict[str, float]] = defaultdict(dict)
    for row in rows:
        surprise[row["prompt_id"]][row["reply_id"]] = row["total_nats"] / row["bytes"]
    return {
        asked: int(all(found[f"{asked}/0"] < other for reply, other in found.items() if reply != f"{asked}/0"))
        for asked, found in sorted(surprise.items())
    }
