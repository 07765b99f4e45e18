"""How much of an adapter a fused model has kept: two models, probe prompts → nats per token and equal tokens.

Everything is measured against the twin, which is the base with its adapter: on the replies it gives by itself, how far
the base is from it, and how far the fused model. B probes, L inputs, P tokens of the replies, V vocabulary.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx_lm
import numpy as np
from mlx import nn
from mlx_lm.generate import generate_step

from twin.base import WEIGHTS
from twin.errors import ModelError
from twin.likelihood import Batch, collate
from twin.model import Adapter, Base, split_head
from twin.tokens import Example

REPLY_TOKENS = 24  # of each probe; what an adapter does shows from a reply's first token on


@dataclass(frozen=True)
class Distance:
    """How far a model is from the twin."""

    nats_per_token: float
    """Mean over the twin's tokens of KL(twin ‖ model)."""
    other_tokens: int
    """The twin's tokens in whose place another is the likeliest to the model."""
    same_replies: int
    """Probes without such a token: there the model's greedy reply is the twin's."""


@dataclass(frozen=True)
class Twin:
    """The twin's replies to the probes, and how likely it finds every token in their places."""

    batch: Batch
    lengths: tuple[int, ...]
    """Of the replies, in tokens."""
    log_probs_P_V: mx.array
    base: Distance

    def distance(self, model: nn.Module) -> Distance:
        """Measure another model."""
        return _distance(self.log_probs_P_V, _log_probs(model, self.batch), self.lengths)

    def lost(self, fused: Distance) -> float:
        """Return how much of the way from base to twin `fused` misses, 0 to 1 and more; NaN if that is unknown.

        The larger of two shares: of the distance in logits, which is the root of KL (KL grows with the square of a
        small difference), and of the tokens that come out otherwise, less one that may have been a tie.
        """
        nats = fused.nats_per_token / self.base.nats_per_token
        tokens = max(fused.other_tokens - 1, 0) / max(self.base.other_tokens, 1)
        return max(math.sqrt(nats) if math.isfinite(nats) else math.nan, tokens)


def measure(loaded: Base, prompts: Sequence[Sequence[int]]) -> Twin:
    """Let a base answer `prompts` with the adapter that it was loaded with, and measure it without."""
    stop = loaded.tokenizer.eos_token_ids
    replies = [_greedy(loaded.model, prompt, stop) for prompt in prompts]
    examples = [
        Example(str(number), (*prompt, *reply), len(prompt))
        for number, (prompt, reply) in enumerate(zip(prompts, replies, strict=True))
    ]
    lengths = tuple(len(reply) for reply in replies)
    batch = collate(examples, max(len(example.tokens) - 1 for example in examples), sum(lengths))
    log_probs_P_V = _log_probs(loaded.model, batch)
    Adapter(loaded.model).off()
    base = _distance(log_probs_P_V, _log_probs(loaded.model, batch), lengths)
    return Twin(batch, lengths, log_probs_P_V, base)


def open_streamed(folder: Path) -> nn.Module:
    """Load the model in `folder` by mlx-lm alone, so that it holds the weights of one block at a time.

    Raises:
        ModelError: mlx-lm cannot load it.
    """
    try:
        model: nn.Module = mlx_lm.load(str(folder), lazy=True)[0]
    except (ValueError, RuntimeError, KeyError, TypeError, OSError) as error:
        raise ModelError(
            f"mlx-lm cannot load the fused model: {error}. This architecture cannot be fused; use base and adapter."
        ) from error
    names = {id(module): path for path, module in model.named_modules()}
    for block in model.layers:
        kind: Any = type(block)
        block.__class__ = _streamed(kind, folder, f"{names[id(block)]}.")
    return model


def _streamed(kind: Any, folder: Path, prefix: str) -> Any:
    def unread() -> list[tuple[str, mx.array]]:
        read: Any = [mx.load(str(file)) for file in folder.glob(WEIGHTS)]
        arrays = ((name, array) for shard in read for name, array in shard.items())
        return [(name.removeprefix(prefix), array) for name, array in arrays if name.startswith(prefix)]

    class Streamed(kind):  # type: ignore[misc]
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            computed = super().__call__(*args, **kwargs)
            mx.eval(computed)
            # An array that was read stays in memory; one that was not takes its place.
            self.load_weights(unread())
            return computed

    return Streamed


def _greedy(model: nn.Module, prompt: Sequence[int], stop: set[int]) -> list[int]:
    """Return the tokens of a reply, the stop token included if it comes to that."""
    said: list[int] = []
    for number, _ in generate_step(mx.array(list(prompt)), model, max_tokens=REPLY_TOKENS):
        said.append(int(number))
        if said[-1] in stop:
            break
    return said


def _log_probs(model: nn.Module, batch: Batch) -> mx.array:
    split = split_head(model)
    states_B_L_D = split.body(batch.inputs_B_L)
    states_P_D = states_B_L_D.reshape(-1, states_B_L_D.shape[-1])[batch.positions_P]
    logits_P_V = split.head(states_P_D).astype(mx.float32)
    log_probs_P_V = logits_P_V - mx.logsumexp(logits_P_V, axis=-1, keepdims=True)
    mx.eval(log_probs_P_V)
    return log_probs_P_V


def _distance(twin_P_V: mx.array, model_P_V: mx.array, lengths: Sequence[int]) -> Distance:
    nats_P = np.array(_kl(twin_P_V, model_P_V), dtype=np.float64)
    same_P = np.array(mx.argmax(twin_P_V, axis=-1) == mx.argmax(model_P_V, axis=-1))
    replies = np.split(same_P, np.cumsum(lengths)[:-1])
    return Distance(float(nats_P.mean()), int((~same_P).sum()), sum(bool(reply.all()) for reply in replies))


def _kl(twin_P_V: mx.array, model_P_V: mx.array) -> mx.array:
    """Return KL(twin ‖ model) of each place, (P,).

    With d = ln(q / p), Σ p (e^d - 1 - d) is Σ -p d, since both p and q sum to 1; but no term is negative, and a small
    distance is not what rounding leaves of large terms.
    """
    p, q, d = mx.exp(twin_P_V), mx.exp(model_P_V), model_P_V - twin_P_V
    near = p * (mx.expm1(mx.minimum(d, 1)) - d)
    return mx.where(p > 0, mx.where(d > 1, q - p - p * d, near), q).sum(axis=-1)
