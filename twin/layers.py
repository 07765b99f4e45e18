"""Adapter layers that keep little: mlx-lm's LoRALinear and DoRALinear, the same parameters, another forward pass.

Replaced by class, so files, fusing and the loading stay mlx-lm's. What differs, in training and in replies alike:
products are taken in the activations' type (mlx-lm's float32 `lora_a` would copy them to float32 in every layer),
dropout is computed again in the backward pass instead of kept, and DoRA's norm is factored:

    ‖W + sBA‖² = ‖W‖² + 2s Σ_r B (WA) + s² Bᵀ(AᵀA)B    per output row

so that neither W nor anything of its size is made or kept. Source: DoRA, arXiv 2402.09353, section 4.3 (the norm is
detached from the gradient); the factored norm, arXiv 2603.22276. `lora_a` is (in, rank), `lora_b` is (rank, out).
"""

from typing import Any, cast

import mlx.core as mx
from mlx import nn
from mlx_lm.tuner.dora import DoRALinear
from mlx_lm.tuner.lora import LoRALinear

NORM_WEIGHTS = 4_000_000  # of W at once while its norms are taken


def make_lean(model: nn.Module, *, dense: bool | None = None) -> None:
    """Give the adapter layers of `model` their lean forward pass.

    Args:
        dense: whether DoRA multiplies by a dequantised copy of a quantised W, made again in the backward pass. MLX's
            quantised product is slow on a CPU, so that this is the faster form there, and the default there only.
    """
    dense = mx.default_device().type == mx.cpu if dense is None else dense
    for _, module in model.named_modules():
        if type(module) is LoRALinear:
            module.__class__ = LeanLoRALinear
        elif type(module) is DoRALinear:
            module.__class__ = LeanDoRALinear
            module.prepare(dense)


class LeanLoRALinear(LoRALinear):
    """`W x + s B A x`."""

    def __call__(self, x: mx.array) -> mx.array:
        """Return the adapted product, in the type of `x`."""
        return self.linear(x) + _low_rank(self, x)


class LeanDoRALinear(DoRALinear):
    """`m / ‖W + s B A‖ · (W x + s B A x)`, the bias added after."""

    def prepare(self, dense: bool) -> None:
        """Compute what the base alone decides: the squared norms of W's rows, (out,) float32."""
        self._dense = dense and isinstance(self.linear, nn.QuantizedLinear)
        self._square_norms = _square_norms(self.linear, len(self.lora_a))
        self._held: tuple[Any, mx.array] | None = None

    def begin(self) -> None:
        """Make the magnitudes those of W, as mlx-lm does from a whole dequantised copy of it."""
        self.m = mx.sqrt(self._square_norms)

    def __call__(self, x: mx.array) -> mx.array:
        """Return the adapted product, in the type of `x`."""
        if self.training:
            y, gains = self._learning(x)
        else:
            y, gains = _product(self.linear, x, self._dense), self._settled()
        y = gains.astype(x.dtype) * (y + _low_rank(self, x))
        return y + self.linear.bias if "bias" in self.linear else y

    def _learning(self, x: mx.array) -> tuple[mx.array, mx.array]:
        """Return W x and m / ‖W + s B A‖, of which m alone is differentiated."""
        self._held = None  # parameters that training replaces would stay in memory
        a, b = mx.stop_gradient(self.lora_a), mx.stop_gradient(self.lora_b)
        if self._dense:
            y, w_a = _dense_products(self.linear, x, a)
        else:
            y, w_a = _product(self.linear, x, False), _product(self.linear, _as_rows(a, self.linear), False)
        return y, self.m / mx.stop_gradient(self._norms(w_a, a, b))

    def _settled(self) -> mx.array:
        """Return m / ‖W + s B A‖, computed once for as long as the parameters stay."""
        parameters = (self.lora_a, self.lora_b, self.m)
        if self._held is None or any(new is not old for new, old in zip(parameters, self._held[0], strict=True)):
            w_a = _product(self.linear, _as_rows(self.lora_a, self.linear), self._dense)
            gains = self.m / self._norms(w_a, self.lora_a, self.lora_b)
            mx.eval(gains)
            self._held = (parameters, gains)
        return self._held[1]

    def _norms(self, w_a: mx.array, a: mx.array, b: mx.array) -> mx.array:
        cross, own = (b * w_a).sum(axis=0), (b * ((a.T @ a) @ b)).sum(axis=0)
        squares = self._square_norms + 2 * self.scale * cross + self.scale**2 * own
        # Rounding can leave nothing, or less, of a row that the product cancels.
        return mx.sqrt(mx.maximum(squares, mx.finfo(mx.float32).smallest_normal))


def _low_rank(layer: Any, x: mx.array) -> mx.array:
    def narrow(x: mx.array, a: mx.array) -> Any:
        return layer.dropout(x) @ a

    a, b = layer.lora_a.astype(x.dtype), layer.lora_b.astype(x.dtype)
    product = mx.checkpoint(narrow)(x, a) if layer.training else narrow(x, a)
    return cast(mx.array, (layer.scale * product) @ b)


def _product(linear: Any, x: mx.array, dense: bool) -> mx.array:
    """Return x Wᵀ, nothing of W's size kept."""
    if not isinstance(linear, nn.QuantizedLinear):
        return x @ cast(mx.array, linear.weight).T
    if dense:
        return x @ _dequantized(linear).astype(x.dtype).T
    return mx.quantized_matmul(
        x, linear.weight, linear.scales, linear.get("biases"), transpose=True,
        group_size=linear.group_size, bits=linear.bits, mode=linear.mode,
    )  # fmt: skip


def _dense_products(linear: Any, x: mx.array, a: mx.array) -> tuple[mx.array, mx.array]:
    """Return x Wᵀ and Aᵀ Wᵀ from one W, which the backward pass makes again."""

    @mx.custom_function
    def products(x: mx.array, rows: mx.array) -> tuple[mx.array, mx.array]:
        weight = _dequantized(linear, after=x).astype(x.dtype)
        return x @ weight.T, rows @ weight.T

    @products.vjp
    def pull_back(
        primals: tuple[mx.array, mx.array], cotangents: tuple[mx.array, mx.array], outputs: tuple[mx.array, mx.array]
    ) -> tuple[mx.array, mx.array]:
        weight = _dequantized(linear, after=cotangents[0]).astype(primals[0].dtype)
        return cotangents[0] @ weight, mx.zeros_like(primals[1])

    return cast(tuple[mx.array, mx.array], products(x, a.T.astype(x.dtype)))


def _as_rows(a: mx.array, linear: Any) -> mx.array:
    # In float32 a half-precision W would be copied to float32; a quantised one is not.
    return a.T if isinstance(linear, nn.QuantizedLinear) else a.T.astype(linear.weight.dtype)


def _square_norms(linear: Any, inputs: int) -> mx.array:
    found = []
    step = max(1, NORM_WEIGHTS // inputs)
    for start in range(0, linear.weight.shape[0], step):
        rows = slice(start, start + step)
        weight = _dequantized(linear, rows) if isinstance(linear, nn.QuantizedLinear) else linear.weight[rows]
        found.append(weight.astype(mx.float32).square().sum(axis=1))
        mx.eval(found[-1])
    return mx.concatenate(found)


def _dequantized(linear: Any, rows: slice = slice(None), after: mx.array | None = None) -> mx.array:
    """Return W, made only after another array is there: leaves are evaluated first, all layers' at once."""
    packed = {name: linear[name] for name in ("weight", "scales", "biases") if name in linear}
    if after is not None:
        packed = {name: mx.depends([array], [after])[0] for name, array in packed.items()}
    part = {name: array[rows] for name, array in packed.items()}
    return mx.dequantize(
        part["weight"], part["scales"], part.get("biases"),
        group_size=linear.group_size, bits=linear.bits, mode=linear.mode,
    )  # fmt: skip
