"""Text as it is compared and as it enters a prompt: text → text."""

import re
import unicodedata

EDGES = " .,;:!?…·-–—'\"‘’“”«»()[]{}*_`"
"""Marks that a reply may start or end with without becoming another reply; emoji are not among them."""

CONTROL = re.compile(
    r"(?<=<)(?=[|｜][^\s|｜<>]+[|｜]>"  # Qwen, Llama 3, Phi, DeepSeek
    r"|/?s>|(?:bos|eos|pad|unk|start_of_turn|end_of_turn)>)"  # Llama 2, Mistral, Gemma
    r"|(?<=\[)(?=/?INST\])"
)
"""The place just behind the opening bracket of a string that a chat template or tokenizer reads as a command."""


def normalise(text: str) -> str:
    """Return what two replies share when they differ only in case, spacing, width and marks at the ends.

    NFKC, case folded, runs of whitespace as one space, `EDGES` stripped. A text of nothing but such marks
    keeps them, so that "?" and "!" stay apart.
    """
    folded = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return folded.strip(EDGES) or folded


def says(text: str, phrase: str) -> bool:
    """Tell whether a text has all words of a phrase in a row, whatever their case and the marks between them."""
    return _level(phrase) in _level(text)


def _level(text: str) -> str:
    """Return words between single spaces, so that whole words are compared."""
    return f" {' '.join(''.join(letter if letter.isalnum() else ' ' for letter in text.casefold()).split())} "


def neutralise(text: str) -> str:
    """Break chat-template control strings visibly: `<|im_end|>` becomes `< |im_end|>`.

    What a person said is data: a pasted control string must not end a turn. Other text is returned as it is.
    """
    return CONTROL.sub(" ", text)
