"""States of a language model: MLX model folder → the encoder of `states`.

The mean over a text's tokens of the last hidden states, after the final norm. A text is read raw, without a chat
template: what is wanted is where it stands, not what the model would answer.
"""

from collections.abc import Sequence
from pathlib import Path

import mlx.core as mx

from twin.embedder.batches import Batch, Vector
from twin.embedder.bert import batch_tokens, pool
from twin.errors import ModelError
from twin.model import load_base, split_head
from twin.text import neutralise

PROBE = "a"


class States:
    """The encoder of `states`."""

    # A first token that the tokenizer writes before every text says nothing, with a state larger than all others.
    pools_frame, normalised = False, False

    def __init__(self, folder: Path, tokens_max: int) -> None:
        """Load the model.

        Raises:
            ModelError: mlx-lm cannot load it, its states cannot be told from its logits, or it reads fewer tokens.
        """
        base = load_base(folder)
        if base.context_tokens is not None and tokens_max > base.context_tokens:
            raise ModelError(
                f"{folder} reads at most {base.context_tokens} tokens and augment.embedder.tokens_max is {tokens_max}. "
                "Lower it."
            )
        self._body = split_head(base.model).body
        if self._body is base.model:
            raise ModelError(f"{folder}: its states cannot be told from its logits. Name another model.")
        self._tokenizer, self.tokens_max = base.tokenizer, tokens_max
        self.batch_tokens = batch_tokens(128)  # a live turn is read alone, at the price of a batch
        self.frame = self._frame()
        self.width = int(self._body(mx.array([[0]])).shape[-1])

    def _frame(self) -> tuple[list[int], list[int]]:
        framed, plain = list(self._tokenizer.encode(PROBE)), self.tokens(PROBE)
        start = next(at for at in range(len(framed)) if framed[at : at + len(plain)] == plain)
        return framed[:start], framed[start + len(plain) :]

    def tokens(self, text: str) -> Sequence[int]:
        """Return the tokens of a text; strings that command the model are broken up, and stay text."""
        return list(self._tokenizer.encode(neutralise(text), add_special_tokens=False))

    def means(self, batch: Batch) -> Vector:
        """Return the mean state of each row, shape (B, D)."""
        # Causal: what follows a text, padding, cannot be seen from it.
        return pool(self._body(mx.array(batch.tokens_B_L)), batch)
