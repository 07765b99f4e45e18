"""Which configurations fit: a shape, a start, a budget → layouts of the same effective batch, fastest first.

Batch, accumulation and checkpointing change no gradient; kind and rank change what is learned. What is fast is a count
of work, not of seconds: it orders, and is never shown.
"""

import math
from collections.abc import Iterator
from dataclasses import Field, dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Protocol, TypeVar

from twin.config.adapter import AdapterConfig, Kind
from twin.config.train import TrainConfig
from twin.plan.command import Settings, changes
from twin.plan.memory import SCORES_BYTES, Load, Need, adapter_parameters, predict
from twin.plan.shape import Shape

RANKS = (32, 16, 8, 4)  # the research note's ladder
PASSES = 3  # forward, and backward as much work again for the input and for the weights
RECOMPUTED_PASSES = 4
# A pass reads the weights once whatever the tokens: about as long as computing so many tokens takes where bandwidth
# and arithmetic stand as on Apple's chips (4-bit weights at 200 GB/s, 5 TFLOP/s: 7; 16-bit ones: 25).
READ_TOKENS = 16
TEMPLATE_TOKENS = 16  # what a chat template writes around a message: ChatML 5, Llama 3's dated header 25 for all


class Portions(Protocol):
    """How an update is cut up; see `TrainConfig` and `AlignConfig`."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def batch(self) -> int: ...  # noqa: D102
    @property
    def accumulate(self) -> int: ...  # noqa: D102
    @property
    def checkpointing(self) -> bool: ...  # noqa: D102


AnyPortions = TypeVar("AnyPortions", bound=Portions)


@dataclass(frozen=True)
class Longest:
    """Upper bounds of one example."""

    tokens: int
    supervised: int


@dataclass(frozen=True)
class Planned:
    """A configuration and what it needs on a model, whose examples are no longer than `longest`."""

    shape: Shape
    adapter: AdapterConfig
    train: TrainConfig
    longest: Longest
    dense: bool = False
    """Whether DoRA works on dequantised copies."""

    @cached_property
    def load(self) -> Load:
        """Its largest micro-batch."""
        batch, longest = self.train.batch, self.longest
        rows, tokens = (1, batch * longest.tokens) if self.train.packing else (batch, longest.tokens)
        return Load(
            rows,
            tokens,
            batch * longest.supervised,
            self.train.accumulate,
            self.train.checkpointing,
            self.dense,
        )

    @cached_property
    def need(self) -> Need:
        """What it needs at most."""
        return most(self.shape, self.adapter, self.load)

    @property
    def parameters(self) -> int:
        """How many parameters it trains."""
        return adapter_parameters(self.shape, self.adapter)

    @property
    def cost(self) -> float:
        """Work of an update."""
        return work(self.adapter, self.load)

    @property
    def title(self) -> str:
        """Its name in tables and messages, such as `DoRA r8`."""
        return title(self.adapter)

    @property
    def layout(self) -> str:
        """What goes through the model at once, in words."""
        packed = " in one row" if self.train.packing else ""
        again = "" if self.train.checkpointing else ", no checkpointing"
        return f"batch {self.train.batch} × {self.longest.tokens} tokens{packed}{again}"

    def with_changes(self, adapter: AdapterConfig, train: TrainConfig) -> "Planned":
        """Return another configuration for the same model and examples."""
        return replace(self, adapter=adapter, train=train)

    def settings(self, now: "Planned") -> Settings:
        """Return what turns `now` into this."""
        return changes("adapter", now.adapter, self.adapter) | changes("train", now.train, self.train)


def title(adapter: AdapterConfig) -> str:
    """Return the name of an adapter in tables and messages, such as `DoRA r8`."""
    return f"{'DoRA' if adapter.kind is Kind.dora else 'LoRA'} r{adapter.rank}"


def bound(text: str) -> int:
    """Return what a message is no longer than, in tokens: no tokenizer makes more of them than there are bytes."""
    return len(text.encode()) + TEMPLATE_TOKENS


def work(adapter: AdapterConfig, load: Load) -> float:
    """Return the work of an update, in tokens that pass all blocks; DoRA's norms pass the rank like tokens.

    LoRA's own products are some hundredths of the model's and are left out.
    """
    passes = RECOMPUTED_PASSES if load.checkpointing else PASSES
    norms = adapter.rank if adapter.kind is Kind.dora else 0
    return load.accumulate * passes * (load.rows * load.tokens + READ_TOKENS + norms)


def most(shape: Shape, adapter: AdapterConfig, load: Load) -> Need:
    """Return what `load`, or any smaller one, needs at most.

    Above a size the scores of attention go through in blocks and are not kept, so that a row a little below it can need
    more than a longer one.
    """
    element = shape.heads * shape.activation_bytes
    loads = [load]
    if load.rows * element * load.tokens**2 > SCORES_BYTES:
        fewer_tokens = math.isqrt(SCORES_BYTES // (load.rows * element))
        fewer_rows = SCORES_BYTES // (element * load.tokens**2)
        loads += [replace(load, tokens=fewer_tokens)] * (fewer_tokens > 0)
        loads += [replace(load, rows=fewer_rows)] * (fewer_rows > 0)
    return max((predict(shape, adapter, one) for one in loads), key=lambda need: need.total)


def candidates(now: Planned) -> list[Planned]:
    """Return the layouts of every kind and rank of the ladder, of the effective batch of `now`, fastest first.

    Among equally fast ones comes first what resembles `now`, then the higher rank.
    """
    ranks = sorted({now.adapter.rank, *RANKS}, reverse=True)
    adapters = [replace(now.adapter, kind=kind, rank=rank) for kind in Kind for rank in ranks]
    found = [now.with_changes(adapter, train) for adapter in adapters for train in layouts(now.train, now.train.ranks)]

    def order(one: Planned) -> tuple[float, ...]:
        other_kind, other_rank = one.adapter.kind is not now.adapter.kind, one.adapter.rank != now.adapter.rank
        return one.cost, other_kind, other_rank, -one.adapter.rank, one.need.total

    return sorted(found, key=order)


def layouts(config: AnyPortions, ranks: int = 1) -> Iterator[AnyPortions]:
    """Yield what learns from the same examples an update: each batch that divides them, checkpointing off and on."""
    effective = config.batch * config.accumulate
    for batch in range(1, effective + 1):
        accumulate, rest = divmod(effective, batch)
        if rest or accumulate % ranks:
            continue
        for checkpointing in (False, True):
            yield replace(config, batch=batch, accumulate=accumulate, checkpointing=checkpointing)


def fitting(now: Planned, usable_bytes: float) -> list[Planned]:
    """Return the fastest layout that fits of each kind and rank, fastest first."""
    first: dict[tuple[Kind, int], Planned] = {}
    for one in candidates(now):
        if one.need.total <= usable_bytes:
            first.setdefault((one.adapter.kind, one.adapter.rank), one)
    return list(first.values())


def leanest(now: Planned) -> Planned:
    """Return what needs least of all candidates."""
    return min(candidates(now), key=lambda one: one.need.total)
