"""How much memory training takes, before a model is loaded: shape, adapter, load → bytes, term by term.

Weights, adapter, moments, gradients and what each block keeps for its backward pass are counted array by array. What a
block needs besides while it is differentiated is a sum of array sizes whose factors are fitted, by `python -m
bench.memory --fit` on widths of 64 to 512, so that every real width is an extrapolation and is checked as one.
Predicted is the need in step with the arithmetic; MLX runs ahead of it where its memory limit allows.
"""

from dataclasses import dataclass, fields

from twin.config.adapter import AdapterConfig, Kind
from twin.errors import ConfigError
from twin.head import CHUNK_LOGITS
from twin.plan.shape import Linear, Shape

GIB = 2**30
FLOAT32 = 4  # adapters, gradients, moments and logits
SCORES_BYTES = 32 * 2**20  # of attention: above it the train stage scores queries in blocks
DEQUANTIZED = 2  # copies of a weight while `mx.dequantize` makes one on a CPU, measured
SCORES_OF_A_BLOCK = 3  # arrays of a block's scores while it is differentiated


@dataclass(frozen=True)
class Load:
    """What goes through the model at once, and how it is differentiated."""

    rows: int
    tokens: int
    """Inputs of a row."""
    supervised: int
    """Of all rows together."""
    accumulate: int
    checkpointing: bool
    dense: bool = False
    """DoRA by dequantised copies, as on a CPU with a quantised base."""


@dataclass(frozen=True)
class Need:
    """Bytes by what takes them."""

    weights: int
    adapter: int
    """Its parameters in float32."""
    optimizer: int
    """Two moments, the best adapter so far, and the sum of gradients while they accumulate."""
    kept: int
    """From the forward pass until the backward pass, over all blocks."""
    passing: int
    """While a block or a chunk of the vocabulary is differentiated, or the adapter is updated."""

    @property
    def total(self) -> int:
        """Return the predicted peak."""
        return sum(getattr(self, field.name) for field in fields(self))


@dataclass(frozen=True)
class Factors:
    """Multiples of array sizes, fitted: H hidden, I intermediate, s heads × tokens, each for all tokens of a batch."""

    work_I: float
    """Of a block while it is differentiated, beyond what it keeps."""
    work_s: float
    again_H: float
    """Of a checkpointed block while it is differentiated, beyond what it would keep otherwise."""
    again_I: float
    again_s: float
    half_H: float
    """What half precision keeps besides: norms work in float32."""
    update: float
    """Adapters' worth while the optimizer works."""


FITTED = Factors(
    work_I=4.07, work_s=0.22, again_H=3.17, again_I=3.98, again_s=0.0, half_H=3.77, update=2.1
)  # fmt: skip


def adapted(shape: Shape, config: AdapterConfig) -> list[Linear]:
    """Return the linear layers that an adapter goes onto, block by block.

    Raises:
        ConfigError: a key names no layer, or there are fewer blocks than `adapter.layers`.
    """
    if config.layers is not None and config.layers > len(shape.blocks):
        raise ConfigError(f"adapter.layers is {config.layers}; {shape.name} has {len(shape.blocks)} blocks.")
    blocks = shape.blocks[-config.layers :] if config.layers else shape.blocks
    paths = {layer.path for block in blocks for layer in block}
    unknown = [key for key in config.keys if not any(_named(path, [key]) for path in paths)]
    if unknown:
        raise ConfigError(
            f"adapter.keys names {', '.join(unknown)}, which no block of {shape.name} has. "
            f"Its linear layers are: {', '.join(sorted(paths))}."
        )
    return [layer for block in blocks for layer in block if _named(layer.path, config.keys)]


def _named(path: str, keys: list[str]) -> bool:
    return any(path == key or path.endswith(f".{key}") for key in keys)


def adapter_parameters(shape: Shape, config: AdapterConfig) -> int:
    """Return how many parameters are trained."""
    magnitude = config.kind is Kind.dora
    return sum(layer.adapter_parameters(config.rank, magnitude=magnitude) for layer in adapted(shape, config))


def predict(shape: Shape, config: AdapterConfig, load: Load, factors: Factors = FITTED) -> Need:
    """Return what training needs at its peak."""
    adapter = FLOAT32 * adapter_parameters(shape, config)
    kept, block = _blocks(shape, config, load, factors)
    logits = min(load.supervised * shape.vocabulary, CHUNK_LOGITS) * FLOAT32
    return Need(
        weights=shape.weight_bytes,
        adapter=adapter,
        optimizer=adapter * (3 + (load.accumulate > 1)),
        kept=round(kept),
        # By the time the optimizer works no block keeps anything.
        passing=round(max(block, 2 * logits, factors.update * adapter - kept)),
    )


def _blocks(shape: Shape, config: AdapterConfig, load: Load, f: Factors) -> tuple[float, float]:
    """Return what all blocks keep and what one of them needs while it is differentiated, in bytes."""
    element = load.rows * load.tokens * shape.activation_bytes
    scores = element * shape.heads * load.tokens
    in_blocks = SCORES_OF_A_BLOCK * SCORES_BYTES if scores > SCORES_BYTES else 0
    scores = 0 if in_blocks else scores
    hidden, wide = element * shape.hidden, element * shape.intermediate
    whole = element * _kept_elements(shape, config) + scores + (shape.activation_bytes < FLOAT32) * f.half_H * hidden
    kept: float
    if load.checkpointing:
        kept, block = hidden, whole - hidden + f.again_H * hidden + f.again_I * wide + f.again_s * scores
    else:
        kept, block = whole, f.work_I * wide + f.work_s * scores
    if load.dense and config.kind is Kind.dora:
        largest = FLOAT32 * max(layer.inputs * layer.outputs for layer in adapted(shape, config))
        block = max(block, whole - kept + DEQUANTIZED * largest + wide)
    return kept * (config.layers or len(shape.blocks)), block + in_blocks


def _kept_elements(shape: Shape, config: AdapterConfig) -> int:
    """Return how many elements a token leaves in a block until the backward pass, attention scores aside.

    Inputs of the norms and of attention's and the feed-forward part's layers, queries, keys, values and the attention's
    output; gate, up, sigmoid, their product and the last layer's input; each adapter's low-rank product; and, to learn
    the magnitudes, the outputs of DoRA's layers.
    """
    queries, keys = shape.heads * shape.head_width, shape.kv_heads * shape.head_width
    layers = [layer for layer in shape.blocks[-1] if _named(layer.path, config.keys)]
    adapters = config.rank * len(layers) + (config.kind is Kind.dora) * sum(layer.outputs for layer in layers)
    return 4 * shape.hidden + 2 * queries + 2 * keys + 5 * shape.intermediate + adapters
