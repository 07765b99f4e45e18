"""Parameters of `align`."""

from dataclasses import dataclass
from enum import Enum


class Method(Enum):
    """How the trained adapter is aligned further."""

    none = "none"
    dpo = "dpo"


@dataclass(frozen=True)
class AlignConfig:
    """What happens to the adapter after supervised training."""

    method: Method
    """`none` passes the adapter through."""
