"""What a text consists of, in any script: text → words, sentences, scripts."""

import functools
import re
import unicodedata

MARKS = "".join(chr(code) for code in range(0x300, 0xFB1F) if unicodedata.category(chr(code)) in ("Mn", "Mc"))
"""Vowel signs and accents that stand behind their letter."""
KANA_HAN = r"\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
LETTER = rf"[^\W_{KANA_HAN}][{MARKS}]*"
WORD = re.compile(
    rf"[{KANA_HAN}]"  # written without spaces: a character is a word
    rf"|(?:{LETTER})+(?:['’.\-\u200c\u200d](?:{LETTER})+)*"
)
JOINERS = "\u200c\u200d"
UNJOINED = frozenset(
    {"", "LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "GEORGIAN", "CJK", "HIRAGANA", "KATAKANA", "HANGUL"}
)
"""Scripts that need no joiners; Arabic and those of India do (Unicode Standard Annex 31, section 2.3)."""
DIRECTIONS = "\u200e\u200f\u061c"

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
    return _named(letter) if letter.isalpha() else ""


def _named(letter: str) -> str:
    return unicodedata.name(letter, "").split(" ")[0]


def scripts(text: str) -> frozenset[str]:
    """Return the scripts that the letters of `text` belong to."""
    return frozenset(script(letter) for letter in text if letter.isalpha())


def invisible(text: str) -> bool:
    """Tell whether `text` holds control or format characters that do nothing for its script or its emoji."""
    from_right = any(unicodedata.bidirectional(letter) in ("R", "AL") for letter in text)
    for before, letter in zip(" " + text, text, strict=False):
        category = unicodedata.category(letter)
        if category == "Cf" and not (_joins(before, letter) or (from_right and letter in DIRECTIONS)):
            return True
        if category == "Cc" and letter not in "\n\r\t":
            return True
    return False


def _joins(before: str, letter: str) -> bool:
    category = unicodedata.category(before)
    if letter == "\u200d" and category in ("So", "Sk", "Mn"):
        return True
    return letter in JOINERS and category[0] in "LM" and _named(before) not in UNJOINED


def emoji(text: str) -> int:
    """Return the number of symbols such as emoji."""
    return sum(unicodedata.category(letter) == "So" for letter in text)
