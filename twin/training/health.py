"""Whether a run still learns: losses and gradient norms → stop or go on."""

import math
import statistics
from dataclasses import dataclass, field

SKIPS_MAX = 3  # skipped updates in a row that stop the run
LOSS_RATIO_MAX = 3.0  # of the running median
EXPLODED_MAX = 5  # updates in a row above that ratio that stop the run
MEDIAN_UPDATES = 50


@dataclass
class Health:
    """Skipped updates in a row, and losses far above their running median."""

    losses: list[float] = field(default_factory=list)
    """The sound ones, latest last; as many as the median needs."""
    skips: int = 0
    exploded: int = 0

    def diverged(self, loss: float, norm: float) -> bool:
        """Take in one update's loss and gradient norm; True if the run has to stop."""
        if not (math.isfinite(loss) and math.isfinite(norm)):
            self.skips += 1
            return self.skips >= SKIPS_MAX
        self.skips = 0
        if self.losses and loss > LOSS_RATIO_MAX * statistics.median(self.losses):
            self.exploded += 1
            return self.exploded >= EXPLODED_MAX
        self.exploded = 0
        self.losses = [*self.losses[1 - MEDIAN_UPDATES :], loss]
        return False
