"""What to run instead of what does not fit: a plan, what may be used → layouts, each with its command."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from twin.plan.candidates import Longest, Planned, fitting, leanest
from twin.plan.command import Settings, command, overrides
from twin.plan.pairs import PairsPlanned
from twin.plan.shape import Shape
from twin.progress import size_text

SHORTEST_TOKENS = 128  # a shorter limit leaves no room for context
SHORTEST_REPLY = 16  # of rejected replies: fewer tokens end few of them, and what has not ended makes no pair
FEWEST_LAYERS = 4  # fewer adapted blocks are not worth a run

Plan = Planned | PairsPlanned
"""Of supervised and of preference training."""
Way = tuple[Plan, Settings]


def ways_out(planned: Plan, usable_bytes: float, title: str = "These fit") -> str:
    """Return what to run instead of `planned`, with the command of each; it may be several lines."""
    found = _fitting(planned, usable_bytes)
    if found:
        return "\n".join([f"{title}, fastest first:", *_lines(found)])
    lean = leanest(planned) if isinstance(planned, Planned) else min(planned.alike, key=lambda one: one.need.total)
    advice = (
        f"Nothing of the same effective batch fits: {lean.title} at {lean.layout} needs {size_text(lean.need.total)}, "
        f"{size_text(lean.need.weights)} of it for the weights."
    )
    smaller = _smaller(planned, usable_bytes)
    base = "a smaller base" if quantized(planned.shape) else "a smaller base, or the same in 4 bits"
    if not smaller:
        return f"{advice} Take {base} (-S model=…), or declare more memory if there is more."
    return "\n".join([f"{advice} Take {base} (-S model=…), or:", *_lines(smaller)])


def quantized(shape: Shape) -> bool:
    """Return whether any layer of a block is quantised."""
    return any(layer.quantized for block in shape.blocks for layer in block)


def _lines(found: Iterable[Way]) -> Iterator[str]:
    started_with = overrides()
    for one, settings in found:
        yield f"  {one.title:9} {size_text(one.need.total):>9}  {command(started_with | settings)}"


def _fitting(planned: Plan, usable_bytes: float) -> list[Way]:
    if isinstance(planned, Planned):
        return [(one, one.settings(planned)) for one in fitting(planned, usable_bytes)]
    return [(one, one.settings(planned)) for one in planned.alike if one.need.total <= usable_bytes]


def _smaller(planned: Plan, usable_bytes: float) -> list[Way]:
    if isinstance(planned, Planned):
        less = (_shorter(planned, usable_bytes), _fewer_layers(planned, usable_bytes))
        return [(one, one.settings(planned)) for one in less if one]
    ways = (_shorter_rejected(planned, usable_bytes), _shorter_rows(planned, usable_bytes))
    return [way for way in ways if way]


def _shorter(planned: Planned, usable_bytes: float) -> Planned | None:
    """Return what fits with half the tokens, or half of these, and so on."""
    tokens = planned.longest.tokens
    while (tokens := tokens // 2) >= SHORTEST_TOKENS:
        limit = Longest(tokens, min(tokens, planned.longest.supervised))
        less = replace(planned, longest=limit, train=replace(planned.train, max_tokens=tokens))
        if found := _closest(less, usable_bytes):
            return found
    return None


def _fewer_layers(planned: Planned, usable_bytes: float) -> Planned | None:
    """Return what fits with half of the adapted blocks, or half of these, and so on."""
    layers = planned.adapter.layers or len(planned.shape.blocks)
    while (layers := layers // 2) >= FEWEST_LAYERS:
        less = planned.with_changes(replace(planned.adapter, layers=layers), planned.train)
        if found := _closest(less, usable_bytes):
            return found
    return None


def _closest(now: Planned, usable_bytes: float) -> Planned | None:
    """Return what fits with the kind and rank of `now`, or else the fastest that does."""
    found = fitting(now, usable_bytes)
    same = [one for one in found if one.title == now.title]
    return next(iter(same + found), None)


def _shorter_rejected(planned: PairsPlanned, usable_bytes: float) -> Way | None:
    """Return what fits with rejected replies half as long, or half of that, and so on."""
    tokens = max(pair.rejected for pair in planned.pairs)
    while (tokens := tokens // 2) >= SHORTEST_REPLY:
        for one, settings in _fitting(planned.with_rejected(tokens), usable_bytes):
            return one, {"prefer.max_new_tokens": str(tokens)} | settings
    return None


def _shorter_rows(planned: PairsPlanned, usable_bytes: float) -> Way | None:
    """Return what fits with prompts and replies half as long, or half of that: supervised training runs again."""
    tokens = planned.longest.tokens
    while (tokens := tokens // 2) >= SHORTEST_TOKENS:
        for one, settings in _fitting(replace(planned, max_tokens=tokens), usable_bytes):
            return one, {"train.max_tokens": str(tokens)} | settings
    return None
