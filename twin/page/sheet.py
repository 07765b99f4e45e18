"""A page: a template and values → HTML whose only style and script are named by hash in its security policy.

What a person or a model wrote is data: every value is escaped, and no character of it can turn the line around.
"""

import hashlib
from base64 import b64encode
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from markupsafe import Markup

from twin.progress import size_text

if TYPE_CHECKING:
    from jinja2 import Environment

HERE: Final = Path(__file__).parent
STYLE: Final = HERE / "style.css"
SCRIPT: Final = HERE / "script.js"
TURNING: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that change the direction of what follows them (UAX 9)."""


def sheet(template: Path, **values: object) -> str:
    """Return the page that a template makes of values."""
    style, script = (path.read_text(encoding="utf-8") for path in (STYLE, SCRIPT))
    shared = {"style": Markup(style), "script": Markup(script), "policy": policy(style, script)}
    return piece(template, **shared, **values) + "\n"


def piece(template: Path, **values: object) -> str:
    """Return the part of a page that a template makes of values."""
    return _environment(template.parent).get_template(template.name).render(**values)


def policy(style: str, script: str) -> str:
    """Return the security policy of a page with this style and script: nothing else acts, nothing is loaded."""
    return (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; img-src data:; base-uri 'none'; "
        "form-action 'none'; require-trusted-types-for 'script'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@cache
def _environment(folder: Path) -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader([folder, HERE]), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    made.filters |= {
        "said": said, "number": number, "signed": signed, "count": count, "name": name, "size": size_text,
        "ticked": ticked, "probability": probability,
    }  # fmt: skip
    return made


def said(text: str) -> str:
    """Return what was said with its lines, and a mark for characters that a browser would act on."""
    return "".join("\N{REPLACEMENT CHARACTER}" if _acts(one) else one for one in text)


def _acts(one: str) -> bool:
    code = ord(one)
    return one in TURNING or (code < 32 and one not in "\n\t") or 0x7F <= code < 0xA0 or 0xD800 <= code < 0xE000


def ticked(text: str) -> Markup:
    """Return a sentence of ours whose commands stand in `ticks`, with these as code."""
    parts = text.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(_command(one)) if place % 2 else one for place, one in enumerate(parts)
    )


def _command(text: str) -> Markup:
    """Return a command whose options are not broken behind their hyphen."""
    option = Markup('<span class="option">{}</span>').format
    return Markup(" ").join(option(word) if word.startswith("-") else word for word in text.split(" "))


def number(value: Any, decimals: int = 3) -> str:
    """Return a number as it is printed: grouped digits, a true minus, as many decimals as its column; "" for None."""
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return count(value) if isinstance(value, int) else f"{round(value, decimals) + 0.0:,.{decimals}f}".replace("-", "−")


def probability(value: float) -> str:
    """Return a p-value with four decimals; one that would read 0 as below the least of them."""
    return f"{value:.4f}" if value >= 0.00005 else "< 0.0001"


def signed(value: float, decimals: int = 3) -> str:
    """Return a difference with its sign."""
    text = f"{round(value, decimals) + 0.0:+,.{decimals}f}"  # + 0.0 takes the sign off a zero
    return text.replace("-", "−")


def count(value: int) -> str:
    """Return a count with its digits grouped."""
    return f"{value:,}".replace("-", "−")


def name(key: str) -> str:
    """Return the name of a measure, stage or reason as words."""
    return key.replace("_", " ")
