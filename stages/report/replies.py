"""Replies side by side: stored replies and scores → prompts with what every arm said and what its score rests on."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from stages.report.material import Material, Row
from twin.arms import ARMS

TEST_PROMPTS: Final = 6
"""Of the test prompts, evenly spaced in their order, so that nobody chose them."""
TOP: Final = 3
PERSON: Final = "R"


def ten(material: Material) -> list[dict[str, Any]]:
    """Return the ten fixed prompts."""
    return _prompts(material, "protocol")


def held_out(material: Material) -> list[dict[str, Any]]:
    """Return a few test prompts, the person's own reply among the replies."""
    every = _prompts(material, "test")
    if len(every) <= TEST_PROMPTS:
        return every
    return [every[place * len(every) // TEST_PROMPTS] for place in range(TEST_PROMPTS)]


def _prompts(material: Material, prompt_set: str) -> list[dict[str, Any]]:
    scores = {(row["prompt_id"], row["arm"]): row for row in material.scores if row["prompt_set"] == prompt_set}
    found: dict[str, dict[str, Any]] = {}
    for row in material.generations:
        if row["prompt_set"] == prompt_set:
            one = found.setdefault(row["prompt_id"], {"id": row["prompt_id"], "prompt": row["prompt"], "said": {}})
            one["said"][row["arm"]] = row["text"]
            if row.get("reply") is not None:
                one["said"][PERSON] = row["reply"]
    return [
        {"id": one["id"], "prompt": one["prompt"], "replies": _replies(one["said"], one["id"], scores)}
        for one in found.values()
    ]


def _replies(said: dict[str, str], prompt_id: str, scores: dict[tuple[str, str], Row]) -> list[dict[str, Any]]:
    return [
        {"arm": arm, "who": who, "text": said[arm], **_judged(scores.get((prompt_id, arm)))}
        for arm, who in ARMS.items()
        if arm in said
    ]


def _judged(row: Row | None) -> dict[str, Any]:
    """Return the score and the sentence that explains it."""
    if row is None:
        return {"score": None, "why": "not scored"}
    rules = ", ".join(one.replace("_", " ") for one in row["rules"])
    if "score" not in row:
        return {"score": None, "why": f"not scored; rules that fired: {rules or 'none'}"}
    level = f"level {row['level']}"
    if not rules:
        return {"score": row["score"], "why": f"{level}, no rule fired"}
    capped = f"capped at {row['cap']} by {rules}"
    return {"score": row["score"], "why": capped if row["cap"] < row["level"] else f"{level}, and {capped}"}


def arms(prompts: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return the (letter, words) of the arms that replied."""
    there = {reply["arm"] for one in prompts for reply in one["replies"]}
    return [(arm, who) for arm, who in ARMS.items() if arm in there]


def rules(material: Material) -> list[dict[str, Any]]:
    """Return how often each rule fired on test and fixed prompts, by arm; the most frequent first."""
    fired: Counter[tuple[str, str]] = Counter()
    for row in material.scores:
        if row["prompt_set"] in ("test", "protocol") and row["arm"] in ARMS:
            fired.update((rule, row["arm"]) for rule in row["rules"])
    names = {rule: sum(n for (one, _), n in fired.items() if one == rule) for rule, _ in fired}
    return [
        {"rule": rule, "counts": {arm: fired[rule, arm] for arm in ARMS}}
        for rule in sorted(names, key=lambda rule: (-names[rule], rule))
    ]
