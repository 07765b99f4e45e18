"""How the next token is chosen: logits → tokens, the likeliest or one drawn by chance that a seed fixes."""

from collections.abc import Callable, Sequence

import mlx.core as mx

Choose = Callable[[mx.array, Sequence[int]], mx.array]
"""(B, V) logits, up to a constant per row, and which prompt each row answers → (B,) tokens."""


def likeliest(logits_B_V: mx.array, places: Sequence[int]) -> mx.array:
    """Greedy decoding."""
    return mx.argmax(logits_B_V, axis=-1)


class Drawn:
    """Draws from softmax(logits / temperature); each prompt has its own chance, whatever is answered beside it."""

    def __init__(self, temperature: float, seeds: Sequence[int], top_p: float = 1.0) -> None:
        """Take a temperature above 0 and a seed per prompt, 0 to 2⁶⁴ − 1.

        Below 1, `top_p` leaves the fewest tokens that are together so likely (Holtzman et al., arXiv:1904.09751).
        """
        self._temperature = temperature
        self._top_p = top_p
        self._keys = [mx.random.key(seed) for seed in seeds]

    def __call__(self, logits_B_V: mx.array, places: Sequence[int]) -> mx.array:
        """Draw a token for each row."""
        tokens = []
        for logits_V, place in zip(logits_B_V, places, strict=True):
            self._keys[place], now = mx.random.split(self._keys[place])
            cooled_V = logits_V / self._temperature
            kept_V = cooled_V if self._top_p >= 1 else _nucleus(cooled_V, self._top_p)
            tokens.append(mx.random.categorical(kept_V, key=now))
        return mx.stack(tokens)


def _nucleus(logits_V: mx.array, top_p: float) -> mx.array:
    order_V = mx.argsort(-logits_V)
    sure_V = mx.softmax(logits_V[order_V], precise=True)
    # What stands before a token decides, so that the likeliest always stays.
    within_V = mx.cumsum(sure_V) - sure_V < top_p
    return mx.put_along_axis(
        mx.full(logits_V.shape, -mx.inf, dtype=logits_V.dtype),
        order_V,
        mx.where(within_V, logits_V[order_V], -mx.inf),
        axis=0,
    )
