"""Arm F, the twin shown facts, beside X on the same prompts: is the voice no worse, and are the facts used?

A reply uses a fact if it says its object, where the prompt did not. X, which saw no facts, says how often that happens
by chance. A person may rarely have use for a fact, so both are also asked for some (`reminders`).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from stages.evaluate.data import Data
from stages.evaluate.likelihood import CHALLENGER
from stages.evaluate.replies import Reply, model_replies
from stages.evaluate.report import Tree, bounds, rate
from stages.evaluate.rubric import Rubric
from twin.config.evaluate import EvaluateConfig
from twin.graph import Edge
from twin.graph.reward import as_path, trajectory_reward
from twin.intervals import interval, ratio, totals
from twin.text import says

WITH_FACTS: Final = "F"
MARGIN: Final = 0.25
"""Of the rubric, which a twin with facts may lie below one without and still count as no worse."""


def with_facts(
    data: Data,
    rows: Sequence[Mapping[str, Any]],
    reminders: Sequence[Mapping[str, Any]],
    rubric: Rubric | None,
    config: EvaluateConfig,
) -> Tree:
    """Return how the twin fares with facts, nothing if it was shown none.

    Args:
        data: the replies of the other arms.
        rows: replies of arm F, each with its facts, and of X to cal.
        reminders: replies of X and F to questions for a fact.
        rubric: judges the voice, where it could be fitted.
        config: draws and seed of the bounds.
    """
    cal = [row for row in rows if (row["arm"], row["prompt_set"]) == (CHALLENGER, "cal")]
    rows = [row for row in rows if row["arm"] == WITH_FACTS]
    if not rows:
        return {}
    first = [reply for arms in (data.test, data.protocol) for reply in arms[CHALLENGER]]
    first += model_replies(cal, data.cal, ())
    known = {(reply.prompt_set, reply.prompt_id): reply for reply in first}
    replies = model_replies(rows, first, data.prompts)
    plain = [known[reply.prompt_set, reply.prompt_id] for reply in replies]
    edges = [[Edge(*fact) for fact in row["facts"]] for row in rows]
    mine = [used(reply, given) for reply, given in zip(replies, edges, strict=True)]
    theirs = [used(reply, given) for reply, given in zip(plain, edges, strict=True)]
    conversations = [reply.conversation_id for reply in replies]
    walks = [path for given in mine for edge in given if (path := as_path([edge]))]
    more = [float(bool(ours)) - float(bool(others)) for ours, others in zip(mine, theirs, strict=True)]
    tree: Tree = {
        "n": len(rows),
        "facts_shown": sum(map(len, edges)) / len(rows),
        "used": {arm: sum(map(bool, some)) / len(rows) for arm, some in ((WITH_FACTS, mine), (CHALLENGER, theirs))},
        "used_more": _mean(conversations, more, config),
        **({"path_reward_of_used": trajectory_reward(walks)} if walks else {}),
    }
    return tree | _reminded(reminders, config) | (_voice(replies, plain, rubric, config) if rubric else {})


def _reminded(rows: Sequence[Mapping[str, Any]], config: EvaluateConfig) -> Tree:
    """Return how often the arms say the fact that they are asked for; facts of one subject hang together."""
    subjects = {row["prompt_id"]: row["asked"][0] for row in rows}
    if not subjects:
        return {}
    answers = {(row["arm"], row["prompt_id"]): says(row["text"], Edge(*row["asked"]).object) for row in rows}
    said = {arm: [answers[arm, name] for name in subjects] for arm in (WITH_FACTS, CHALLENGER)}
    more = [float(ours) - float(theirs) for ours, theirs in zip(*said.values(), strict=True)]
    rates = {arm: rate(sum(some), len(some)) for arm, some in said.items()}
    found = _mean(list(subjects.values()), more, config)
    return {"reminders": {"n": len(subjects), "said": rates, "said_more": found}}


def _voice(replies: Sequence[Reply], plain: Sequence[Reply], rubric: Rubric, config: EvaluateConfig) -> Tree:
    ours, theirs = ([one.score for one in rubric.scores(some)] for some in (replies, plain))
    conversations = [reply.conversation_id for reply in replies]
    found = _mean(conversations, [float(mine - other) for mine, other in zip(ours, theirs, strict=True)], config)
    lower, upper = found["lower"], found["upper"]
    assert isinstance(lower, float) and isinstance(upper, float)
    verdict = "no worse" if lower > -MARGIN else "worse" if upper < 0 else "inconclusive"
    means = {arm: sum(some) / len(some) for arm, some in ((WITH_FACTS, ours), (CHALLENGER, theirs))}
    return {"rubric": means | {"difference": found, "margin": MARGIN, "voice": verdict}}


def _mean(clusters: Sequence[str], values: Sequence[float], config: EvaluateConfig) -> Tree:
    sums, sizes = totals(clusters, values), totals(clusters, [1.0] * len(values))
    return bounds(interval(ratio(sums, sizes), len(sizes), config.draws, config.seed), len(values))


def used(reply: Reply, facts: Sequence[Edge]) -> list[Edge]:
    """Return the facts whose object the reply says and the prompt does not."""
    return [fact for fact in facts if says(reply.text, fact.object) and not says(reply.prompt, fact.object)]
