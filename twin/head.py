"""The vocabulary projection and its cross-entropy, a chunk of positions at a time: states → nats.

The projection is 152,000 wide: its logits, not the layers, set the peak of a small model's training. Autograd holds
four arrays of their size, and MLX evaluates breadth-first, so that chunks alone would all live at once. Here each
chunk waits for the one before, and its gradient, softmax minus one-hot, is taken while its logits are there.
P positions, D states, V vocabulary. Source of the chain: MLX's `mx.depends`.
"""

from collections.abc import Callable, Iterator
from typing import cast

import mlx.core as mx

Head = Callable[[mx.array], mx.array]

# Logits of a chunk: 64 positions at a vocabulary of 152,000, 40 MB in float32. Fewer read the weights more often.
CHUNK_LOGITS = 10_000_000


def head_nats(head: Head, states_P_D: mx.array, targets_P: mx.array) -> mx.array:
    """Return the negative log-likelihood of each target in nats, (P,) float32; not for differentiation."""
    done: list[list[mx.array]] = []
    for states, targets in _chunks(head, states_P_D, targets_P, done):
        logits = head(states).astype(mx.float32)
        done.append([mx.logsumexp(logits, axis=-1) - _at(logits, targets)[:, 0]])
    return mx.concatenate([nats for (nats,) in done])


def learnable_head_nats(head: Head, states_P_D: mx.array, targets_P: mx.array) -> mx.array:
    """Return the same as `head_nats`, differentiable by the states; the head itself is frozen."""

    @mx.custom_function
    def nats_and_slopes(states_P_D: mx.array, targets_P: mx.array) -> tuple[mx.array, mx.array]:
        done: list[list[mx.array]] = []
        for states, targets in _chunks(head, states_P_D, targets_P, done):
            done.append(_chunk(head, states, targets))
        return mx.concatenate([nats for nats, _ in done]), mx.concatenate([slopes for _, slopes in done])

    @nats_and_slopes.vjp
    def pull_back(
        primals: tuple[mx.array, mx.array], cotangents: tuple[mx.array, mx.array], outputs: tuple[mx.array, mx.array]
    ) -> tuple[mx.array, mx.array]:
        # Each position's nats depend on its own state only.
        states_P_D, targets_P = primals
        return (cotangents[0][:, None] * outputs[1]).astype(states_P_D.dtype), mx.zeros_like(targets_P)

    nats_P, _ = cast(tuple[mx.array, mx.array], nats_and_slopes(states_P_D, targets_P))
    return nats_P


def _chunk(head: Head, states: mx.array, targets: mx.array) -> list[mx.array]:
    """Return nats and their slopes by the states, while no more than two arrays of logits are there."""
    logits = head(states)
    wide = logits.astype(mx.float32)
    total = mx.logsumexp(wide, axis=-1, keepdims=True)
    nats = (total - _at(wide, targets))[:, 0]
    shares = mx.exp(wide - total)
    slopes = mx.put_along_axis(shares, targets[:, None], _at(shares, targets) - 1, axis=-1)
    # The head's own output is not needed for its derivative, and what is not needed is not computed again.
    _, (by_states,) = mx.vjp(head, [states], [slopes.astype(logits.dtype)])
    return [nats, by_states]


def _at(array_P_V: mx.array, targets_P: mx.array) -> mx.array:
    return mx.take_along_axis(array_P_V, targets_P[:, None], axis=-1)


def _chunks(
    head: Head, states_P_D: mx.array, targets_P: mx.array, done: list[list[mx.array]]
) -> Iterator[tuple[mx.array, mx.array]]:
    """Yield chunks of states and targets, each to be computed after what `done` holds by then."""
    size = max(1, CHUNK_LOGITS // head(states_P_D[:1]).shape[-1])
    for start in range(0, len(states_P_D), size):
        states, targets = states_P_D[start : start + size], targets_P[start : start + size]
        yield (mx.depends([states], done[-1])[0] if done else states), targets
