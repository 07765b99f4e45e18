"""MiniLM: folder with config.json, model.safetensors and tokenizer.json → the encoder of `minilm`.

BERT as in Devlin et al. 2018 (arXiv 1810.04805), composed of MLX's layers. mlx-embeddings has it too, with 840 MB of
dependencies for vision and sound; 60 texts differ by 4e-7 at most.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
from mlx import nn
from tokenizers import Tokenizer

from twin.embedder.batches import Batch, Vector
from twin.errors import DataError, ModelError
from twin.files import read_json

SIZES = (
    "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "vocab_size", "type_vocab_size",
    "max_position_embeddings",
)  # fmt: skip
MEANT = {"model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute"}
LEFT_OUT = ("pooler.", "embeddings.position_ids")
"""Of the file's weights: the mean over the tokens needs no pooler."""


class Attention(nn.Module):
    """Every token attends to every present one."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.heads = heads
        self.query, self.key, self.value, self.dense = (nn.Linear(width, width) for _ in range(4))

    def __call__(self, x: mx.array, present: mx.array) -> mx.array:
        """Return what is attended to, shape (B, L, D); `present` is (B, 1, 1, L)."""
        B, L, D = x.shape
        size = D // self.heads
        queries, keys, values = (
            layer(x).reshape(B, L, self.heads, size).transpose(0, 2, 1, 3)
            for layer in (self.query, self.key, self.value)
        )
        seen = mx.fast.scaled_dot_product_attention(queries, keys, values, scale=size**-0.5, mask=present)
        attended: mx.array = self.dense(seen.transpose(0, 2, 1, 3).reshape(B, L, D))
        return attended


class Block(nn.Module):
    """Attention and a feed-forward layer, each added to its input and then normalised."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        width, inner, eps = config["hidden_size"], config["intermediate_size"], config["layer_norm_eps"]
        self.attention = Attention(width, config["num_attention_heads"])
        self.attention_norm, self.norm = nn.LayerNorm(width, eps=eps), nn.LayerNorm(width, eps=eps)
        self.up, self.down = nn.Linear(width, inner), nn.Linear(inner, width)

    def __call__(self, x: mx.array, present: mx.array) -> mx.array:
        """Return the next states, shape (B, L, D)."""
        x = self.attention_norm(x + self.attention(x, present))
        states: mx.array = self.norm(x + self.down(_gelu(self.up(x))))
        return states


def _gelu(x: mx.array) -> mx.array:
    # nn.gelu is compiled: on a CPU that starts g++ once, about a second, and gains nothing.
    return x * (1 + mx.erf(x * 0.5**0.5)) / 2


class Bert(nn.Module):
    """Tokens → the states of the last block."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        width = config["hidden_size"]
        self.words = nn.Embedding(config["vocab_size"], width)
        self.positions = nn.Embedding(config["max_position_embeddings"], width)
        self.types = nn.Embedding(config["type_vocab_size"], width)
        self.norm = nn.LayerNorm(width, eps=config["layer_norm_eps"])
        self.blocks = [Block(config) for _ in range(config["num_hidden_layers"])]

    def __call__(self, tokens: mx.array, present: mx.array) -> mx.array:
        """Return states, shape (B, L, D), of tokens (B, L) of which `present` (B, L) are attended to."""
        places = mx.arange(tokens.shape[1])
        x: mx.array = self.norm(self.words(tokens) + self.positions(places) + self.types.weight[0])
        for block in self.blocks:
            x = block(x, present[:, None, None, :])
        return x


NAMES = (
    ("encoder.layer.", "blocks."), ("attention.self.", "attention."), ("attention.output.dense", "attention.dense"),
    ("attention.output.LayerNorm", "attention_norm"), ("intermediate.dense", "up"), ("output.dense", "down"),
    ("output.LayerNorm", "norm"), ("embeddings.word_embeddings", "words"), ("embeddings.LayerNorm", "norm"),
    ("embeddings.position_embeddings", "positions"), ("embeddings.token_type_embeddings", "types"),
)  # fmt: skip
"""What the file calls a layer, and what it is called here; replaced in this order."""


class MiniLM:
    """The encoder of `minilm`: the mean over all tokens, L2-normalised."""

    pools_frame, normalised = True, True

    def __init__(self, folder: Path, tokens_max: int) -> None:
        """Read the model.

        Raises:
            ModelError: everything in its config that makes it another model than this one, at once; or a file that
                cannot be read.
        """
        try:
            config = read_json(folder / "config.json")
        except DataError as error:
            raise ModelError(f"{folder}: config.json is not JSON. Fetch the model again.") from error
        self._tokenizer, self.batch_tokens = _tokenizer(folder), batch_tokens(512)
        problems = list(_problems(config, self._tokenizer.get_vocab_size(), tokens_max))
        if problems:
            raise ModelError(
                f"{folder} is not a model that `minilm` reads: {'; '.join(problems)}. "
                "Name all-MiniLM-L6-v2, or read it with -S augment.embedder.kind=states."
            )
        self.width, self.tokens_max = config["hidden_size"], tokens_max
        framed = self._tokenizer.encode("a").ids
        self.frame = framed[:1], framed[-1:]
        self._model = _model(folder, config)

    def tokens(self, text: str) -> Sequence[int]:
        """Return the tokens of a text without [CLS] and [SEP]."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def means(self, batch: Batch) -> Vector:
        """Return the mean state of each row, shape (B, D)."""
        states_B_L_D = self._model(mx.array(batch.tokens_B_L), mx.array(batch.present_B_L))
        return pool(states_B_L_D, batch)


def batch_tokens(at_best: int) -> int:
    """Return how many tokens to read at a time; a CPU gains nothing from more than one text."""
    # Measured with MLX 0.32.4 on Linux: 7.7 texts a second one by one, 7.2 in batches of 128 tokens, 3.5 of 512.
    return 1 if mx.default_device().type == mx.cpu else at_best


def pool(states_B_L_D: mx.array, batch: Batch) -> Vector:
    """Return the mean of each row's states over what is pooled, in float32; 0 where nothing is."""
    pooled = mx.array(batch.pooled_B_L)[:, :, None]
    sums = mx.where(pooled, states_B_L_D.astype(mx.float32), 0.0).sum(axis=1)
    return np.array(sums / mx.maximum(pooled.sum(axis=1), 1))


def _tokenizer(folder: Path) -> Any:
    try:
        tokenizer: Any = Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:  # the library raises nothing narrower
        raise ModelError(f"{folder}: tokenizer.json cannot be read ({error}). Fetch the model again.") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True  # a person's "[SEP]" is text
    return tokenizer


def _problems(config: Any, words: int, tokens_max: int) -> Iterator[str]:
    if not isinstance(config, dict):
        yield "config.json is not a JSON object"
        return
    for key, meant in MEANT.items():
        seen = config.get(key, "absolute" if key == "position_embedding_type" else None)
        if seen != meant:
            yield f"{key} is {seen}, not {meant}"
    unknown = [key for key in SIZES if not isinstance(config.get(key), int) or config[key] < 1]
    if not isinstance(config.get("layer_norm_eps"), float):
        unknown.append("layer_norm_eps")
    if unknown:
        yield f"{', '.join(unknown)} missing or no size"
        return
    if config["hidden_size"] % config["num_attention_heads"]:
        yield f"hidden_size {config['hidden_size']} cannot be shared among {config['num_attention_heads']} heads"
    if words > config["vocab_size"]:
        yield f"the tokenizer knows {words} tokens and vocab_size is {config['vocab_size']}"
    most = config["max_position_embeddings"]
    if tokens_max > most:
        yield f"it reads at most {most} tokens and augment.embedder.tokens_max is {tokens_max}"


def _model(folder: Path, config: Mapping[str, Any]) -> Bert:
    model = Bert(config)
    try:
        stored: Any = mx.load(str(folder / "model.safetensors"))
        weights = [(_name(name), array.astype(mx.float32)) for name, array in stored.items() if _wanted(name)]
        model.load_weights(weights)
    except (ValueError, RuntimeError, OSError) as error:
        raise ModelError(
            f"{folder}: model.safetensors does not fit config.json: {error}. Fetch the model again."
        ) from error
    mx.eval(model.state)
    return model


def _wanted(name: str) -> bool:
    return not name.startswith(LEFT_OUT)


def _name(name: str) -> str:
    for theirs, ours in NAMES:
        name = name.replace(theirs, ours)
    return name
