"""Parameters of `evaluate`."""

from dataclasses import dataclass
from typing import Annotated

from twin.config.fields import Bounds


@dataclass(frozen=True)
class EvaluateConfig:
    """How replies are scored."""

    draws: Annotated[int, Bounds(ge=100)]
    """Bootstrap draws behind every interval."""
    seed: Annotated[int, Bounds(ge=0)]
    """Seed of the draws and of the classifier's folds."""
    bucket_replies: Annotated[int, Bounds(ge=19)]
    """Calibration replies a length bucket needs; 99 make the lowest cut-point exist at 1 %."""
