"""The sequential test of blind pairs: wins and losses in the order they came → evidence, at whatever length one looks.

An e-value of a fair coin against all coins that favour one side, equally likely beforehand. Under a fair coin it
reaches 20 at any time with probability 1/20 at most (Ville), so that looking after every pair costs nothing.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

STOP_E = 20
CAP = 80
"""Pairs after which the test ends without an answer; 54 wins of 80 are the last that reach it."""


@dataclass(frozen=True)
class Walk:
    """How far the pairs led; those after the end of the test are not in it."""

    wins: int
    losses: int
    better: bool
    """The e-value of the wins reached 20, before that of the losses did."""
    worse: bool
    """The e-value of the losses reached 20, before that of the wins did."""

    @property
    def n(self) -> int:
        """Pairs looked at."""
        return self.wins + self.losses

    @property
    def e(self) -> float:
        """The e-value of the wins."""
        return math.exp(log_e(self.wins, self.losses))

    @property
    def can_win(self) -> bool:
        """Whether the wins can still reach 20 within the cap, or have."""
        return self.better or (not self.worse and stops(self.wins + CAP - self.n, self.losses))


def log_e(wins: int, losses: int) -> float:
    """Return ln 2 + ln B(w+1, l+1) + ln(1 − I_½(w+1, l+1)) + (w+l) ln 2.

    In whole numbers, where nothing rounds: E = Σ_{k≤w} C(n+1, k) / ((n+1) C(n, w)) with n = w + l, as
    1 − I_½(w+1, l+1) is the chance of at most w heads in n+1 tosses.
    """
    n = wins + losses
    heads = term = 1
    for k in range(1, wins + 1):
        term = term * (n + 2 - k) // k
        heads += term
    return math.log(heads) - math.log((n + 1) * math.comb(n, wins))


def stops(wins: int, losses: int) -> bool:
    """Return whether the e-value of these wins is 20 or more."""
    return log_e(wins, losses) >= math.log(STOP_E)


def walk(won: Iterable[bool]) -> Walk:
    """Follow the pairs until one side's e-value is 20 or 80 pairs are seen."""
    wins = losses = 0
    for one in won:
        wins, losses = wins + one, losses + (not one)
        better, worse = stops(wins, losses), stops(losses, wins)
        if better or worse or wins + losses == CAP:
            return Walk(wins, losses, better, worse)
    return Walk(wins, losses, False, False)
