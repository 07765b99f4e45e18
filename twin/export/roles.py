"""How messages word the role map: counts per role, and the override that gives a role its meaning."""

import re
from collections.abc import Mapping
from typing import Final

from twin.scrub import shown

ROLES_SHOWN: Final = 12  # the commonest; a role column with more values is probably the wrong column
OVERRIDE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")  # what Hydra's override grammar takes as a key


def counts_text(counts: Mapping[str, int]) -> str:
    """Word the counts per role, the commonest first: `user 120, assistant 118`."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    more = f", and {len(ordered) - ROLES_SHOWN} more roles" if len(ordered) > ROLES_SHOWN else ""
    return ", ".join(f"{_name(role)} {count:,}" for role, count in ordered[:ROLES_SHOWN]) + more


def override(role: str, speaker: str, known: bool, key: str = "roles") -> str:
    """Return the option, or the line of conf/, that maps `role`; `known` says whether the map names it already.

    `key` is roles, or authors for a map of authors.
    """
    if not _plain(role):
        return f"the line {shown(role)}: {speaker} below {key}: in your file of conf/ingest/source/"
    return f"-S ingest.{key}.{role}={speaker}" if known else f"-S '+ingest.{key}.{role}={speaker}'"


def _name(role: str) -> str:
    return role if _plain(role) else shown(role)


def _plain(role: str) -> bool:
    return OVERRIDE_KEY.fullmatch(role) is not None and shown(role) == f'"{role}"'
