"""Parameters of a queue of experiments."""

from dataclasses import dataclass


@dataclass(frozen=True)
class CampaignConfig:
    """What an experiment builds on."""

    winner: str | None
    """Run id of the experiment whose choices this one continues; null for an experiment of its own."""
