"""Refuses a run that would not fit, and explains one that did not: parameters, rows, a failure → MemoryPlanError.

On Linux, MLX 0.32.4's CPU backend does not report an allocation that fails: its stream thread writes to a null pointer
and the process ends by SIGSEGV. There nothing can be caught, and refusing beforehand is the only protection.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from twin.config.adapter import AdapterConfig
from twin.config.memory import MemoryConfig
from twin.config.train import TrainConfig
from twin.errors import MemoryPlanError, TwinError
from twin.plan.candidates import Longest, Planned, fitting, leanest
from twin.plan.command import command, overrides
from twin.plan.memory import GIB
from twin.plan.shape import Shape, read_shape
from twin.progress import size_text

TEMPLATE_TOKENS = 16  # what a chat template writes around a message: ChatML 5, Llama 3's dated header 25 for all
LESS = 0.95  # of what came on top of the weights: after a real failure, what needs hardly less would fail again
SHORTEST_TOKENS = 128  # a shorter limit leaves no room for context
FEWEST_LAYERS = 4  # fewer adapted blocks are not worth a run
# What MLX 0.32.4 says on Metal, CUDA and the CPU. Metal's "Resource limit (N) exceeded" counts buffers, not bytes.
OUT_OF_MEMORY = (
    "[malloc] Unable to allocate",
    "[malloc_or_wait] Unable to allocate",
    "maximum allowed buffer size",
    "Insufficient Memory",
    "out of memory",
    "std::bad_alloc",
)


def preflight(
    folder: Path,
    adapter: AdapterConfig,
    train: TrainConfig,
    memory: MemoryConfig,
    rows: Iterable[Mapping[str, Any]],
) -> Planned:
    """Return what training the model in `folder` on chat `rows` needs, counted before anything is loaded.

    Raises:
        MemoryPlanError: it is more than `memory.budget_gib`.
        ModelError: there is no model whose shape could be counted.
        ConfigError: the adapter does not go onto the model.
    """
    shape = read_shape(folder)
    planned = Planned(shape, adapter, train, longest(rows, train.max_tokens), dense(shape))
    usable_bytes = budget_bytes(memory)
    if usable_bytes is not None and planned.need.total > usable_bytes:
        raise MemoryPlanError(
            f"{planned.title} needs {size_text(planned.need.total)} at {planned.layout}; "
            f"{size_text(int(usable_bytes))} are usable (memory.budget_gib). {ways_out(planned, usable_bytes)}"
        )
    return planned


def budget_bytes(memory: MemoryConfig) -> float | None:
    """Return the declared budget, if there is one."""
    return None if memory.budget_gib is None else memory.budget_gib * GIB


def longest(rows: Iterable[Mapping[str, Any]], max_tokens: int) -> Longest:
    """Return what no example of `rows` exceeds: no tokenizer makes more tokens than there are bytes."""
    tokens, supervised = TEMPLATE_TOKENS, TEMPLATE_TOKENS
    for row in rows:
        bounds = [len(message["content"].encode()) + TEMPLATE_TOKENS for message in row["messages"]]
        tokens, supervised = max(tokens, sum(bounds)), max(supervised, bounds[-1])
    return Longest(min(tokens, max_tokens), min(supervised, max_tokens))


def dense(shape: Shape) -> bool:
    """Return whether DoRA works on dequantised copies of the weights here, as on a CPU."""
    import mlx.core as mx

    return mx.default_device().type == mx.cpu and _quantized(shape)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether `error`, or what one of our errors was made from, is an allocation that failed; a plan is none."""
    if isinstance(error, TwinError):
        wrapped = None if isinstance(error, MemoryPlanError) else error.__cause__
        return wrapped is not None and is_out_of_memory(wrapped)
    said = isinstance(error, RuntimeError) and any(text in str(error) for text in OUT_OF_MEMORY)
    return said or isinstance(error, MemoryError)


def out_of_memory(error: BaseException, planned: Planned, memory: MemoryConfig) -> MemoryPlanError:
    """Return what to tell the person whose run ended in `error` although it was `planned`."""
    usable_bytes = budget_bytes(memory)
    declared = "none" if usable_bytes is None else size_text(int(usable_bytes))
    need, weights = planned.need.total, planned.need.weights
    less_bytes = min(weights + LESS * (need - weights), usable_bytes or need)
    said = (str(error).splitlines() or [type(error).__name__])[0]
    return MemoryPlanError(
        f"memory ran out in training {planned.title} at {planned.layout} ({said}); predicted were "
        f"{size_text(need)}, memory.budget_gib declares {declared}. Close other programs and run "
        f"`dvc repro` again, or change the configuration. {ways_out(planned, less_bytes, 'These need less')}"
    )


def ways_out(planned: Planned, usable_bytes: float, title: str = "These fit") -> str:
    """Return what to run instead of `planned`, with the command of each; it may be several lines."""
    found = fitting(planned, usable_bytes)
    if found:
        return "\n".join([f"{title}, fastest first:", *_lines(planned, found)])
    lean = leanest(planned)
    advice = (
        f"Nothing of the same effective batch fits: {lean.title} at {lean.layout} needs {size_text(lean.need.total)}, "
        f"{size_text(lean.need.weights)} of it for the weights."
    )
    smaller = [one for one in (_shorter(planned, usable_bytes), _fewer_layers(planned, usable_bytes)) if one]
    base = "a smaller base" if _quantized(planned.shape) else "a smaller base, or the same in 4 bits"
    if not smaller:
        return f"{advice} Take {base} (-S model=…), or declare more memory if there is more."
    return "\n".join([f"{advice} Take {base} (-S model=…), or:", *_lines(planned, smaller)])


def _lines(now: Planned, found: Iterable[Planned]) -> Iterator[str]:
    started_with = overrides()
    for one in found:
        typed = command(started_with | one.settings(now))
        yield f"  {one.title:9} {size_text(one.need.total):>9}  {typed}"


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


def _quantized(shape: Shape) -> bool:
    return any(layer.quantized for block in shape.blocks for layer in block)
