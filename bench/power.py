"""How often the gate of likelihood sees a gain of 0.1 bits a token with 328 replies.

python -m bench.power      # after `dvc repro`: on its base, split, adapter and likelihoods

The trained adapter is weakened until it is that much better than the prompted base, or until the whole one is that much
better than it, as a challenger is than a champion. Its conversations are drawn whole, and moved to the mean exactly.

Beside how often the gate passes stands how often the best test would: of all that are wrong in at most 5 % of cases,
one that knew the spread of the estimate, were it normal (Neyman and Pearson, 1933).
"""

import datetime
import json
import math
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import ndtr, ndtri

from bench.machine import describe
from stages import evaluate as judge
from stages.generate import ADAPTER
from twin.asking import SPLITS, Arm, Row
from twin.asking.questions import questions
from twin.asking.tasks import real_tasks
from twin.base import resolve
from twin.config.load import load
from twin.config.model import ModelConfig
from twin.config.promote import PromoteConfig
from twin.files import read_json, read_jsonl, write_json
from twin.intervals import TAIL, interval, ratio
from twin.model import attach, load_base
from twin.reply import Speaker

RESULTS = Path("bench/results/power.json")
REPLIES, GAIN_BITS, SIMULATIONS, POWER = 328, 0.1, 2_000, 0.8
SPREADS = (0.2, 0.3, 0.4)
"""Of the conversations' gains, bits a token: what a base that few-shot pairs confuse less would show."""
HALVINGS = 8


def weakened(base: Path, share: float) -> list[Row]:
    """Return the likelihoods of the test replies under so much of the trained adapter."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "adapter"
        shutil.copytree(ADAPTER, folder)
        config = read_json(folder / "adapter_config.json")
        config["lora_parameters"]["scale"] *= share
        write_json(folder / "adapter_config.json", config)
        model = load_base(base)
        attach(model, folder)
    held_out = real_tasks(questions("test", read_jsonl(SPLITS["test"])))
    return Arm("X", model, Speaker(model)).likelihoods(held_out)


def stored(arm: str) -> dict[str, float]:
    """Return the nats of each test reply under an arm of the run."""
    rows = read_jsonl(judge.LIKELIHOODS)
    return {row["prompt_id"]: row["total_nats"] for row in rows if (row["prompt_set"], row["arm"]) == ("test", arm)}


def gains(rows: list[Row], other: Mapping[str, float]) -> np.ndarray:
    """Return (conversations, 3): bits that `rows` save over another arm, tokens, replies."""
    sums: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(3))
    for row in rows:
        saved = (other[row["prompt_id"]] - row["total_nats"]) / np.log(2)
        sums[row["conversation_id"]] += (saved, row["tokens"], 1)
    return np.array(list(sums.values()))


def at_the_gain(measure: Callable[[float], np.ndarray]) -> tuple[float, np.ndarray]:
    """Return the share of the adapter at which the gain is 0.1 bits a token, by halving, and its conversations.

    `measure` gives what a share saves; it must grow with the share.
    """
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        share = (low + high) / 2
        found = measure(share)
        low, high = (share, high) if mean(found) < GAIN_BITS else (low, share)
    return share, found


def mean(found: np.ndarray) -> float:
    """Return bits a token."""
    return float(found[:, 0].sum() / found[:, 1].sum())


def spread(found: np.ndarray) -> float:
    """Return the standard deviation of the conversations' bits a token."""
    return float(np.std(found[:, 0] / found[:, 1]))


@dataclass(frozen=True)
class Passing:
    """Of drawn test sets."""

    share: float
    """Which pass the gate."""
    spread_bits: float
    """Standard deviation of their gains."""

    @property
    def best(self) -> float:
        """What the share could be at most, of a gain of 0.1 bits."""
        return float(ndtr(GAIN_BITS / self.spread_bits + ndtri(TAIL)))

    @property
    def replies(self) -> int:
        """How many replies it would take to see such a gain in 80 of 100 cases."""
        return math.ceil(REPLIES * ((ndtri(POWER) - ndtri(TAIL)) * self.spread_bits / GAIN_BITS) ** 2)

    def told(self) -> dict[str, float]:
        return {"power": self.share, "best": self.best, "replies_for_80": self.replies}


def passing(found: np.ndarray, gain: float, narrowed: float, config: PromoteConfig) -> Passing:
    """Draw test sets when the mean is `gain` and deviations from it `narrowed` times."""
    rng = np.random.default_rng(0)
    passes, values = 0, []
    for _ in range(SIMULATIONS):
        order = rng.integers(len(found), size=REPLIES)
        some = found[order[: int(np.searchsorted(np.cumsum(found[order, 2]), REPLIES)) + 1]]
        moved = gain * some[:, 1] + narrowed * (some[:, 0] - mean(found) * some[:, 1])
        bounds = interval(ratio(moved, some[:, 1]), len(some), 500, 1)
        passes += bounds.lower > 0 and bounds.value >= config.bits_min
        values.append(bounds.value)
    return Passing(passes / SIMULATIONS, float(np.std(values)))


def power(share: float, found: np.ndarray, config: PromoteConfig) -> dict[str, float]:
    """Return how often the gain passes the gate, and no gain does."""
    return {
        "share_of_the_adapter": share,
        "conversation_sd_bits": spread(found),
        **passing(found, GAIN_BITS, 1.0, config).told(),
        "false_pass": passing(found, 0.0, 1.0, config).share,
    }


def main() -> None:
    base = resolve(read_json(ADAPTER / "recipe.json")["base"], load(ModelConfig).folder)
    config, prompted, twin = load(PromoteConfig), stored("B1"), stored("X")
    share, found = at_the_gain(lambda share: gains(weakened(base, share), prompted))
    # A weaker twin loses bits: what is missing of it grows with them.
    weaker, lost = at_the_gain(lambda missing: gains(weakened(base, 1 - missing), twin) * (-1, 1, 1))
    measured: dict[str, Any] = {
        "over the prompted base": power(share, found, config),
        "over a weaker twin": power(1 - weaker, lost, config),
    }
    measured["by spread, bits"] = {
        str(bits): passing(found, GAIN_BITS, bits / spread(found), config).told() for bits in SPREADS
    }
    print(json.dumps(measured, indent=2))
    header = {"date": str(datetime.date.today()), "machine": describe(), "simulations": SIMULATIONS}
    write_json(RESULTS, header | measured)


if __name__ == "__main__":
    main()
