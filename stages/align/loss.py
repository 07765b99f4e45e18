"""The sigmoid loss of direct preference optimisation. Source: DPO, arXiv 2305.18290, equation 7. N pairs."""

from dataclasses import dataclass

import mlx.core as mx


@dataclass(frozen=True)
class PairNats:
    """Negative log-likelihood of each pair's replies, whole, their stop tokens included."""

    chosen_N: mx.array
    rejected_N: mx.array


def losses(policy: PairNats, reference: PairNats, beta: float) -> tuple[mx.array, mx.array]:
    """Return the loss of each pair and its reward margin, both (N,).

    A reply's reward is β times the log-likelihood that it gained over the reference. The reference is data: computed
    before training, and nothing is differentiated by it.
    """
    gained_N = (reference.chosen_N - policy.chosen_N) - (reference.rejected_N - policy.rejected_N)
    margins_N = beta * gained_N
    return mx.logaddexp(0.0, -margins_N), margins_N
