"""What a run saw, made and dropped: counts and histograms of one size, whatever the number of turns.

A acts, R regimes, S scalars, B bins. Scalars are summed and binned as whole billionths, so that neither the
order of sums nor the last bit of a scalar can show.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from twin.acts import ACTS
from twin.geometry import REGIMES, Reading

Counts = NDArray[np.int64]

DECIMALS: Final = 9
"""Of the scalars in examples.jsonl and the metrics: what is below is noise that differs between machines."""
UNIT: Final = 10**DECIMALS
SCALARS: Final = tuple(Reading.__dataclass_fields__)
BINS: Final = 60
RANGES: Final = {
    name: (-2 / 3, 2 / 3) if name == "transition_pressure" else (0.0, 1.0) for name in SCALARS
}  # fmt: skip
"""Transition pressure is the mean of three differences that telescope."""
DROPPED: Final = ("no_context", "held", "empty")
"""Why a reply is no example."""
COUNTED: Final = ("conversations", "turns", "merged_turns", "replies", "examples", "cold_start", "neutralised")

LOW: Final = np.rint(np.array([low for low, _ in RANGES.values()]) * UNIT).astype(np.int64)
WIDTH: Final = np.rint(np.array([high for _, high in RANGES.values()]) * UNIT).astype(np.int64) - LOW
SHAPE: Final = (len(ACTS), len(REGIMES), len(SCALARS), BINS)


@dataclass
class Tally:
    """What was seen, made and dropped."""

    counts: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    acts: Counter[str] = field(default_factory=Counter)
    billionths_S: Counts = field(default_factory=lambda: np.zeros(len(SCALARS), np.int64))
    seen_A_R_S_B: Counts = field(default_factory=lambda: np.zeros(SHAPE, np.int64))
    """Readings by act, regime and bin of each scalar."""

    def add(self, other: "Tally") -> None:
        """Count what `other` counted."""
        self.counts.update(other.counts)
        self.dropped.update(other.dropped)
        self.acts.update(other.acts)
        self.billionths_S += other.billionths_S
        self.seen_A_R_S_B += other.seen_A_R_S_B

    def read(self, acts: Sequence[str], readings: Sequence[Reading]) -> None:
        """Count readings, each with the act of its reply."""
        if not readings:
            return
        billionths_N_S = np.rint(np.array([list(vars(one).values()) for one in readings]) * UNIT).astype(np.int64)
        act_N = np.array([ACTS.index(act) for act in acts])
        regime_N = np.array([REGIMES.index(one.regime) for one in readings])
        bins_N_S = ((billionths_N_S - LOW) * BINS // WIDTH).clip(0, BINS - 1)
        cells = (act_N[:, None], regime_N[:, None], np.arange(len(SCALARS))[None], bins_N_S)
        flat = np.ravel_multi_index(np.broadcast_arrays(*cells), SHAPE).ravel()
        self.seen_A_R_S_B += np.bincount(flat, minlength=self.seen_A_R_S_B.size).reshape(SHAPE)
        self.billionths_S += billionths_N_S.sum(axis=0)

    def metrics(self) -> dict[str, Any]:
        """Return the counts, and the mean of each scalar where any reply has a reading."""
        by_act_A_R = self.seen_A_R_S_B[:, :, 0].sum(axis=-1)
        readings = int(by_act_A_R.sum())
        means = [round(int(total) / (readings * UNIT), DECIMALS) for total in self.billionths_S if readings]
        return {name: self.counts[name] for name in COUNTED} | {
            "dropped": {reason: self.dropped[reason] for reason in DROPPED},
            "acts": {act: self.acts[act] for act in ACTS},
            "regimes": _named(by_act_A_R.sum(axis=0)),
            "regimes_by_act": {act: _named(row_R) for act, row_R in zip(ACTS, by_act_A_R, strict=True)},
            "mean": dict(zip(SCALARS, means, strict=bool(means))),
        }

    def histograms(self) -> dict[str, Any]:
        """Return how often each scalar fell into each bin, by regime and by act."""
        return {
            "bins": BINS,
            "ranges": {name: list(ends) for name, ends in RANGES.items()},
            "by_regime": _tables(REGIMES, self.seen_A_R_S_B.sum(axis=0)),
            "by_act": _tables(ACTS, self.seen_A_R_S_B.sum(axis=1)),
        }


def _named(counts_R: Counts) -> dict[str, int]:
    return dict(zip(REGIMES, counts_R.tolist(), strict=True))


def _tables(names: Sequence[str], counts_N_S_B: Counts) -> dict[str, dict[str, list[int]]]:
    return {
        name: dict(zip(SCALARS, counts_S_B.tolist(), strict=True))
        for name, counts_S_B in zip(names, counts_N_S_B, strict=True)
    }
