"""Numbers as they are filed: intervals, rates and similarities → nested mappings of finite numbers.

What could not be measured is left out; nothing stands in for it.
"""

import math
from collections.abc import Mapping
from dataclasses import replace

from twin.config.evaluate import EvaluateConfig
from twin.intervals import Array, Interval, Statistic, interval, p_worse, rate_bounds, ratio

Tree = dict[str, object]
DECIMALS = 9
"""The last digits of a float are those of a processor: two would not verify each other's metrics."""


def bounds(found: Interval, n: int) -> Tree:
    """Return a value over `n` units with its one-sided 95 % bounds."""
    return {"value": found.value, "lower": found.lower, "upper": found.upper, "n": n, "clusters": found.clusters}


def difference(statistic: Statistic, clusters: int, n: int, config: EvaluateConfig) -> Tree:
    """Return a difference over `n` units with its bounds and the p-value of its being below 0."""
    found = bounds(interval(statistic, clusters, config.draws, config.seed), n)
    return found | {"p_worse": p_worse(statistic, clusters, config.draws, config.seed)}


def rate(hits: int, n: int) -> Tree:
    """Return a rate with its Clopper–Pearson bounds, each at 95 % one-sided."""
    lower, upper = rate_bounds(hits, n)
    return {"value": hits / n, "lower": lower, "upper": upper, "hits": hits, "n": n}


def rate_over(hits: Array, sizes: Array, config: EvaluateConfig) -> Tree:
    """Return a rate over conversations: of both kinds of bounds, the resampled and the exact ones, the wider.

    Conversations without a hit, however few, would resample to a rate that is 0 for sure.
    """
    found, n, total = interval(ratio(hits, sizes), len(sizes), config.draws, config.seed), int(sizes.sum()), hits.sum()
    lower, upper = rate_bounds(math.floor(total), n)[0], rate_bounds(math.ceil(total), n)[1]
    return bounds(replace(found, lower=min(found.lower, lower), upper=max(found.upper, upper)), n)


def similarity(raw: float, floor: float | None, ceiling: float | None) -> Tree:
    """Return a similarity between that of the base, the floor, and that of the person, the ceiling.

    Normalised, 0 is the base and 1 the person; left out where the two lie together.
    """
    tree: Tree = {"raw": raw}
    if floor is not None:
        tree["floor"] = floor
    if ceiling is not None:
        tree["ceiling"] = ceiling
    if floor is not None and ceiling is not None and not math.isclose(floor, ceiling, abs_tol=1e-9):
        tree["normalised"] = (raw - floor) / (ceiling - floor)
    return tree


def finite(tree: Mapping[str, object]) -> Tree:
    """Return the tree, rounded, without numbers that are not finite and without branches that are empty."""
    kept: Tree = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            branch = finite(value)
            if branch:
                kept[name] = branch
        elif not isinstance(value, float):
            kept[name] = value
        elif math.isfinite(value):
            kept[name] = round(float(value), DECIMALS)
    return kept
