"""Has a text come as it was written? content and content_hash → the damage, if any.

Source: the table's hash rule (SHA-256 of the canonical text) and the query of Supabase's dashboard, which cuts cells of
more than 10,240 bytes to 10,240 characters and appends `...`.
"""

import hashlib
import re
from typing import Final

CUT_CHARACTERS: Final = 10_240
CUT_MARK: Final = "..."
SHA256: Final = re.compile(r"[0-9a-fA-F]{64}")


def damage(content: str, content_hash: str | None) -> tuple[str, str | None]:
    """Return the text, mended where the hash proves how, and `truncated`, `hash` or None.

    The dashboard appends its mark also to a cell that it did not cut, of few characters but many bytes; the hash of
    the text without the mark shows that. A hash that is not SHA-256 in hex proves nothing.
    """
    if content_hash is None or not content or not SHA256.fullmatch(content_hash):
        return content, "truncated" if looks_cut(content) else None
    wanted = content_hash.lower()
    if _sha256(content) == wanted:
        return content, None
    if content.endswith(CUT_MARK):
        whole = content.removesuffix(CUT_MARK)
        if _sha256(whole) == wanted:
            return whole, None
        if looks_cut(content):
            return content, "truncated"
    return content, "hash"


def looks_cut(content: str) -> bool:
    """Say whether the text has the dashboard's mark behind as many characters as it leaves.

    Line ends may have been two characters each when the cell was cut.
    """
    if len(content) < CUT_CHARACTERS // 2 or not content.endswith(CUT_MARK):
        return False
    characters = len(content) - len(CUT_MARK)
    return characters == CUT_CHARACTERS or characters + content.count("\n") == CUT_CHARACTERS


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
