"""Keys and values of several conversations: a prompt → what is kept of one that began alike, oldest forgotten first.

What is kept belongs to tokens that a causal model has already seen, so that a reply is the same with it and without.
A tag or facts in the system line change the prompt near its beginning: then a conversation's next turn shares no more
with its last one than with any other, and only what stands before the tag is saved.
"""

from collections.abc import Callable, Sequence

from mlx_lm.utils import common_prefix_len

from twin.reply import Kept

STEP = 256
"""Tokens for which an mlx-lm cache takes memory at a time."""


class Shelf:
    """What is kept, by the voice that saw it, at most `most_tokens` in all beside the prompt that is asked."""

    def __init__(self, fresh: Callable[[], Kept], most_tokens: int) -> None:
        self._fresh = fresh
        self._most_tokens = most_tokens
        self._kept: list[tuple[str, Kept]] = []

    @property
    def tokens(self) -> int:
        """How many tokens memory is taken for."""
        return sum(_room(kept) for _, kept in self._kept)

    def take(self, voice: str, prompt: Sequence[int]) -> Kept:
        """Return what to go on from: one's own, a copy of what another began with, or nothing."""
        found = self._nearest(voice, prompt)
        kept = self._fresh() if found is None else self._apart(*found)
        self._kept = [(name, one) for name, one in self._kept if one is not kept]
        while self._kept and self.tokens > self._most_tokens:
            self._kept.pop(0)
        self._kept.append((voice, kept))
        return kept

    def _nearest(self, voice: str, prompt: Sequence[int]) -> tuple[Kept, int] | None:
        """Return the latest of those that share most with the prompt, and how much; None if none shares anything."""
        best: tuple[Kept, int] | None = None
        for name, kept in self._kept:
            shared = int(common_prefix_len(kept.computed, list(prompt[:-1]))) if name == voice else 0
            if shared and (best is None or shared >= best[1]):
                best = (kept, shared)
        return best

    def _apart(self, kept: Kept, shared: int) -> Kept:
        # Going on cuts off what is not shared. That is another conversation's if it is more than the half.
        if 2 * shared >= len(kept.tokens):
            return kept
        return kept.copy(shared) or kept


def _room(kept: Kept) -> int:
    return -(-len(kept.tokens) // STEP) * STEP
