"""What a text consists of, in any script: text → words, sentences, scripts."""

import functools
import re
import unicodedata

WORD = re.compile(
    r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]"  # kana and Han are written without spaces: a character is a word
    r"|[^\W_\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+(?:['’.\-][^\W_\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+)*"
)
SENTENCE_END = re.compile(r"(?<=[.!?…])\s+|(?<=[。！？])|\n+")
QUOTES = str.maketrans("‘’‚“”„", "'''\"\"\"")


def words(text: str) -> list[str]:
    """Return the words in lower case with plain apostrophes; marks and emoji are none."""
    return [match.translate(QUOTES).casefold() for match in WORD.findall(text)]


def sentences(text: str) -> list[str]:
    """Return the sentences and lines that hold at least one word."""
    return [part for part in SENTENCE_END.split(text) if WORD.search(part)]


@functools.cache
def script(letter: str) -> str:
    """Return the first word of the letter's Unicode name, such as LATIN or CYRILLIC; "" for what is no letter."""
    return unicodedata.name(letter, "").split(" ")[0] if letter.isalpha() else ""


def scripts(text: str) -> frozenset[str]:
    """Return the scripts that the letters of `text` belong to."""
    return frozenset(script(letter) for letter in text if letter.isalpha())


def invisible(text: str) -> bool:
    """Tell whether `text` holds format characters; a zero-width joiner between emoji is none."""
    for before, letter in zip(" " + text, text, strict=False):
        category = unicodedata.category(letter)
        if category == "Cf" and not (letter == "\u200d" and unicodedata.category(before) in ("So", "Sk", "Mn")):
            return True
        if category == "Cc" and letter not in "\n\r\t":
            return True
    return False
