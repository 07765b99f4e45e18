"""Secrets and e-mail addresses become placeholders: text → the same text without them, and counts by kind.

A first scrubber, by pattern alone: names, street addresses and telephone numbers are not covered.
"""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

SHOWN_CHARACTERS: Final = 60  # of a value that an error message quotes


@dataclass(frozen=True)
class Pattern:
    """One kind of thing to remove; the expression runs only on texts with a hint of it, which are few."""

    kind: str
    hints: tuple[tuple[str, re.Pattern[str]], ...]
    """Plain text, and an expression that begins with it: both are searched fast, in the text in lower case."""
    regex: re.Pattern[str]
    """The named group `value` is what is replaced."""


def _pattern(kind: str, markers: str, regex: str, flags: int = 0, after: str = "") -> Pattern:
    hints = tuple((marker, re.compile(re.escape(marker) + after)) for marker in markers.split())
    return Pattern(kind, hints, re.compile(regex, flags))


# `_NAME=`, `": "`, `\\": \\"`; not before a reference (`$NAME`, `${NAME}`) or a placeholder (`<SECRET_1>`).
_NAMED: Final = r"""(?:[_-]\w{1,30})?\\?["']?\s{0,3}[:=]"""
_ASSIGNED: Final = _NAMED + r"""\s{0,3}\\?(?P<quote>["'])?(?!<|\{\{|\$(?-i:[{(A-Z_]))"""
# To the closing quote, or to white space without the punctuation before it.
_VALUE: Final = r"""(?P<value>(?(quote)[^"'\n]{4,4096}|[^\s"'`]{3,4095}[^\s"'`,;.)\]}]))"""

# Formats as their issuers write them. Order matters: a block or a whole key goes before the looser patterns that
# could cut into it. Each expression is linear in the text: a run of word characters is entered at its start only.
PATTERNS: Final = (
    _pattern(
        "private_key",
        "-----begin",
        r"(?P<value>-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
        r".*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\Z))",
        re.DOTALL,
    ),
    _pattern("jwt", "eyj", r"(?<![\w-])(?P<value>eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?)"),
    _pattern(
        "supabase_key",
        "sb_secret_ sb_publishable_ sbp_",
        r"(?<![A-Za-z0-9])(?P<value>sb_(?:secret|publishable)_[\w-]{8,}|sbp_\w{16,})",
    ),
    _pattern(
        "github_token",
        "ghp_ gho_ ghu_ ghs_ ghr_ github_pat_",
        r"(?<![A-Za-z0-9])(?P<value>gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{16,})",
    ),
    _pattern("sk_key", "sk- sk_", r"(?<![\w-])(?P<value>sk[-_](?=[\w-]{0,200}\d)[\w-]{16,})"),
    _pattern("hugging_face_token", "hf_", r"(?<![A-Za-z0-9])(?P<value>hf_[A-Za-z0-9]{16,})"),
    _pattern("groq_key", "gsk_", r"(?<![A-Za-z0-9])(?P<value>gsk_[A-Za-z0-9]{16,})"),
    _pattern("aws_key_id", "akia asia", r"(?<![A-Za-z0-9])(?P<value>A(?:KI|SI)A[A-Z0-9]{16})(?![A-Za-z0-9])"),
    # A port, `host:5432/`, is no password; a password may hold @ and /, so the last @ of the word ends it.
    _pattern(
        "url_password",
        "://",
        r"""(?<=://)(?P<value>[^\s/:@"'<>`]{0,256}:(?!\d{1,5}(?:[/?#]|$))[^\s"'<>`]{1,256})@""",
        after="[^\\s/:@]{0,256}:",
    ),
    _pattern(
        "bearer_token", "bearer", r"\bbearer\s+(?P<value>(?=[\w.~+/-]{0,200}\d)[\w.~+/-]{16,}={0,2})", re.IGNORECASE
    ),
    _pattern("email", "@", r"(?<![\w.%+-])(?!git@)(?P<value>[\w.%+-]+@(?:[\w-]+\.)+[^\W\d_]{2,})", after=r"[\w-]+\."),
    _pattern(
        "password",
        "password passwd passphrase pwd",
        r"(?:password|passwd|passphrase|pwd)"
        + _ASSIGNED
        + r"(?!(?:None|null|nil|true|false|str|string|undefined)\b)"
        + _VALUE,
        re.IGNORECASE,
        after=_NAMED,
    ),
    # `token = tokenizer` is code, not a secret: here the value must hold a digit.
    _pattern(
        "named_secret",
        "secret token api_key api-key apikey access_key access-key private_key role_key",
        r"(?:secret|token|api[_-]?key|access[_-]key|private_key|role_key)"
        + _ASSIGNED
        + r"""(?=[^\s"']{0,200}\d)(?=[^\s"'`]{8})"""
        + _VALUE,
        re.IGNORECASE,
        after=_NAMED,
    ),
)
KINDS: Final = tuple(pattern.kind for pattern in PATTERNS)
_HINTS: Final = tuple((*hint, place) for place, pattern in enumerate(PATTERNS) for hint in pattern.hints)


class Scrubber:
    """Replaces secrets by placeholders that stay the same as long as the scrubber lives: one conversation.

    The first address is `<EMAIL_1>` wherever it stands, the second `<EMAIL_2>`; every other kind is `<SECRET_1>`…
    """

    def __init__(self, counts: Counter[str]) -> None:
        """`counts` gains one for each replacement, by kind."""
        self._counts = counts
        self._placeholders: dict[tuple[str, str], str] = {}
        self._numbers: Counter[str] = Counter()

    def scrub(self, text: str) -> str:
        """Return `text` without secrets and e-mail addresses."""
        lowered = text.lower()
        for place in sorted({place for marker, hint, place in _HINTS if marker in lowered and hint.search(lowered)}):
            text = PATTERNS[place].regex.sub(self._replacement(PATTERNS[place].kind), text)
        return text

    def _replacement(self, kind: str) -> Callable[[re.Match[str]], str]:
        label = "EMAIL" if kind == "email" else "SECRET"

        def replace(match: re.Match[str]) -> str:
            self._counts[kind] += 1
            start, end = match.start("value") - match.start(), match.end("value") - match.start()
            whole = match.group()
            return whole[:start] + self._placeholder(label, match.group("value")) + whole[end:]

        return replace

    def _placeholder(self, label: str, value: str) -> str:
        if (label, value) not in self._placeholders:
            self._numbers[label] += 1
            self._placeholders[label, value] = f"<{label}_{self._numbers[label]}>"
        return self._placeholders[label, value]


def shown(value: object) -> str:
    """Quote a value for an error message: scrubbed, on one line, at most 60 characters of it."""
    text = Scrubber(Counter()).scrub(str(value))
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    cut = text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"
    return '"' + "".join(letter if letter.isprintable() else " " for letter in cut) + '"'
