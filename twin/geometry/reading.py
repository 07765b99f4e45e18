"""What a path comes to at its last step: seven scalars and the regime they amount to."""

from dataclasses import dataclass

REGIMES = ("transitioning", "exploring", "locked", "committing", "stalled")


@dataclass(frozen=True)
class Reading:
    """Where a conversation stands; transition pressure is signed, the other scalars lie in [0, 1]."""

    commitment: float
    uncertainty: float
    transition_pressure: float
    recovery_margin: float
    phase_stiffness: float
    novelty: float
    stability: float

    @property
    def regime(self) -> str:
        """Name the situation, one of `REGIMES`: the first rule that holds."""
        if self.transition_pressure > 0.5:
            return "transitioning"
        if self.uncertainty > 0.6 and self.recovery_margin > 0.5:
            return "exploring"
        if self.commitment > 0.7 and self.uncertainty < 0.3 and self.recovery_margin < 0.4:
            return "locked"
        if self.commitment > 0.5 and self.uncertainty < 0.5:
            return "committing"
        return "stalled"
