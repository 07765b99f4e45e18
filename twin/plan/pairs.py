"""What preference training needs: an adapter on its base, `align`, pairs → a plan, and the layouts that fit.

Two rows a pair go through the model at once: the prompt with the chosen and with the rejected reply. What the
reference makes of them is computed before, so that one model is in memory, as in supervised training, and what it needs
is counted alike.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from twin.config.adapter import AdapterConfig
from twin.plan.candidates import TEMPLATE_TOKENS, Longest, Portions, bound, layouts, most, title, work
from twin.plan.command import Settings, changes
from twin.plan.memory import Load, Need
from twin.plan.shape import Shape

ROWS = 2  # of a pair


@dataclass(frozen=True)
class PairTokens:
    """Upper bounds of a pair's parts."""

    prompt: int
    chosen: int
    rejected: int

    @property
    def reply(self) -> int:
        """Of the longer reply."""
        return max(self.chosen, self.rejected)


@dataclass(frozen=True)
class PairsPlanned:
    """Preference training of an adapter, and what it needs."""

    shape: Shape
    adapter: AdapterConfig
    align: Portions
    pairs: tuple[PairTokens, ...]
    max_tokens: int
    """Of a row: the limit that the adapter was trained with."""
    dense: bool = False
    """Whether DoRA works on dequantised copies."""

    @cached_property
    def longest(self) -> Longest:
        """Bounds of a row."""
        tokens = max((pair.prompt + pair.reply for pair in self.pairs), default=TEMPLATE_TOKENS)
        supervised = max((pair.reply for pair in self.pairs), default=TEMPLATE_TOKENS)
        return Longest(min(tokens, self.max_tokens), min(supervised, self.max_tokens))

    @cached_property
    def load(self) -> Load:
        """Its largest micro-batch."""
        align, longest, rows = self.align, self.longest, ROWS * self.align.batch
        supervised = rows * longest.supervised
        return Load(rows, longest.tokens, supervised, align.accumulate, align.checkpointing, self.dense)

    @cached_property
    def need(self) -> Need:
        """What it needs at most."""
        return most(self.shape, self.adapter, self.load)

    @property
    def cost(self) -> float:
        """Work of an update."""
        return work(self.adapter, self.load)

    @property
    def title(self) -> str:
        """Its name in tables and messages, such as `DoRA r8 by DPO`."""
        return f"{title(self.adapter)} by DPO"

    @property
    def layout(self) -> str:
        """What goes through the model at once, in words."""
        again = "" if self.align.checkpointing else ", no checkpointing"
        return f"batch {self.align.batch} × {ROWS} × {self.longest.tokens} tokens{again}"

    @cached_property
    def alike(self) -> "list[PairsPlanned]":
        """The layouts that learn from the same pairs an update, fastest first."""
        found = [replace(self, align=align) for align in layouts(self.align)]
        return sorted(found, key=lambda one: (one.cost, one.need.total))

    def settings(self, now: "PairsPlanned") -> Settings:
        """Return what turns `now` into this, as far as it is of `align`."""
        return changes("align", now.align, self.align)

    def with_rejected(self, tokens: int) -> "PairsPlanned":
        """Return the plan for rejected replies of at most so many tokens, as `prefer.max_new_tokens` makes them."""
        limit = tokens + TEMPLATE_TOKENS
        return replace(self, pairs=tuple(replace(pair, rejected=min(pair.rejected, limit)) for pair in self.pairs))


def pair_tokens(rows: Iterable[Mapping[str, Any]]) -> tuple[PairTokens, ...]:
    """Return what no part of the pairs exceeds, for lines of pairs.jsonl."""
    return tuple(
        PairTokens(
            sum(bound(message["content"]) for message in row["messages"]), bound(row["chosen"]), bound(row["rejected"])
        )
        for row in rows
    )
