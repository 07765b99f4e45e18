"""Fixtures that several test files share: tiny random bases, made here, never downloaded."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.postgres import Server

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TOPICS = ("deploy", "cache", "index", "build", "branch", "queue", "token", "schema", "retry", "merge")
MakeBase = Callable[..., Path]


def make_tokenizer(folder: Path, template: str = TEMPLATE) -> int:
    """Write a byte-level BPE tokenizer with a ChatML template and return the size of its vocabulary."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([" ".join(TOPICS), "system user assistant ship it now then the"], trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>", chat_template=template
    )
    fast.save_pretrained(folder)
    return len(fast)


def make_base(
    folder: Path, *, kind: str = "qwen2", tied: bool = True, bits: int | None = None, layers: int = 2, seed: int = 0
) -> Path:
    """Write a random model of some 20 thousand parameters as an MLX model folder."""
    import importlib
    import json

    import mlx.core as mx
    from mlx import nn
    from mlx.utils import tree_flatten

    folder.mkdir(parents=True)
    config: dict[str, Any] = {
        "model_type": kind, "architectures": [kind], "hidden_size": 32, "num_hidden_layers": layers,
        "intermediate_size": 64, "num_attention_heads": 2, "num_key_value_heads": 1, "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0, "vocab_size": make_tokenizer(folder), "max_position_embeddings": 512,
        "tie_word_embeddings": tied,
    }  # fmt: skip
    module = importlib.import_module(f"mlx_lm.models.{kind}")
    mx.random.seed(seed)
    model = module.Model(module.ModelArgs.from_dict(config))
    # Random weights of MLX's size repeat the last token for ever; these say something else at every step.
    sized = [(name, array * (0.5 if "embed" in name else 3.0)) for name, array in tree_flatten(model.parameters())]
    model.load_weights([(name, array) for name, array in sized if array.ndim == 2], strict=False)
    if bits is not None:
        nn.quantize(model, group_size=32, bits=bits)
        config["quantization"] = {"group_size": 32, "bits": bits}
    weights = dict(tree_flatten(model.parameters()))
    mx.save_safetensors(str(folder / "model.safetensors"), weights, metadata={"format": "mlx"})
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def make_rows(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Return chat rows of several lengths in conversations of three, as `split` writes them."""
    rng = random.Random(seed)
    rows = []
    for number in range(count):
        topic, words = rng.choice(TOPICS), rng.randint(1, 9)
        question = " ".join([*(rng.choice(TOPICS) for _ in range(words)), topic])
        messages = [
            {"role": "system", "content": f"You are Sam. [trajectory: c={rng.random():.2f}]"},
            {"role": "user", "content": question},
            {"role": "assistant", "content": " ".join(["ship it", *(topic for _ in range(rng.randint(0, 5)))])},
        ]
        row = {"id": f"r{seed}-{number:03}", "conversation_id": f"c{seed}-{number // 3:03}", "stock": False}
        rows.append(row | {"messages": messages, "tag": "[trajectory: cold-start]"})
    return rows


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Qwen2-architecture base in float32, embeddings tied."""
    return make_base(tmp_path_factory.mktemp("base") / "qwen2")


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama-architecture base in float32 with a head of its own."""
    return make_base(tmp_path_factory.mktemp("base") / "llama", kind="llama", tied=False)


@pytest.fixture(scope="session")
def tiny_quantized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Qwen2-architecture base in 4 bits."""
    return make_base(tmp_path_factory.mktemp("base") / "qwen2-4bit", bits=4)


@pytest.fixture(scope="session")
def postgres() -> Iterator["Server"]:
    """A running PostgreSQL; each test makes its own database or table."""
    from tests.postgres import binaries, running, tried

    found = binaries()
    if not found:
        pytest.skip(tried())
    with running(found[0]) as server:
        yield server
