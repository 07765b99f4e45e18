"""Less memory for more time: a block keeps its input only, and computes the rest again in the backward pass.

MLX's own `mx.checkpoint` leaves the order to a breadth-first evaluation, which begins blocks anew before their turn
and puts off the gradients of the adapters, whose activations then wait in every block at once. Here a block begins
when the gradient of its output is there, and passes its input's gradient on when its parameters' are done.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, cast

import mlx.core as mx
from mlx import nn
from mlx.utils import tree_flatten, tree_unflatten


def checkpoint_blocks(model: nn.Module) -> None:
    """Make each block of `model` recompute its activations; other models of the same class stay as they are."""
    for block in model.layers:
        kind: Any = type(block)
        block.__class__ = _checkpointed(kind)


@cache
def _checkpointed(kind: Any) -> Any:
    class Checkpointed(kind):  # type: ignore[misc]
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            call = super().__call__
            if not self.training:
                return call(*args, **kwargs)

            def compute(parameters: Any, args: list[Any]) -> Any:
                self.update(parameters)
                return call(*args, **kwargs)

            return recomputed(compute, self.trainable_parameters(), list(args))

    return Checkpointed


def recomputed(compute: Callable[..., mx.array], *inputs: Any) -> mx.array:
    """Return `compute(*inputs)`, differentiable by every array in them, of which nothing but the inputs is kept."""
    leaves = cast(list[tuple[str, Any]], tree_flatten(list(inputs)))
    names = [name for name, leaf in leaves if isinstance(leaf, mx.array)]
    constants = [(name, leaf) for name, leaf in leaves if not isinstance(leaf, mx.array)]

    def of_arrays(*arrays: mx.array) -> mx.array:
        return compute(*tree_unflatten([*zip(names, arrays, strict=True), *constants]))

    @mx.custom_function
    def kept(*arrays: mx.array) -> mx.array:
        return of_arrays(*arrays)

    @kept.vjp
    def again(primals: tuple[mx.array, ...], cotangent: mx.array, output: mx.array) -> tuple[mx.array, ...]:
        _, slopes = mx.vjp(of_arrays, mx.depends(list(primals), [cotangent]), [cotangent])
        return tuple(mx.depends(slopes, slopes))

    return cast(mx.array, kept(*(leaf for _, leaf in leaves if isinstance(leaf, mx.array))))
