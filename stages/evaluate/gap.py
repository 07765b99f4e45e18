"""How much of the prompted base's distance to the person the challenger closes, as a classifier tells them apart."""

from collections.abc import Callable, Mapping, Sequence

from stages.evaluate.data import BASE, Arms
from stages.evaluate.likelihood import BASELINES, CHALLENGER
from stages.evaluate.replies import REAL, Reply
from stages.evaluate.report import Tree, bounds, difference, similarity
from stages.evaluate.rerank import RERANKED
from stages.evaluate.twosample import (
    CLUSTERS_MIN,
    Odds,
    Told,
    against_themself,
    gap_closed,
    noise_floor,
    told_apart,
)
from twin.config.evaluate import EvaluateConfig
from twin.intervals import interval


def gap(arms: Arms, config: EvaluateConfig) -> Tree:
    """Return every arm's AUC against the person, the person's against themself, and the share of the gap closed.

    Without stock phrases the same classifier, fitted on all replies, is asked of the others only.
    """
    if _conversations(arms[REAL]) < CLUSTERS_MIN or not {CHALLENGER, "B1"} <= set(arms):
        return {}
    models = [arm for arm in (*BASELINES, CHALLENGER, RERANKED) if arm in arms]
    told = {arm: told_apart(arms[REAL], arms[arm], config.seed) for arm in models}
    halved = against_themself(arms[REAL], config.seed)
    tree = _gap(told, halved, arms[REAL], lambda _: True, config)
    plain = [reply for reply in arms[REAL] if not reply.stock]
    if _conversations(plain) >= CLUSTERS_MIN:
        tree["without_stock"] = _gap(told, halved, plain, lambda reply: not reply.stock, config)
    return tree


def _conversations(replies: Sequence[Reply]) -> int:
    return len({reply.conversation_id for reply in replies})


def _gap(
    apart: Mapping[str, Odds],
    halved: Sequence[Odds],
    real: Sequence[Reply],
    kept: Callable[[Reply], bool],
    config: EvaluateConfig,
) -> Tree:
    told = {arm: odds.told(kept) for arm, odds in apart.items()}
    floor = noise_floor([odds.told(kept) for odds in halved])
    closed = gap_closed(told["B1"], told[CHALLENGER], floor)
    return {
        "auc": {arm: _auc(one, len(real), config) for arm, one in told.items()} | {REAL: {"value": floor}},
        "similarity": similarity(told[CHALLENGER].value, told[BASE].value, floor),
        "closed": difference(closed, len(told["B1"].wins), len(real), config) if closed else {},
    }


def _auc(told: Told, n: int, config: EvaluateConfig) -> Tree:
    return bounds(interval(told.auc, len(told.wins), config.draws, config.seed), n)
