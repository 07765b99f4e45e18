"""The demo's base network: lessons → a trained, 4-bit Qwen2 in mlx-lm's files.

Loss is on what a lesson teaches, end marks included. The last part of the training sees the weights as 4 bits will show
them (straight-through rounding), because so small a network does not survive rounding afterwards.

B rows, L tokens, N supervised positions, V vocabulary.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import mlx.core as mx
import numpy as np
from mlx import optimizers
from mlx.utils import tree_flatten, tree_map, tree_unflatten
from mlx_lm.models.qwen2 import Model, ModelArgs
from mlx_lm.utils import quantize_model
from tokenizers import Tokenizer

from tools.demo_base.texts import Informing, Lesson, chat, lesson
from tools.demo_base.tokenizer import END_OF_TURN
from tools.demo_export.dice import Dice
from twin.files import write_json, write_with

GROUP_SIZE, BITS = 32, 4
CLIP = 1.0

EMBEDDING_STD = 0.1
"""Measured: with 0.02 early learning is about four times slower."""


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the model besides the texts."""

    seed: int = 20
    vocabulary: int = 1536
    hidden: int = 96
    layers: int = 2
    heads: int = 4
    kv_heads: int = 2
    intermediate: int = 192
    max_tokens: int = 2048
    rope_theta: float = 10_000.0
    steps: int = 4800
    rounded_steps: int = 1000
    rows: int = 16
    learning_rate: float = 3e-3
    tokenizer_conversations: int = 600
    informed: float = 0.5
    """Share of the lessons that have facts."""
    reminders: float = 0.5
    """Share of those with an owner in which it is asked for."""
    draws: int = 1
    """Of an operator's reply with facts, at most, until it uses one."""
    drills: int = 3
    """Batches beside nine in which only what is said from facts is taught: else a network so small never reads them."""

    @property
    def informing(self) -> Informing:
        """How facts come into the lessons."""
        return Informing(self.informed, self.reminders, self.draws)


def config(recipe: Recipe, tokenizer: Tokenizer) -> dict[str, Any]:
    """Return config.json without the quantisation."""
    return {
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "hidden_size": recipe.hidden,
        "num_hidden_layers": recipe.layers,
        "intermediate_size": recipe.intermediate,
        "num_attention_heads": recipe.heads,
        "num_key_value_heads": recipe.kv_heads,
        "rms_norm_eps": 1e-6,
        "vocab_size": tokenizer.get_vocab_size(),
        "max_position_embeddings": recipe.max_tokens,
        "rope_theta": recipe.rope_theta,
        "tie_word_embeddings": True,
        "hidden_act": "silu",
        "torch_dtype": "float32",
        "bos_token_id": None,
        "eos_token_id": tokenizer.token_to_id(END_OF_TURN),
    }


def initialised(settings: dict[str, Any], seed: int) -> Model:
    """Return the network with weights from the seed; biases are 0, norms 1."""
    model = Model(ModelArgs(**{key: settings[key] for key in settings if key in ModelArgs.__annotations__}))
    random = np.random.default_rng(seed)
    weights = {}
    for name, value in named(model):
        if value.ndim == 2:
            std = EMBEDDING_STD if "embed" in name else value.shape[1] ** -0.5
            weights[name] = mx.array(random.normal(0.0, std, value.shape).astype(np.float32))
        else:
            weights[name] = mx.zeros_like(value) if name.endswith("bias") else mx.ones_like(value)
    model.update(tree_unflatten(list(weights.items())))
    return model


def named(model: Model) -> list[tuple[str, mx.array]]:
    """Return the model's arrays by name, in the order of their names."""
    arrays: Any = tree_flatten(model.parameters())
    return sorted(arrays)


def encode(tokenizer: Tokenizer, made: Lesson) -> tuple[list[int], list[int]]:
    """Return the tokens of a lesson up to its last end mark, and the places of those that are taught."""
    tokens: list[int] = []
    taught: list[int] = []
    for at, message in enumerate(made.messages):
        tokens += tokenizer.encode(("\n" if at else "") + f"<|im_start|>{message['role']}\n").ids
        content = tokenizer.encode(message["content"] + END_OF_TURN).ids
        if at >= made.taught:
            taught += range(len(tokens), len(tokens) + len(content))
        tokens += content
    return tokens, taught


def drill(tokenizer: Tokenizer, dice: Dice, informing: Informing) -> tuple[list[int], list[int]]:
    """Return a lesson that uses facts, as `encode`, but taught is only what its last message says from them."""
    while True:
        made = lesson(dice, informing=informing) if dice.chance(0.5) else chat(dice, informing)
        tokens, _ = encode(tokenizer, made)
        said = tokenizer.encode(made.answer + END_OF_TURN)
        first, lower = len(tokens) - len(said.ids), made.answer.lower()
        spans = [(lower.find(word), len(word)) for word in made.known.words if word in lower]
        taught = [
            first + at
            for at, (start, end) in enumerate(said.offsets[:-1])
            if any(start < place + length and end > place for place, length in spans)
        ]
        if taught:
            return tokens, taught


def batches(tokenizer: Tokenizer, recipe: Recipe) -> Iterator[tuple[mx.array, mx.array, mx.array]]:
    """Yield (tokens_B_L, positions_N, targets_N) without end; positions index the flattened B × L.

    Half of the rows are answers, half chats. Every ninth batch holds answers with one to four pairs before the
    prompt, in fewer rows: the base must not fall apart where a few-shot prompt puts it. Drills come on top.
    """
    dice = Dice(f"{recipe.seed}:lessons")
    while True:
        made = [
            encode(tokenizer, make(dice, informing=recipe.informing.drawn(dice)))
            for make in (lesson, chat)
            for _ in range(4 * recipe.rows)
        ]
        made.sort(key=lambda pair: len(pair[0]))
        groups = [made[at : at + recipe.rows] for at in range(0, len(made), recipe.rows)]
        shots = dice.integer(1, 4)
        groups.append([encode(tokenizer, lesson(dice, shots)) for _ in range(max(1, recipe.rows // (shots + 1)))])
        groups += [[drill(tokenizer, dice, recipe.informing) for _ in range(recipe.rows)] for _ in range(recipe.drills)]
        for group in dice.shuffled(groups):
            yield _padded(group)


def _padded(group: Sequence[tuple[list[int], list[int]]]) -> tuple[mx.array, mx.array, mx.array]:
    width = max(len(tokens) for tokens, _ in group) - 1
    tokens_B_L = np.zeros((len(group), width), np.int32)
    positions: list[int] = []
    targets: list[int] = []
    for row, (tokens, taught) in enumerate(group):
        tokens_B_L[row, : len(tokens) - 1] = tokens[:-1]
        positions += [row * width + at - 1 for at in taught]
        targets += [tokens[at] for at in taught]
    return mx.array(tokens_B_L), mx.array(np.array(positions)), mx.array(np.array(targets))


def rounded(value: mx.array) -> mx.array:
    """Return a matrix as its 4-bit form will show it, with the gradient of the matrix itself."""
    if value.ndim != 2:
        return value
    packed = mx.quantize(mx.stop_gradient(value), group_size=GROUP_SIZE, bits=BITS)
    shown = mx.dequantize(*packed, group_size=GROUP_SIZE, bits=BITS)
    return value + mx.stop_gradient(shown - value)


@mx.custom_function
def cross_entropy(logits_N_V: mx.array, targets_N: mx.array) -> mx.array:
    """Return the mean cross-entropy in nats; its own gradient is cheaper on a CPU than the derived one."""
    chosen_N = mx.take_along_axis(logits_N_V, targets_N[:, None], axis=-1)[:, 0]
    return mx.mean(mx.logsumexp(logits_N_V, axis=-1) - chosen_N)


@cross_entropy.vjp
def _cross_entropy_gradient(
    primals: tuple[mx.array, mx.array], cotangent: mx.array, _: mx.array
) -> tuple[mx.array, mx.array]:
    logits_N_V, targets_N = primals
    gradient = mx.softmax(logits_N_V, axis=-1).at[mx.arange(targets_N.size), targets_N].add(-1.0)
    return gradient * (cotangent / targets_N.size), mx.zeros_like(targets_N)


def train(model: Model, tokenizer: Tokenizer, recipe: Recipe) -> None:
    """Train the network in place, with a line of progress on stderr."""
    warmup = max(1, recipe.steps // 50)
    schedule = optimizers.join_schedules(
        [
            optimizers.linear_schedule(0.0, recipe.learning_rate, warmup),
            optimizers.cosine_decay(recipe.learning_rate, recipe.steps - warmup, recipe.learning_rate * 0.01),
        ],
        [warmup],
    )
    optimizer = optimizers.AdamW(learning_rate=schedule, betas=[0.9, 0.98], weight_decay=0.01)
    weights = model.trainable_parameters()

    def loss(weights: Any, batch: tuple[mx.array, mx.array, mx.array], rounding: bool) -> Any:
        model.update(cast("dict[str, Any]", tree_map(rounded, weights)) if rounding else weights)
        tokens_B_L, positions_N, targets_N = batch
        hidden = model.model(tokens_B_L)
        kept = hidden.reshape(-1, hidden.shape[-1])[positions_N]
        return cross_entropy(model.model.embed_tokens.as_linear(kept), targets_N)

    slope: Any = mx.value_and_grad(loss)
    clip: Any = optimizers.clip_grad_norm
    started, seen = time.monotonic(), 0.0
    for step, batch in zip(range(recipe.steps), batches(tokenizer, recipe), strict=False):
        value, gradients = slope(weights, batch, step >= recipe.steps - recipe.rounded_steps)
        gradients, _ = clip(gradients, CLIP)
        weights = optimizer.apply_gradients(gradients, weights)
        mx.eval(value, weights, optimizer.state)
        seen = 0.98 * seen + 0.02 * float(value) if step else float(value)
        if step % 50 == 49:
            eta_s = (time.monotonic() - started) / (step + 1) * (recipe.steps - step - 1)
            print(f"\r{step + 1}/{recipe.steps} loss {seen:.3f}, {eta_s:.0f} s left ", end="", file=sys.stderr)
    model.update(weights)
    print(file=sys.stderr)


def save(model: Model, settings: dict[str, Any], folder: Path) -> None:
    """Round the network to 4 bits and write model.safetensors, config.json and generation_config.json."""
    rounded, settings = quantize_model(model, settings, group_size=GROUP_SIZE, bits=BITS)
    arrays = dict(named(cast(Model, rounded)))
    mx.eval(arrays)
    write_with(folder / "model.safetensors", lambda part: _save_arrays(part, arrays))
    write_json(folder / "config.json", settings)
    write_json(folder / "generation_config.json", {"do_sample": False, "eos_token_id": settings["eos_token_id"]})


def _save_arrays(part: Path, arrays: dict[str, mx.array]) -> None:
    with part.open("wb") as file:
        mx.save_safetensors(file, arrays, metadata={"format": "mlx"})
