"""Rows that nobody said: the text of a row → why it is no turn, or nothing."""

import re
from typing import Final

from twin.config.cleaning import CleaningConfig

REASONS_DROPPED: Final = ("empty", "interrupted", "meta")
"""Why a row never becomes a turn."""

# What assistants' logs write in place of a turn that was cut off.
INTERRUPTED: Final = re.compile(
    r"\[(?:request|response|reply|message|turn|tool use) "
    r"(?:was )?(?:interrupted|cancell?ed|aborted|stopped)(?: by (?:the )?user[^\]\n]{0,80})?\]",
    re.IGNORECASE,
)
# Where a paste or a picture stood; the clients of coding assistants number them.
PLACEHOLDERS: Final = re.compile(r"(?:\[(?:Pasted text|Image)(?: #?\d[^\]\n]{0,60})?\]\s*)+")
TAG: Final = re.compile(r"<([A-Za-z][\w-]{0,60})")


def row_reason(content: str, config: CleaningConfig) -> str | None:
    """Return why a row is no turn, or None; the same for every speaker, as noise is noise in each one's name."""
    if not content:
        return "empty"
    if content[0] == "[":
        if INTERRUPTED.fullmatch(content):
            return "interrupted"
        if PLACEHOLDERS.fullmatch(content):
            return "meta"
    return "meta" if content.startswith(tuple(config.noise_prefixes)) and not _own_words(content, config) else None


def _own_words(content: str, config: CleaningConfig) -> str:
    """Return what stands behind the noise that a text begins with: behind closed elements, otherwise nothing."""
    prefixes, at = tuple(config.noise_prefixes), 0
    while content.startswith(prefixes, at):
        tag = TAG.match(content, at)
        closing = f"</{tag[1]}>" if tag else ""
        end = content.find(closing, at) if closing else -1
        if end < 0:
            return ""
        at = end + len(closing)
        while at < len(content) and content[at].isspace():
            at += 1
    return content[at:]


def with_noise(content: str, config: CleaningConfig) -> bool:
    """Say whether noise stands at the start of a line, beside words that a person may have said."""
    if not any(map(content.__contains__, {prefix[0] for prefix in config.noise_prefixes if prefix})):
        return False
    return any(
        content.startswith(prefix) or f"\n{prefix}" in content for prefix in config.noise_prefixes if prefix in content
    )
