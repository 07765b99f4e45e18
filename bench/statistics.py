"""What the statistics of the decision hold in simulation: how often intervals cover, how often the pairs' test stops.

python -m bench.statistics [--runs 2000] [--draws 10000]

Conversations of unequal size; the truth is the mean, each bound should lie on its side of it in 95 of 100 runs. The
methods beside `twin.intervals.interval`, all on the same draws: `percentile`; `expanded`, its shares by Student's t and
√(C/(C−1)) (Hesterberg, The American Statistician 69, 2015); `BCa`; `BCa expanded`, both corrections; `BCa widened`,
expanded by (t/z)² more, a margin found by trying on other seeds; `bootstrap-t`, which needs a standard error of every
draw, and so a ratio (Davison and Hinkley, 1997, 5.2); `jackknife t`, which draws nothing. What is skewed to the right
here makes the upper bound hard; skewed to the left, it would be the lower one.
"""

import argparse
import datetime
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats
from scipy.special import ndtr
from threadpoolctl import threadpool_limits

from bench.machine import describe
from twin.files import write_json
from twin.intervals import TAIL, Array, Statistic, interval, ratio, weights
from twin.intervals import _corrected as corrected
from twin.sequential import CAP, stops, walk

RESULTS = Path("bench/results/statistics.json")
CLUSTERS = (20, 40, 80)
SEED = 11
SHARES = np.array([TAIL, 1 - TAIL])
WANTED = (0.93, 0.97)
COINS = (0.5, 0.7, 0.75, 0.8)
Bounds = tuple[float, float]
Row = dict[str, Any]

VALUES: dict[str, Callable[[np.random.Generator, int], Array]] = {
    "normal": lambda rng, clusters: rng.normal(size=clusters),
    "log-normal, sigma 0.5": lambda rng, clusters: rng.lognormal(0, 0.5, clusters) - math.exp(0.5**2 / 2),
    "log-normal, sigma 1": lambda rng, clusters: rng.lognormal(0, 1, clusters) - math.exp(0.5),
}
"""What a conversation adds to each of its replies, on average nothing."""


def sample(values: str, clusters: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Return sums and sizes: 1 to 12 replies a conversation, each the mean 1, its conversation's value and noise."""
    sizes = rng.integers(1, 13, clusters).astype(float)
    sums = sizes * (1 + VALUES[values](rng, clusters)) + rng.normal(size=clusters) * np.sqrt(sizes)
    return sums, sizes


def shares_of_t(clusters: int, further: int = 0) -> Array:
    """Return the shares by Student's t, by (t/z)**further beyond."""
    t, z = stats.t.ppf(SHARES, clusters - 1), stats.norm.ppf(SHARES)
    found: Array = ndtr(math.sqrt(clusters / (clusters - 1)) * t * (t / z) ** further)
    return found


def jackknife(statistic: Statistic, clusters: int) -> Bounds:
    left_out = statistic(1 - np.eye(clusters))
    error = math.sqrt((clusters - 1) * float(np.mean((left_out - left_out.mean()) ** 2)))
    reach = float(stats.t.ppf(1 - TAIL, clusters - 1)) * error
    value = float(statistic(np.ones((1, clusters)))[0])
    return value - reach, value + reach


def errors_of(weights_K_C: Array, sums: Array, sizes: Array, values_K: Array) -> Array:
    """Return the standard error of the ratio in each draw, from its linearised residuals."""
    squares = weights_K_C @ np.stack([sums**2, sums * sizes, sizes**2], axis=1)
    residual = squares[:, 0] - 2 * values_K * squares[:, 1] + values_K**2 * squares[:, 2]
    found: Array = np.sqrt(np.maximum(residual, 0)) / (weights_K_C @ sizes)
    return found


def methods(sums: Array, sizes: Array, draws: int) -> Iterator[tuple[str, Bounds, float]]:
    """Yield each method's bounds and the seconds it took; the draws are made once, for all."""
    clusters, statistic = len(sums), ratio(sums, sizes)
    value, everyone = float(sums.sum() / sizes.sum()), np.ones((1, clusters))

    def quantiles(shares: Array) -> Bounds:
        lower, upper = np.quantile(statistic(weights(clusters, draws, SEED)), shares)
        return float(lower), float(upper)

    def shipped() -> Bounds:
        found = interval(statistic, clusters, draws, SEED)
        return found.lower, found.upper

    def bca(shares: Array) -> Bounds:
        drawn = statistic(weights(clusters, draws, SEED))
        shares = corrected(shares, value, drawn, statistic(1 - np.eye(clusters)))
        lower, upper = np.quantile(drawn, shares)
        return float(lower), float(upper)

    def studentised() -> Bounds:
        drawn = weights(clusters, draws, SEED)
        values = statistic(drawn)
        errors = errors_of(drawn, sums, sizes, values)
        own = float(errors_of(everyone, sums, sizes, np.array([value]))[0])
        high, low = np.quantile((values - value) / errors, 1 - SHARES)
        return value - high * own, value - low * own

    ways: dict[str, Callable[[], Bounds]] = {
        "interval": shipped,
        "percentile": lambda: quantiles(SHARES),
        "expanded": lambda: quantiles(shares_of_t(clusters)),
        "BCa": lambda: bca(SHARES),
        "BCa expanded": lambda: bca(shares_of_t(clusters)),
        "BCa widened": lambda: bca(shares_of_t(clusters, 2)),
        "bootstrap-t": studentised,
        "jackknife t": lambda: jackknife(statistic, clusters),
    }
    for way, work in ways.items():
        started_s = time.perf_counter()
        yield way, work(), time.perf_counter() - started_s


def coverage(values: str, clusters: int, runs: int, draws: int) -> list[Row]:
    rng = np.random.default_rng([SEED, clusters, list(VALUES).index(values)])
    held: dict[str, list[tuple[bool, bool, float, float]]] = {}
    for _ in range(runs):
        for way, (lower, upper), taken_s in methods(*sample(values, clusters, rng), draws):
            held.setdefault(way, []).append((lower <= 1, upper >= 1, upper - lower, taken_s))
    return [_row(values, clusters, way, np.array(found)) for way, found in held.items()]


def _row(values: str, clusters: int, way: str, found: Array) -> Row:
    lower, upper = float(found[:, 0].mean()), float(found[:, 1].mean())
    return {
        "values": values,
        "conversations": clusters,
        "method": way,
        "lower": lower,
        "upper": upper,
        "both": float((found[:, 0] * found[:, 1]).mean()),
        "width": float(np.median(found[:, 2])),
        "ms": float(np.median(found[:, 3])) * 1e3,
        "holds": all(WANTED[0] <= share <= WANTED[1] for share in (lower, upper)),
    }


def exactly(coin: float) -> float:
    """Return the chance that the wins stop the test, by every path there is."""
    reached, stopped = {0: 1.0}, 0.0
    for n in range(1, CAP + 1):
        after: dict[int, float] = {}
        for wins, chance in reached.items():
            after[wins + 1] = after.get(wins + 1, 0.0) + chance * coin
            after[wins] = after.get(wins, 0.0) + chance * (1 - coin)
        stopped += sum(chance for wins, chance in after.items() if stops(wins, n - wins))
        reached = {w: c for w, c in after.items() if not stops(w, n - w) and not stops(n - w, w)}
    return stopped


def sequential(coin: float, runs: int) -> Row:
    rng = np.random.default_rng([SEED, round(coin * 100)])
    walks = [walk((rng.random(CAP) < coin).tolist()) for _ in range(runs)]
    return {
        "coin": coin,
        "better": float(np.mean([one.better for one in walks])),
        "better, exactly": exactly(coin),
        "worse": float(np.mean([one.worse for one in walks])),
        "median pairs": float(np.median([one.n for one in walks])),
        "mean pairs": float(np.mean([one.n for one in walks])),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--draws", type=int, default=10000)
    given = parser.parse_args()
    rows = []
    threadpool_limits(1)
    print("| values | conversations | method | truth ≥ lower | truth ≤ upper | both | width | ms |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for values in VALUES:
        for clusters in CLUSTERS:
            for row in coverage(values, clusters, given.runs, given.draws):
                rows.append(row)
                shares = " | ".join(f"{row[name]:.3f}" for name in ("lower", "upper", "both", "width"))
                print(f"| {values} | {clusters} | {row['method']} | {shares} | {row['ms']:.2f} |", flush=True)
    pairs = [sequential(coin, given.runs) for coin in COINS]
    print("\n| coin | better | better, exactly | worse | median pairs | mean pairs |")
    print("| --- | --- | --- | --- | --- | --- |")
    for row in pairs:
        print(f"| {' | '.join(f'{value:.3g}' for value in row.values())} |")
    fixed = {"wins": 15, "of": 20, "p": float(stats.binomtest(15, 20, alternative="greater").pvalue)}
    print(f"\nFixed: {fixed['wins']} of {fixed['of']} wins, p = {fixed['p']:.3f}")
    result = {"runs": given.runs, "draws": given.draws, "intervals": rows, "sequential": pairs, "fixed": fixed}
    write_json(RESULTS, {"date": datetime.date.today().isoformat(), "machine": describe()} | result)


if __name__ == "__main__":
    main()
