"""Refuses a run that would not fit, and explains one that did not: parameters, rows, a failure → MemoryPlanError.

On Linux, MLX 0.32.4's CPU backend does not report an allocation that fails: its stream thread writes to a null pointer
and the process ends by SIGSEGV. There nothing can be caught, and refusing beforehand is the only protection.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from twin.config.adapter import AdapterConfig
from twin.config.memory import MemoryConfig
from twin.config.train import TrainConfig
from twin.errors import MemoryPlanError, ModelError, TwinError
from twin.plan.candidates import TEMPLATE_TOKENS, Longest, Planned, Portions, bound
from twin.plan.memory import GIB
from twin.plan.pairs import PairsPlanned, pair_tokens
from twin.plan.shape import Shape, read_shape
from twin.plan.ways import Plan, quantized, ways_out
from twin.progress import size_text

LESS = 0.95  # of what came on top of the weights: after a real failure, what needs hardly less would fail again
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
    _require(planned, memory)
    return planned


def preflight_pairs(
    folder: Path,
    adapter: AdapterConfig,
    align: Portions,
    memory: MemoryConfig,
    rows: Iterable[Mapping[str, Any]],
    *,
    max_tokens: int,
) -> PairsPlanned:
    """Return what preference training of an adapter on the model in `folder` needs, before anything is loaded.

    Args:
        rows: pairs, as lines of pairs.jsonl.
        max_tokens: that the adapter was trained with.

    Raises:
        MemoryPlanError: it is more than `memory.budget_gib`.
        ModelError: there is no model whose shape could be counted.
        ConfigError: the adapter does not go onto the model.
    """
    shape = read_shape(folder)
    planned = PairsPlanned(shape, adapter, align, pair_tokens(rows), max_tokens, dense(shape))
    _require(planned, memory)
    return planned


def _require(planned: Plan, memory: MemoryConfig) -> None:
    usable_bytes = budget_bytes(memory)
    if usable_bytes is not None and planned.need.total > usable_bytes:
        raise MemoryPlanError(
            f"{planned.title} needs {size_text(planned.need.total)} at {planned.layout}; "
            f"{size_text(int(usable_bytes))} are usable (memory.budget_gib). {ways_out(planned, usable_bytes)}"
        )


@contextmanager
def within(planned: Plan, memory: MemoryConfig) -> Iterator[None]:
    """Keep MLX from running ahead beyond the budget, and say what would fit if memory runs out all the same.

    Raises:
        MemoryPlanError: it ran out.
    """
    import mlx.core as mx

    usable_bytes = budget_bytes(memory)
    if usable_bytes is not None:
        mx.set_memory_limit(int(usable_bytes))
    try:
        yield
    except (RuntimeError, MemoryError, ModelError) as error:
        if not is_out_of_memory(error):
            raise
        raise out_of_memory(error, planned, memory) from error


def budget_bytes(memory: MemoryConfig) -> float | None:
    """Return the declared budget, if there is one."""
    return None if memory.budget_gib is None else memory.budget_gib * GIB


def longest(rows: Iterable[Mapping[str, Any]], max_tokens: int) -> Longest:
    """Return what no example of `rows` exceeds."""
    tokens, supervised = TEMPLATE_TOKENS, TEMPLATE_TOKENS
    for row in rows:
        bounds = [bound(message["content"]) for message in row["messages"]]
        tokens, supervised = max(tokens, sum(bounds)), max(supervised, bounds[-1])
    return Longest(min(tokens, max_tokens), min(supervised, max_tokens))


def dense(shape: Shape) -> bool:
    """Return whether DoRA works on dequantised copies of the weights here, as on a CPU."""
    import mlx.core as mx

    return mx.default_device().type == mx.cpu and quantized(shape)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether `error`, or what one of our errors was made from, is an allocation that failed; a plan is none."""
    if isinstance(error, TwinError):
        wrapped = None if isinstance(error, MemoryPlanError) else error.__cause__
        return wrapped is not None and is_out_of_memory(wrapped)
    said = isinstance(error, RuntimeError) and any(text in str(error) for text in OUT_OF_MEMORY)
    return said or isinstance(error, MemoryError)


def out_of_memory(error: BaseException, planned: Plan, memory: MemoryConfig) -> MemoryPlanError:
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
