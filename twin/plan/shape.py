"""What a model is made of, counted before it is loaded: config.json (+ sizes of weight files) → Shape.

mlx-lm builds the model of any of its architectures from config.json. MLX's arrays are lazy: their types and sizes
are known and nothing is allocated, so a 7B model is counted in a fifth of a second.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import mlx.core as mx
from mlx import nn
from mlx.utils import tree_flatten

from twin.base import WEIGHTS
from twin.errors import ModelError
from twin.files import read_json

SHAPES = Path(__file__).parent / "shapes"  # config.json of known models, the facts that decide sizes
EMBEDDING = (nn.Embedding, nn.QuantizedEmbedding)
QUANTIZATION = ("group_size", "bits", "mode")


@dataclass(frozen=True)
class Linear:
    """A linear layer of a block; `path` is its name inside the block."""

    path: str
    inputs: int
    outputs: int
    quantized: bool
    experts: int = 1

    def adapter_parameters(self, rank: int, *, magnitude: bool) -> int:
        """Return what an adapter of `rank` trains here; `magnitude` is DoRA's, one number a row."""
        return self.experts * (rank * (self.inputs + self.outputs) + magnitude * self.outputs)


@dataclass(frozen=True)
class Shape:
    """The sizes of a model; H hidden, V vocabulary."""

    name: str
    blocks: tuple[tuple[Linear, ...], ...]
    hidden: int
    vocabulary: int
    heads: int
    head_width: int
    kv_heads: int
    parameters: int
    """Weights of the model, each counted once: a head tied to the embedding is no second matrix."""
    weight_bytes: int
    activation_bytes: int
    """Of one element between the layers."""
    experts_per_token: int = 1
    context_tokens: int | None = None
    """Longest sequence the model takes; None if its config does not say."""

    @property
    def intermediate(self) -> int:
        """Width inside the feed-forward part: the widest input of a block's layers."""
        return max(linear.inputs for block in self.blocks for linear in block)


def read_shape(folder: Path) -> Shape:
    """Return the shape of the MLX model in `folder`; weight files are asked for their sizes and not read.

    Raises:
        ModelError: config.json is missing, or describes no model that mlx-lm can build.
    """
    if not (folder / "config.json").is_file():
        raise ModelError(f"{folder} has no config.json; an MLX model folder has one beside its weights.")
    sizes = [file.stat().st_size for file in folder.glob(WEIGHTS)]
    return make_shape(read_json(folder / "config.json"), folder.name, weight_bytes=sum(sizes) or None)


def shipped_shapes() -> list[str]:
    """Return the names of the models whose shapes are known here."""
    return sorted(file.stem for file in SHAPES.glob("*.json"))


def shipped_shape(name: str) -> Shape:
    """Return a shape by its name in `shipped_shapes`."""
    return make_shape(read_json(SHAPES / f"{name}.json"), name)


def make_shape(config: Mapping[str, Any], name: str, weight_bytes: int | None = None) -> Shape:
    """Count the model that `config` describes.

    Args:
        config: a model's config.json.
        name: what the model is called in tables and messages.
        weight_bytes: size of the weight files; without them it is counted.

    Raises:
        ModelError: mlx-lm cannot build it.
    """
    model = _build(config, name)
    named = cast(list[tuple[str, mx.array]], tree_flatten(model.parameters()))
    arrays = [array for _, array in named]
    counted_bytes = sum(array.nbytes for array in arrays)
    modules = [module for _, module in model.named_modules()]
    embedding = max((module for module in modules if isinstance(module, EMBEDDING)), key=_rows, default=None)
    if embedding is None:
        raise ModelError(f"{name}: a model of type {config.get('model_type')} without an embedding cannot be planned.")
    facts = {**config, **config.get("text_config", {})}
    hidden, heads = _width(embedding), int(facts.get("num_attention_heads", 1))
    return Shape(
        name=name,
        blocks=tuple(_linears(block) for block in model.layers),
        hidden=hidden,
        vocabulary=_rows(embedding),
        heads=heads,
        head_width=facts.get("head_dim") or hidden // heads,
        kv_heads=facts.get("num_key_value_heads") or heads,
        parameters=_parameters(modules, arrays),
        weight_bytes=counted_bytes if weight_bytes is None else weight_bytes,
        activation_bytes=max(_float_bytes(array) for array in arrays),
        experts_per_token=facts.get("num_experts_per_tok") or 1,
        context_tokens=facts.get("max_position_embeddings"),
    )


def _build(config: Mapping[str, Any], name: str) -> Any:
    # Lazy: importing mlx_lm costs more than a second.
    from mlx_lm.utils import _get_classes

    try:
        model_class, arguments_class = _get_classes(dict(config))
        model = model_class(arguments_class.from_dict(dict(config)))
        model.set_dtype(_dtype(config))
        _quantize(model, config.get("quantization") or config.get("quantization_config"))
    except (KeyError, TypeError, ValueError, AttributeError, AssertionError) as error:
        known = json.dumps(config.get("model_type"))
        raise ModelError(
            f"{name}: mlx-lm cannot build a model of type {known} from config.json: {error}. "
            "Check that it is the config.json of an MLX model."
        ) from error
    return model


def _dtype(config: Mapping[str, Any]) -> mx.Dtype:
    name = config.get("torch_dtype") or config.get("dtype") or config.get("text_config", {}).get("torch_dtype")
    dtype = getattr(mx, str(name), None)
    return dtype if isinstance(dtype, mx.Dtype) else mx.bfloat16  # what mlx_lm.convert writes when nothing is said


def _quantize(model: nn.Module, settings: Mapping[str, Any] | None) -> None:
    """Quantise as mlx-lm's loader does: one setting for all, others by path; what does not divide stays whole."""
    if not settings or "bits" not in settings:
        return
    defaults = {key: settings[key] for key in QUANTIZATION if key in settings}

    def chosen(path: str, module: nn.Module) -> bool | dict[str, Any]:
        if not hasattr(module, "to_quantized"):
            return False
        own: bool | dict[str, Any] = settings.get(path, True)
        group_size = (own if isinstance(own, dict) else defaults).get("group_size", defaults.get("group_size", 64))
        return False if module.weight.shape[-1] % group_size else own

    nn.quantize(model, **defaults, class_predicate=chosen)


def _linears(block: nn.Module) -> tuple[Linear, ...]:
    from twin.model import LINEAR

    found = [(path, module) for path, module in block.named_modules() if isinstance(module, LINEAR)]
    return tuple(_linear(path, module) for path, module in sorted(found))


def _linear(path: str, module: Any) -> Linear:
    *experts, outputs, _ = module.weight.shape
    return Linear(path, _width(module), outputs, "scales" in module, *experts)


def _rows(module: Any) -> int:
    return int(module.weight.shape[0])


def _width(module: Any) -> int:
    """Return the inputs of a linear layer, or the width of an embedding, which quantising packs into 32-bit words."""
    stored = int(module.weight.shape[-1])
    return stored * 32 // module.bits if "scales" in module else stored


def _parameters(modules: list[nn.Module], arrays: list[mx.array]) -> int:
    """Return the number of weights: a packed word holds several, and scales and offsets are none."""
    total = sum(array.size for array in arrays)
    for module in modules:
        if "scales" in module:
            stored = [module[key].size for key in ("weight", "scales", "biases", "global_scale") if key in module]
            total += module.weight.size * 32 // module.bits - sum(stored)
    return total


def _float_bytes(array: mx.array) -> int:
    return array.dtype.size if mx.issubdtype(array.dtype, mx.floating) else 0
