"""Bounds of a parameter, written beside its type: `rank: Annotated[int, Bounds(ge=1)]`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Bounds:
    """The range a value must lie in; a bound that is None does not bind."""

    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None

    def broken_by(self, value: float) -> str | None:
        """Return what `value` must be but is not, in words, or None."""
        holds = {
            f"at least {self.ge}": self.ge is None or value >= self.ge,
            f"above {self.gt}": self.gt is None or value > self.gt,
            f"at most {self.le}": self.le is None or value <= self.le,
            f"below {self.lt}": self.lt is None or value < self.lt,
        }
        return next((words for words, held in holds.items() if not held), None)
