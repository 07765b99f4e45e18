"""How much of the prompted base's distance to the person the challenger closes, as a classifier tells them apart."""

from stages.evaluate.data import BASE, Arms
from stages.evaluate.likelihood import BASELINES, CHALLENGER
from stages.evaluate.replies import REAL
from stages.evaluate.report import Tree, difference, similarity
from stages.evaluate.rerank import RERANKED
from stages.evaluate.twosample import CLUSTERS_MIN, gap_closed, noise_floor, told_apart
from twin.config.evaluate import EvaluateConfig


def gap(arms: Arms, config: EvaluateConfig) -> Tree:
    """Return every arm's AUC against the person, the person's against themself, and the share of the gap closed."""
    conversations = len({reply.conversation_id for reply in arms[REAL]})
    if conversations < CLUSTERS_MIN or not {CHALLENGER, "B1"} <= set(arms):
        return {}
    models = [arm for arm in (*BASELINES, CHALLENGER, RERANKED) if arm in arms]
    told = {arm: told_apart(arms[REAL], arms[arm], config.seed) for arm in models}
    floor = noise_floor(arms[REAL], config.seed)
    closed = gap_closed(told["B1"], told[CHALLENGER], floor)
    return {
        "auc": {arm: one.value for arm, one in told.items()} | {REAL: floor},
        "similarity": similarity(told[CHALLENGER].value, told[BASE].value, floor),
        "closed": difference(closed, len(told["B1"].wins), len(arms[REAL]), config) if closed else {},
    }
