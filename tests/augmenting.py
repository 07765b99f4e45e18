"""Runs `augment` on conversations in memory: rows as values."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stages import augment as stage
from stages.augment.tally import Tally
from twin.config.augment import AugmentConfig
from twin.turns import Conversation


def augment(conversations: Sequence[Conversation], config: AugmentConfig) -> tuple[list[dict[str, Any]], Tally]:
    """Return the rows of some conversations and what was counted."""
    tally, turns = Tally(), sum(len(conversation.turns) for conversation in conversations)
    with tempfile.TemporaryDirectory() as scratch:
        pieces = b"".join(stage.augment(conversations, config, turns, tally, Path(scratch)))
    return [json.loads(line) for line in pieces.decode().split("\n") if line], tally
