"""Whether replies grow or shrink: the same held-out prompts, answered before and after → lengths."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import mlx.core as mx

from stages.align.pairs import Pair
from twin.model import Base
from twin.reply import Reply, Speaker

PROMPTS = 20
"""Held-out prompts, the first ones: their order is that of a hash."""


@dataclass(frozen=True)
class Drift:
    """Replies to the same prompts."""

    before: list[Reply]
    after: list[Reply]
    person: list[int]
    """Tokens of the person's own replies."""

    def to_json(self) -> dict[str, Any]:
        """Return mean lengths in tokens, the stop token apart, and how many replies did not end."""
        told: dict[str, Any] = {"prompts": len(self.person), "person_tokens": round(fmean(self.person), 6)}
        for name, replies in (("before", self.before), ("after", self.after)):
            told[f"{name}_tokens"] = round(fmean(reply.tokens for reply in replies), 6)
            told[f"{name}_unfinished"] = sum(not reply.stopped for reply in replies)
        return told


def drift(base: Base, pairs: Sequence[Pair], before: Mapping[str, mx.array], after: Mapping[str, mx.array]) -> Drift:
    """Answer greedily with the weights `before` and those `after`, which stay on the model.

    A reply that grows to twice the longest of the person's is stopped there.
    """
    by_prompt = {pair.chosen.tokens[: pair.chosen.prompt_tokens]: pair.chosen.supervised - 1 for pair in pairs}
    shown = dict(list(by_prompt.items())[:PROMPTS])
    limit = 2 * max(pair.chosen.supervised for pair in pairs)
    said = []
    for weights in (before, after):
        base.model.load_weights(list(weights.items()), strict=False)
        found = dict(Speaker(base).replies(list(shown), limit))
        said.append([found[place] for place in range(len(shown))])
    return Drift(said[0], said[1], list(shown.values()))
