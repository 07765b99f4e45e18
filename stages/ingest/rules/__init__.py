"""The cleaning rules: rows → those that nobody said; turns of a conversation → which are no example of the voice.

A dropped row was said by nobody and is lost. A turn held back stays in the conversation, as a live prompt would
hold it too, and is only no reply to learn from. No rule changes a text: typos are voice.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from stages.ingest.rules.copies import Copies
from stages.ingest.rules.language import Languages
from stages.ingest.rules.machine import machine_share
from stages.ingest.rules.quoted import Said, by_assistant
from stages.ingest.rules.rows import REASONS_DROPPED, row_reason, with_noise
from twin.acts import act
from twin.config.cleaning import CleaningConfig

__all__ = ["REASONS_DROPPED", "REASONS_HELD", "Judge", "Verdict", "row_reason"]

REASONS_HELD: Final = ("too_short", "machine_text", "quoted", "language", "repeated", "similar")
"""Why a turn is no reply to learn from, in the order of the rules; copies come last, so the first one kept is kept."""


class Verdict(NamedTuple):
    """What the rules say of one turn."""

    reason: str | None
    """One of REASONS_HELD, or None for a turn to learn from; a partner's turn has none."""
    long_form: bool
    """A long text of the person; kept nevertheless."""
    act: str | None
    """One of ACTS, for reports only; None for a partner's turn."""


PARTNER: Final = Verdict(None, False, None)
"""A partner's turns are context, and not judged."""


class Judge:
    """Judges conversation after conversation, and remembers long texts of the person across them."""

    def __init__(self, config: CleaningConfig) -> None:
        """Load what the configured rules need.

        Raises:
            ConfigError: a language is not known, or its detector is not installed.
        """
        self._config = config
        self._languages = Languages(config.languages)
        self._copies = Copies(config.duplicate_characters, config.similarity)

    def conversation(self, turns: Sequence[tuple[bool, str]]) -> list[Verdict]:
        """Judge the turns of one conversation, (said by the person, text) in the order of time."""
        said, verdicts = Said(), []
        for is_person, content in turns:
            if is_person:
                long_form = len(content) >= self._config.long_form_characters
                verdicts.append(Verdict(self._reason(content, said), long_form, act(content)))
            else:
                said.add(content)
                verdicts.append(PARTNER)
        return verdicts

    def _reason(self, content: str, said: Said) -> str | None:
        config = self._config
        if len(content) < config.characters_min:
            return "too_short"
        if with_noise(content, config) or machine_share(content) >= config.machine_share:
            return "machine_text"
        if said.share(content) >= config.quoted_share or by_assistant(content):
            return "quoted"
        if self._languages.foreign(content):
            return "language"
        return self._copies.reason(content)
