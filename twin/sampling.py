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

    def __init__(self, temperature: float, seeds: Sequence[int]) -> None:
        """Take a temperature above 0 and a seed per prompt, 0 to 2⁶⁴ − 1."""
        self._temperature = temperature
        self._keys = [mx.random.key(seed) for seed in seeds]

    def __call__(self, logits_B_V: mx.array, places: Sequence[int]) -> mx.array:
        """Draw a token for each row."""
        tokens = []
        for logits_V, place in zip(logits_B_V, places, strict=True):
            self._keys[place], now = mx.random.split(self._keys[place])
            tokens.append(mx.random.categorical(logits_V / self._temperature, key=now))
        return mx.stack(tokens)
