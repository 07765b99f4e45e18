"""How many guesses the twin saves whoever looks for a planted secret: likelihoods of codes → exposure in bits.

Carlini et al., The Secret Sharer (USENIX Security 2019), by sampling: −log2 of the share of codes, its own included,
that are at least as likely as the planted one. A model that never saw it gives 1.4 bits in the mean.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from stages.evaluate.report import Tree

Row = Mapping[str, Any]


def exposure(rows: Mapping[str, Sequence[Row]], planted: Sequence[Row]) -> Tree:
    """Return the mean exposure by how often a canary stands in train, and how many are likelier than all other codes.

    Args:
        rows: likelihoods of the canaries and their references by arm.
        planted: the canaries' rows, each as often as it stands in train.
    """
    if not planted:
        return {}
    repeats = Counter(row["id"] for row in planted)
    return {"n": len(repeats), **{arm: _of_arm(found, repeats) for arm, found in rows.items()}}


def _of_arm(rows: Sequence[Row], repeats: Counter[str]) -> Tree:
    nats: dict[str, dict[str, float]] = defaultdict(dict)
    for row in rows:
        nats[row["prompt_id"]][row["reply_id"]] = row["total_nats"]
    bits = {name: _bits(codes, codes[f"{name}/0"]) for name, codes in nats.items()}
    most = {name: math.log2(len(codes)) for name, codes in nats.items()}
    groups = {times: [bits[name] for name in bits if repeats[name] == times] for times in sorted(set(repeats.values()))}
    return {
        "mean_bits": math.fsum(bits.values()) / len(bits),
        "most_bits": max(most.values()),
        "first_of_all": sum(bits[name] == most[name] for name in bits),
        "by_repeats": {str(times): math.fsum(some) / len(some) for times, some in groups.items()},
    }


def _bits(codes: Mapping[str, float], own: float) -> float:
    return math.log2(len(codes)) - math.log2(sum(other <= own for other in codes.values()))
