"""The page: page.html → one file whose only style and script are named by hash in its security policy."""

import hashlib
import re
from base64 import b64encode
from pathlib import Path
from typing import Final

PAGE: Final = Path(__file__).with_name("page.html").read_text(encoding="utf-8")


def _hash(tag: str) -> str:
    found = re.search(rf"<{tag}>(.*?)</{tag}>", PAGE, flags=re.DOTALL)
    assert found is not None, f"page.html has one <{tag}>"
    return f"'sha256-{b64encode(hashlib.sha256(found[1].encode()).digest()).decode()}'"


POLICY: Final = (
    f"default-src 'none'; style-src {_hash('style')}; script-src {_hash('script')}; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
