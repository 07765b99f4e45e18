"""Secrets that only the words around them give away: `password=…`, `Authorization: …`, `user:password@host`.

Code that names a secret without holding one (`token = tokenizer`, `password: str`, `os.environ["TOKEN"]`) stays.
"""

import re
from typing import Final

from twin.scrub.pattern import Pattern, with_digit

_ANY_CASE: Final = re.ASCII | re.IGNORECASE
# `_NAME=`, `": "`, `\\": \\"`.
_NAMED: Final = r"""(?:[_-]\w{1,30})?\\?["']?\s{0,3}[:=]"""
# Not before a reference (`$NAME`, `${NAME}`, `{{name}}`) or a placeholder (`<SECRET_1>`, `<your key>`).
_ASSIGNED: Final = _NAMED + r"""[:=>]?\s{0,3}\\?(?P<quote>["'])?(?!<|\{\{|\$(?-i:[{(A-Z_]))"""
# To the closing quote, or to white space, `;name=` or `&name=` without the punctuation before it.
_FREE: Final = r"""(?:[^\s"'`;&]|[;&](?![\w .-]{1,40}=))"""
_VALUE: Final = rf"""(?P<value>(?(quote)[^"'\n]{{4,}}|{_FREE}{{3,}}[^\s"'`,;.)\]}}&]))"""
_PASSWORD: Final = "(?:password|passwort|passwd|passphrase|pwd|(?<=[A-Za-z]_)pass)"
_SECRET: Final = "(?:secret|token|api[_-]?key|access[_-]?key|auth[_-]?key|private_key|role_key|service_key)"
# What follows the name says that the value is no secret: where it lies, how many there are, when it ends.
_ABOUT: Final = r"(?![_-](?:file|path|dir|url|uri|type|count|name|at|expir\w*|ttl|limit|budget|length|len|version)\b)"
_WORDS: Final = frozenset(
    (
        "none",
        "null",
        "nil",
        "true",
        "false",
        "str",
        "string",
        "bytes",
        "text",
        "undefined",
        "required",
        "optional",
        "secretstr",
        "input",
        "redacted",
        "hidden",
    )
)
# A dotted name, a call, an index, a type with parameters.
_CODE: Final = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+\W*|[A-Za-z_][\w.]*[(\[].*", re.DOTALL)
_TALK: Final = re.compile(r"[A-Za-z _-]*(?:passw|secret|token)[A-Za-z _-]*", re.IGNORECASE)
_NUMBER_OR_DATE: Final = re.compile(r"[\d.,_%eE+-]+|\d{4}-\d\d-\d\d\S*")
_COUNT: Final = re.compile(r"\d")


def password(value: str) -> int:
    """Accept what is not plainly code or a word about passwords."""
    if value.strip().lower() in _WORDS or _TALK.fullmatch(value):
        return 0
    code = _CODE.fullmatch(value) and len(_COUNT.findall(value)) < 3
    return 0 if code else len(value)


def secret(value: str) -> int:
    """Accept a password that holds a digit and is longer than seven, but no number and no date."""
    long = len(value.split(maxsplit=1)[0]) > 7 and not value.startswith(("[", "{", "("))
    return password(value) if long and with_digit(value) and not _NUMBER_OR_DATE.fullmatch(value) else 0


def sk_key(value: str) -> int:
    """Accept a known middle part, or an unbroken run of letters and digits: `sk-learn-0-24-notes` is neither."""
    run = max(value[3:].replace("_", "-").split("-"), key=len)
    known = re.match(r"sk[-_](?:ant|proj|or|svcacct|admin|live|test|lf|None)[-_]", value)
    return with_digit(value) if known or (len(run) > 15 and with_digit(run)) else 0


def spoken(value: str) -> int:
    """Accept a password told in a sentence, without the full stop; `is 8 characters` tells none."""
    length = len(value.rstrip(".,;:)\"'`"))
    return length if length > 4 and with_digit(value) and not re.match(r"\d+-?[a-z]+$", value) else 0


def _hint(name: str) -> str:
    return rf"""(?i:{name})(?:[_-]\w+)?\\?["']?\s{{0,3}}[:=]"""


# A block or a whole key goes before the looser patterns that could cut into it.
BLOCKS: Final = (
    Pattern(
        "private_key",
        ("private key", "putty-user-key-file"),
        "PRIVATE KEY|PuTTY-User-Key-File-",
        r"(?P<value>-{2,5} ?BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)? ?-{2,5}"
        r".*?(?:-{2,5} ?END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)? ?-{2,5}|\Z)"
        r"|PuTTY-User-Key-File-\d: .*?(?:Private-MAC: ?[0-9a-f]{16,}|\Z))",
        re.ASCII | re.DOTALL,
    ),
    # A port, `host:5432/`, is no password; a password may hold @ and /, so the last @ of the word ends it.
    Pattern(
        "url_password",
        ("://",),
        r"""://[^\s/:@"'<>`]*:[^\s"'<>`]+@""",
        r"""(?<=://)(?P<value>[^\s/:@"'<>`]{0,256}:(?!\d{1,5}(?:[/?#]|$))[^\s"'<>`]{1,256})@""",
    ),
)
TOKENS: Final = (
    # A Mapbox token is a JWT's first two parts behind its own prefix.
    Pattern("mapbox_token", ("k.eyj",), r"[ps]k\.eyJ[\w-]{8}", r"(?<![\w-])(?P<value>[ps]k\.eyJ[\w-]{8,}\.[\w-]{8,})"),
    Pattern(
        "jwt", ("eyj",), r"eyJ[\w-]{8,}\.[\w-]{8}", r"(?<![\w-])(?P<value>eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*){0,3})"
    ),
    Pattern(
        "supabase_key",
        ("sb_secret_", "sb_publishable_", "sbp_"),
        r"sb_(?:secret|publishable)_[\w-]{8}|sbp_\w{16}",
        r"(?<![A-Za-z0-9])(?P<value>sb_(?:secret|publishable)_[\w-]{8,}|sbp_\w{16,})",
    ),
    Pattern("sk_key", ("sk-", "sk_"), r"sk[-_][\w-]{16}", r"(?<![\w-])(?P<value>sk[-_][\w-]{16,})", accept=sk_key),
    # An OpenAI key with letters before its prefix; the middle is base64 of their name.
    Pattern(
        "sk_key",
        ("t3blbkfj",),
        "T3BlbkFJ[A-Za-z0-9]{16}",
        r"(?<![\w-])(?P<value>[\w-]{20,400}T3BlbkFJ[A-Za-z0-9]{16,})",
    ),
)
AFTER_WORDS: Final = (
    Pattern(
        "bearer_token",
        ("bearer",),
        r"(?i:bearer)\s+[\w.~+/-]{16}",
        r"\bbearer\s+(?P<value>[\w.~+/-]{16,}={0,2})",
        _ANY_CASE,
        accept=with_digit,
    ),
    Pattern(
        "basic_auth",
        ("authorization",),
        r"(?i:authorization)\W{1,8}(?i:basic)\s",
        r"\bauthorization\W{1,8}basic\s{1,3}(?P<value>[\w+/-]{8,}={0,2})",
        _ANY_CASE,
    ),
    Pattern(
        "basic_auth",
        ("curl",),
        r"(?i:curl)\s[^\n|;]*(?i:-u|--user)[ =]",
        r"""\bcurl\s[^\n|;]{0,300}?\s?(?:-u|--user)[ =]["']?(?P<value>[^\s:"'$<]+:[^\s"'$<]{2,})""",
        _ANY_CASE,
    ),
    Pattern(
        "password",
        ("pass", "pwd"),
        _hint("passwor[dt]|passwd|passphrase|pwd|_pass"),
        _PASSWORD + _ASSIGNED + _VALUE,
        _ANY_CASE,
        accept=password,
    ),
    Pattern(
        "password",
        ("pass",),
        r"(?i:passwor[dt]|passphrase)\s+(?i:is|ist|was)\s",
        r"""\b(?:password|passwort|passphrase)\s{1,3}(?:is|ist|was)\s{1,3}["'`]?(?P<value>[^\s"'`<>]{5,})""",
        _ANY_CASE,
        accept=spoken,
    ),
    # `token = tokenizer` is code, not a secret: here the value must hold a digit.
    Pattern(
        "named_secret",
        ("secret", "token", "key"),
        _hint(_SECRET),
        _SECRET + _ABOUT + _ASSIGNED + _VALUE,
        _ANY_CASE,
        accept=secret,
    ),
    Pattern(
        "named_secret",
        ("</",),
        r"(?i:password|passwd|secret|token|key)>[^<\s]{4}",
        r"(?:password|passwd|secret|token|api_?key)>(?P<value>[^<\s]{4,})</",
        _ANY_CASE,
    ),
)
