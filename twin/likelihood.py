"""How likely a model finds given replies: examples → negative log-likelihood in nats.

One scorer for training, validation and evaluation: float32 log-softmax over the supervised tokens, which are
the reply's content and its stop token. Padding is never counted. B rows, L inputs, D states, P positions, V
vocabulary.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import numpy as np

from twin.head import head_nats, learnable_head_nats
from twin.model import Split
from twin.tokens import Example

BATCH_TOKENS = 1024  # of a scoring batch, padding included; larger batches gain nothing on a CPU
BATCH_ROWS = 16


@dataclass(frozen=True)
class Likelihood:
    """How likely one reply is."""

    total_nats: float
    tokens: int


@dataclass(frozen=True)
class Batch:
    """Examples as arrays: inputs, and for each supervised target its place among the B·L inputs."""

    inputs_B_L: mx.array
    positions_P: mx.array
    targets_P: mx.array
    weights_P: mx.array
    """1 for a supervised token, 0 for padding."""


def collate(examples: Sequence[Example], length: int, positions: int) -> Batch:
    """Return `examples` padded to `length` inputs and `positions` supervised targets.

    Padding is on the right: under a causal mask nothing before it can see it.
    """
    inputs = np.zeros((len(examples), length), dtype=np.int32)
    places, targets = np.zeros(positions, dtype=np.int32), np.zeros(positions, dtype=np.int32)
    filled = 0
    for row, example in enumerate(examples):
        inputs[row, : len(example.tokens) - 1] = example.tokens[:-1]
        taken = slice(filled, filled + example.supervised)
        places[taken] = row * length + np.arange(example.prompt_tokens - 1, len(example.tokens) - 1)
        targets[taken] = example.tokens[example.prompt_tokens :]
        filled += example.supervised
    weights = (np.arange(positions) < filled).astype(np.float32)
    return Batch(mx.array(inputs), mx.array(places), mx.array(targets), mx.array(weights))


def token_nats(model: Split, batch: Batch, cache: Any = None, *, learn: bool = False) -> mx.array:
    """Return the negative log-likelihood of each target in nats, (P,) float32, 0 where padded.

    Args:
        cache: keys and values of what stands before the inputs, or their stand-in.
        learn: make the result differentiable; the value is the same.
    """
    states_B_L_D = model.body(batch.inputs_B_L) if cache is None else model.body(batch.inputs_B_L, cache=cache)
    states_P_D = states_B_L_D.reshape(-1, states_B_L_D.shape[-1])[batch.positions_P]
    nats = learnable_head_nats if learn else head_nats
    return nats(model.head, states_P_D, batch.targets_P) * batch.weights_P


def score(model: Split, examples: Sequence[Example]) -> list[Likelihood]:
    """Return the likelihood of each example's reply, in the order given; dropout must be off."""
    scored: list[Likelihood | None] = [None] * len(examples)
    for rows in _by_length(examples):
        chosen = [examples[row] for row in rows]
        supervised = [example.supervised for example in chosen]
        batch = collate(chosen, max(len(example.tokens) - 1 for example in chosen), sum(supervised))
        nats_P = np.array(token_nats(model, batch), dtype=np.float64)
        for row, nats in zip(rows, np.split(nats_P, np.cumsum(supervised)[:-1]), strict=True):
            scored[row] = Likelihood(float(nats.sum()), len(nats))
    return [likelihood for likelihood in scored if likelihood is not None]


def nats_per_token(likelihoods: Sequence[Likelihood]) -> float:
    """Return the token-weighted mean, NaN if any reply's is."""
    return sum(one.total_nats for one in likelihoods) / sum(one.tokens for one in likelihoods)


def _by_length(examples: Sequence[Example]) -> Iterator[list[int]]:
    """Yield row numbers in batches of similar length."""
    batch: list[int] = []
    for row in sorted(range(len(examples)), key=lambda row: (len(examples[row].tokens), row)):
        if batch and (len(batch) == BATCH_ROWS or (len(batch) + 1) * len(examples[row].tokens) > BATCH_TOKENS):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch
