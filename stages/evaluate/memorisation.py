"""How far likelihood tells replies that were learned from held-out ones: stored likelihoods → AUC.

A membership test with a reference model (Carlini et al., Membership Inference Attacks From First Principles, 2022):
what a reply gains over the base, per token, so that easy replies do not pass for learned ones. 0.5 is chance. Train is
older than test: where a person changes, part of what is told apart is the change.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from stages.evaluate.likelihood import without_stock
from stages.evaluate.report import Tree, bounds
from stages.evaluate.twosample import Told, told
from twin.config.evaluate import EvaluateConfig
from twin.intervals import Array, interval

Row = Mapping[str, Any]
Arms = Mapping[str, Sequence[Row]]


def memorisation(learned: Arms, held_out: Arms, arm: str, base: str, config: EvaluateConfig) -> Tree:
    """Return the AUC by gain over `base` with its bounds, by likelihood alone, and without stock phrases.

    Args:
        learned: likelihoods of train replies by arm, each arm in the same order.
        held_out: the same of test replies.
        arm: whose memory is tested.
        base: the reference.
        config: draws and seed of the bounds.
    """
    if not all(arms.get(name) for arms in (learned, held_out) for name in (arm, base)):
        return {}
    gained = _told(learned, held_out, lambda arms: _gains(arms, arm, base))
    raw = _told(learned, held_out, lambda arms: -_nats(arms[arm]))
    replies = len(learned[arm]) + len(held_out[arm])
    tree: Tree = {"likelihood_alone": _auc(raw, replies, config)}
    plain, plain_held_out = without_stock(learned), without_stock(held_out)
    if plain[arm] and plain_held_out[arm]:
        without = _told(plain, plain_held_out, lambda arms: _gains(arms, arm, base))
        tree["without_stock"] = _auc(without, len(plain[arm]) + len(plain_held_out[arm]), config)
    return _auc(gained, replies, config) | tree


def _auc(apart: Told, replies: int, config: EvaluateConfig) -> Tree:
    found = bounds(interval(apart.auc, len(apart.wins), config.draws, config.seed), replies)
    return {"auc": found.pop("value"), **found}


def _told(learned: Arms, held_out: Arms, measure: Callable[[Arms], Array]) -> Told:
    rows = [list(next(iter(arms.values()))) for arms in (learned, held_out)]
    conversations = [row["conversation_id"] for part in rows for row in part]
    is_learned = np.repeat([True, False], [len(part) for part in rows])
    scores = np.concatenate([measure(learned), measure(held_out)])
    return told(conversations, is_learned, scores, np.zeros(len(scores), dtype=np.intp))


def _gains(arms: Arms, arm: str, base: str) -> Array:
    return _nats(arms[base]) - _nats(arms[arm])


def _nats(rows: Sequence[Row]) -> Array:
    """Return nats per token."""
    return np.array([row["total_nats"] / row["tokens"] for row in rows], dtype=np.float64)
