"""Arm K: of several replies that the twin drew to a prompt, the most personal one → replies to be judged as any arm's.

The re-ranker is fitted on valid, the rubric that judges its choice on cal, so that none is asked about itself.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from stages.evaluate.data import Arms, Data
from stages.evaluate.likelihood import CHALLENGER
from stages.evaluate.replies import REAL, Reply
from stages.evaluate.report import Tree
from twin.reranker import Reranker

RERANKED = "K"
UNTRAINED = ("B0", "B1")
REPLIES_MIN = 99
"""Of the person and of the base; fewer fit nothing worth trusting."""


@dataclass(frozen=True)
class Reranking:
    """What came of it: the data with arm K in it where it could be made, and what to report."""

    data: Data
    tree: Tree
    reranker: Reranker | None = None


def reranked(data: Data) -> Reranking:
    """Add arm K to the test prompts and the ten, if the twin drew several replies."""
    drawn = [reply for reply in data.further if reply.arm == CHALLENGER]
    if not drawn:
        return Reranking(data, {})
    base = [reply for arm in UNTRAINED for reply in data.valid.get(arm, [])]
    base += [reply for reply in data.further if reply.arm in UNTRAINED]
    sizes: Tree = {"fitted_on_person": len(data.valid_person), "fitted_on_base": len(base)}
    if min(len(data.valid_person), len(base)) < REPLIES_MIN:
        why = f"{len(data.valid_person)} replies of the person and {len(base)} of the base; {REPLIES_MIN} are needed"
        return Reranking(data, sizes | {"state": "UNKNOWN", "why": why})
    reranker = Reranker.fit([reply.text for reply in data.valid_person], [reply.text for reply in base])
    test, protocol = (_with_best(arms, drawn, reranker) for arms in (data.test, data.protocol))
    first = data.test[CHALLENGER]
    changed = sum(ours.text != theirs.text for ours, theirs in zip(test[RERANKED], first, strict=True))
    tree = sizes | {
        "state": "PASS",
        "samples": 1 + len(drawn) // len([*first, *data.protocol[CHALLENGER], *data.valid[CHALLENGER]]),
        "changed": changed / len(first),
    }
    return Reranking(replace(data, test=test, protocol=protocol), tree, reranker)


def _with_best(arms: Arms, drawn: Sequence[Reply], reranker: Reranker) -> Arms:
    others: dict[tuple[str, str], list[Reply]] = defaultdict(list)
    for reply in drawn:
        others[reply.prompt_set, reply.prompt_id].append(reply)
    choices = [[first, *others[first.prompt_set, first.prompt_id]] for first in arms[CHALLENGER]]
    best = [replies[reranker.best([reply.text for reply in replies])] for replies in choices]
    return {name: replies for name, replies in arms.items() if name != REAL} | {
        RERANKED: [replace(reply, arm=RERANKED) for reply in best],
        **({REAL: arms[REAL]} if REAL in arms else {}),
    }
