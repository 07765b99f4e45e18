"""A comparison as it is drawn: two made-up runs of which one does better, with a name and replies full of markup."""

from dataclasses import replace
from typing import Any

from tests.test_compare import stored, told

HOSTILE = "<script>document.title='broken'</script> & <img src=x onerror=alert(1)> \u202eturned"


def tree(name: str = "3b", other: str = "7b") -> dict[str, Any]:
    """Return the tree of a comparison of two runs."""
    ours, theirs = stored(name, nats=20.0, score=1), stored(other, nats=18.0, score=2)
    said = tuple(row | {"text": f"{row['text']} {HOSTILE}", "prompt": f"{row['prompt']}"} for row in theirs.generations)
    params = {**theirs.params, "adapter.rank": 32}
    return told(ours, replace(theirs, generations=said, params=params))
