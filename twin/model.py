"""A base and its adapter as MLX modules: verified folder (+ adapter folder) → model and tokenizer.

Models, tokenizers, LoRA layers and file formats are mlx-lm's; what is added here is the choice of layers by
name, and an adapter that can be taken off and put back without a second copy of the base.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx_lm
from mlx import nn
from mlx.utils import tree_flatten, tree_unflatten
from mlx_lm.models.switch_layers import QuantizedSwitchLinear, SwitchLinear
from mlx_lm.tuner.utils import linear_to_lora_layers, load_adapters

from twin.config.adapter import AdapterConfig, Kind
from twin.errors import ConfigError, ModelError
from twin.layers import LeanDoRALinear, make_lean

LINEAR = (nn.Linear, nn.QuantizedLinear, SwitchLinear, QuantizedSwitchLinear)

Layer = Callable[..., mx.array]


@dataclass(frozen=True)
class Base:
    """A loaded model with its tokenizer."""

    model: nn.Module
    tokenizer: Any
    context_tokens: int | None
    """Longest sequence the model takes; None if its config does not say."""


def load_base(folder: Path, adapter: Path | None = None) -> Base:
    """Load an MLX model folder, with mlx-lm's adapter on it if `adapter` is given.

    Raises:
        ModelError: mlx-lm cannot load it.
    """
    if mx.default_device().type == mx.cpu:
        mx.disable_compile()  # on a CPU each compiled function starts g++ once, about a second, and gains nothing
    try:
        adapter_path = None if adapter is None else str(adapter)
        loaded: tuple[Any, ...] = mlx_lm.load(str(folder), adapter_path=adapter_path, return_config=True)
    except (ValueError, RuntimeError, KeyError, TypeError, OSError) as error:
        what = folder if adapter is None else f"{adapter} on {folder}"
        raise ModelError(f"{what}: mlx-lm cannot load it: {error}. Check that the files belong together.") from error
    model, tokenizer, config = loaded
    model.eval()
    make_lean(model)
    return Base(model, tokenizer, config.get("max_position_embeddings"))


def adapt(model: nn.Module, config: AdapterConfig, seed: int) -> dict[str, Any]:
    """Freeze `model`, put fresh trainable adapter layers on it and return mlx-lm's adapter_config.

    Sets MLX's global random state to `seed`: mlx-lm draws the initial weights from it.

    Raises:
        ConfigError: a key names no layer, there are fewer blocks than `adapter.layers`, or DoRA cannot go onto the
            base's bits.
    """
    layers = _layer_count(model, config)
    keys = _keys(model, config, layers)
    if config.kind is Kind.dora:
        _require_whole_words(model, keys, layers)
    parameters = {"rank": config.rank, "scale": config.scale, "dropout": config.dropout, "keys": keys}
    model.freeze()
    mx.random.seed(seed)
    linear_to_lora_layers(model, layers, parameters, use_dora=config.kind is Kind.dora)
    model.eval()  # the new layers come in training mode
    make_lean(model)
    for layer in _adapter_layers(model).values():
        if isinstance(layer, LeanDoRALinear):
            layer.begin()
    mx.eval(model.parameters())
    return {
        "fine_tune_type": config.kind.value,
        "num_layers": layers,
        "lora_parameters": parameters,
        "alpha": config.alpha,
    }


def _layer_count(model: nn.Module, config: AdapterConfig) -> int:
    blocks = len(model.layers)
    if config.layers is not None and config.layers > blocks:
        raise ConfigError(f"adapter.layers is {config.layers}; the base has {blocks} blocks. Use null for all of them.")
    return config.layers or blocks


def _keys(model: nn.Module, config: AdapterConfig, layers: int) -> list[str]:
    """Return the paths inside a block, such as `self_attn.q_proj`, that the short or full names stand for."""
    paths = {
        path for block in model.layers[-layers:] for path, module in block.named_modules() if isinstance(module, LINEAR)
    }
    matches = {key: {path for path in paths if path == key or path.endswith(f".{key}")} for key in config.keys}
    unknown = [key for key, found in matches.items() if not found]
    if unknown or not config.keys:
        named = f"names {', '.join(unknown)}, which no block of the base has" if unknown else "is empty"
        raise ConfigError(f"adapter.keys {named}. Its linear layers are: {', '.join(sorted(paths))}.")
    return sorted(set().union(*matches.values()))


def _adapter_layers(model: nn.Module) -> dict[str, nn.Module]:
    return {path: module for path, module in model.named_modules() if "lora_a" in module}


def _require_whole_words(model: nn.Module, keys: list[str], layers: int) -> None:
    # mlx-lm 0.32.2 counts the inputs of a DoRA layer as words × (32 // bits), here and where it loads the adapter.
    modules = [dict(block.named_modules()).get(key) for block in model.layers[-layers:] for key in keys]
    bits = sorted({module.bits for module in modules if isinstance(module, nn.QuantizedLinear) and 32 % module.bits})
    if bits:
        raise ConfigError(
            f"adapter.kind is dora and the base has layers of {bits[0]} bits, which mlx-lm's DoRA cannot take. "
            "Use -S adapter=lora_r32, or a base of 4 or 8 bits."
        )


class Adapter:
    """The adapter layers on a model, which can be switched off and on exactly."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._layers = list(_adapter_layers(model).items())

    def off(self) -> None:
        """Put the base's own layers in place: the model is the base, bit for bit."""
        bases = [
            (path, module["linear"] if "linear" in module else module["embedding"]) for path, module in self._layers
        ]
        self._model.update_modules(tree_unflatten(bases))

    def on(self) -> None:
        """Put the adapter layers back."""
        self._model.update_modules(tree_unflatten(self._layers))


def attach(base: Base, folder: Path) -> Adapter:
    """Put a saved adapter on a loaded base, which it changes in place.

    Raises:
        ModelError: the adapter is missing or does not fit the base.
    """
    try:
        load_adapters(base.model, str(folder))
    except (ValueError, RuntimeError, KeyError, TypeError, AttributeError, OSError) as error:
        raise ModelError(
            f"{folder}: the adapter does not go onto the base: {error}. Train it again on this base."
        ) from error
    base.model.eval()
    make_lean(base.model)
    return Adapter(base.model)


def leave_thread() -> None:
    """Join the threads that MLX made for this one; the last thing a thread other than the main one does with MLX.

    Without it the process is aborted when the thread ends, "terminate called without an active exception".
    Source: ml-explore/mlx pull requests 3395 and 4110.
    """
    mx.clear_streams()


def trainable(model: nn.Module) -> dict[str, mx.array]:
    """Return the trainable parameters by name."""
    return dict(tree_flatten(model.trainable_parameters()))


@dataclass(frozen=True)
class Split:
    """A model in two: tokens (B, L) → states (B, L, D), and states (P, D) → logits (P, V)."""

    body: Layer
    head: Layer


def split_head(model: nn.Module) -> Split:
    """Take the vocabulary projection off a model: its dearest layer is needed at supervised positions only.

    A model whose logits are more than that projection of its body is returned whole, with a head that does nothing.
    """
    body = getattr(model, "model", None)
    if isinstance(body, nn.Module):
        head = _projection(model, body)
        if head is not None and _same(model, body, head):
            return Split(body, head)
    return Split(model, lambda logits: logits)


def _projection(model: nn.Module, body: nn.Module) -> Layer | None:
    if "lm_head" in model:
        return model["lm_head"]  # type: ignore[no-any-return]
    return getattr(body.get("embed_tokens"), "as_linear", None)


def _same(model: nn.Module, body: nn.Module, head: Layer) -> bool:
    probe_B_L = mx.array([[0, 1, 2, 3, 4, 5]])
    whole = model(probe_B_L)
    try:
        parts = head(body(probe_B_L))
    except (TypeError, ValueError):
        return False
    if whole.shape != parts.shape:
        return False
    difference = mx.abs(whole.astype(mx.float32) - parts.astype(mx.float32)).max()
    return bool((difference <= 1e-3 * mx.abs(whole).max()).item())
