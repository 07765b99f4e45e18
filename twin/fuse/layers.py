"""Base and adapter as one set of weights: adapter layers → plain or packed layers, worked out in float32."""

from collections.abc import Mapping
from typing import Any

import mlx.core as mx
from mlx import nn
from mlx.utils import tree_unflatten
from mlx_lm.models.switch_layers import QuantizedSwitchLinear, SwitchLinear

GROUPS = (128, 64, 32)  # that MLX packs affinely
GROUP = 64  # mlx-lm's default, for a base that has none

Config = dict[str, Any]


def fuse(model: nn.Module, bits: int | None) -> None:
    """Put fused layers in the place of the adapter's, unevaluated: a layer is worked out when its weights are read.

    Args:
        bits: None unpacks every layer. A number packs the layers that the adapter changed with at least so many bits
            and leaves the others as they are; on a base that is not quantised it packs every layer.
    """
    adapted = {path: module for path, module in model.named_modules() if "lora_a" in module}
    packed_base = any("scales" in module for _, module in model.named_modules())
    _replace(model, {path: _fused(module, bits) for path, module in adapted.items()})
    if bits is None:
        packed = {path: module for path, module in model.named_modules() if _kind(module) and "scales" in module}
        _replace(model, {path: _stored(_unpacked(module), module) for path, module in packed.items()})
    elif not packed_base:
        nn.quantize(model, class_predicate=lambda path, module: _packing(model, path, module, bits))


def quantization(model: nn.Module, stored: Mapping[str, Any] | None) -> Config | None:
    """Return what config.json says of the packed layers of `model`, None if there are none.

    Args:
        stored: what the base's config.json says.
    """
    packed = {
        path: {"group_size": module.group_size, "bits": module.bits, "mode": module.mode}
        for path, module in model.named_modules()
        if "scales" in module
    }
    if not packed:
        return None
    common = stored or next(iter(packed.values()))
    usual = {"group_size": common["group_size"], "bits": common["bits"], "mode": common.get("mode", "affine")}
    named = {path: entry for path, entry in (stored or {}).items() if entry is False or path in packed}
    return usual | named | {path: entry for path, entry in packed.items() if entry != named.get(path, usual)}


def _replace(model: nn.Module, layers: Mapping[str, nn.Module]) -> None:
    model.update_modules(tree_unflatten(list(layers.items())))


def _fused(adapted: Any, bits: int | None) -> Any:
    name = "linear" if "linear" in adapted else "embedding"
    inner = adapted[name]
    # mlx-lm's own arithmetic, given float32: in bfloat16 it would round the sum twice and DoRA's norms once more.
    adapted[name] = _unpacked(inner)
    fused = adapted.fuse()
    if bits is None or "scales" not in inner:
        return _stored(fused, inner)
    size = inner.group_size if inner.group_size in GROUPS else min(GROUPS)
    if fused.weight.shape[-1] % size:
        return _stored(fused, inner)
    return _stored(fused, inner).to_quantized(size, max(bits, inner.bits), "affine")


def _kind(layer: nn.Module) -> Any:
    """Return the plain form of a layer as a function of whether it has a bias; None for layers of other kinds."""
    if isinstance(layer, nn.Linear | nn.QuantizedLinear):
        return lambda bias: nn.Linear(1, 1, bias)
    if isinstance(layer, SwitchLinear | QuantizedSwitchLinear):
        return lambda bias: SwitchLinear(1, 1, 1, bias)
    if isinstance(layer, nn.Embedding | nn.QuantizedEmbedding):
        return lambda bias: nn.Embedding(1, 1)
    return None


def _unpacked(layer: Any) -> Any:
    """Return a plain layer of the same weights in float32."""
    plain = _kind(layer)("bias" in layer)
    plain.weight = layer.weight.astype(mx.float32) if "scales" not in layer else _dequantized(layer)
    if "bias" in layer:
        plain.bias = layer.bias
    return plain


def _dequantized(layer: Any) -> mx.array:
    scales, biases = layer.scales, layer.get("biases")
    if mx.issubdtype(scales.dtype, mx.floating):
        scales = scales.astype(mx.float32)
    biases = None if biases is None else biases.astype(mx.float32)
    return mx.dequantize(layer.weight, scales, biases, layer.group_size, layer.bits, layer.mode, dtype=mx.float32)


def _stored(plain: Any, like: Any) -> Any:
    """Return `plain` with its weight in the type that `like` computes in."""
    kept = like.get("scales", like.weight).dtype
    plain.weight = plain.weight.astype(kept if mx.issubdtype(kept, mx.floating) else mx.bfloat16)
    return plain


def _packing(model: nn.Module, path: str, module: Any, bits: int) -> bool | Config:
    """Say how a layer of a plain model is packed; the model itself may want some left as they are, or finer."""
    if not hasattr(module, "to_quantized") or module.weight.shape[-1] % min(GROUPS):
        return False
    wanted = getattr(model, "quant_predicate", lambda path, module: True)
    answer: bool | Config = wanted(path, module)
    size = GROUP if module.weight.shape[-1] % GROUP == 0 else min(GROUPS)
    return {"group_size": size, "bits": bits, "mode": "affine"} if answer is True else answer
