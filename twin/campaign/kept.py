"""Paired tests that were made once: what they are made of → what they said, from `.work/compared/`.

A comparison reads thousands of stored rows and draws its bounds anew: half a minute, at every start of a campaign that
has compared the same before.
"""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import twin
from twin.campaign.judging import Finding, Findings
from twin.errors import TwinError
from twin.files import canonical_json, read_json, sha256_text, write_json
from twin.identity import md5_path
from twin.runlog import work_folder

Said = tuple[Findings, str]
"""Paired tests, and what they speak of."""


def code() -> str:
    """Return the hash of the code that compares: all of `twin/`, as so much of it decides what is read and drawn."""
    return md5_path(Path(twin.__file__).parent)


def kept(made_of: Any, compare: Callable[[], Said]) -> Said:
    """Return what was said of this very content, or compare and keep it.

    Args:
        made_of: JSON values that decide the outcome.
        compare: makes the tests; what it refuses is not kept.
    """
    key = sha256_text(canonical_json(made_of))
    path = work_folder() / "compared" / f"{key[:32]}.json"
    try:
        found = read_json(path) if path.exists() else {}
        if found.get("key") == key:
            return {name: Finding(**one) for name, one in found["findings"].items()}, str(found["about"])
    except TwinError:
        path.unlink()
    findings, about = compare()
    told = {name: asdict(one) for name, one in findings.items()}
    write_json(path, {"key": key, "findings": told, "about": about})
    return findings, about
