"""Anticipation geometry by plain loops over lists, line by line from its specification: slow, and the tests' oracle.

Nothing is shared between prefixes and nothing is vectorised; sums are `math.fsum`, right to the last bit.
"""

import math
from itertools import pairwise

EPSILON = 1e-10
State = list[float]
Scalars = dict[str, float]


def minus(a: State, b: State) -> State:
    return [x - y for x, y in zip(a, b, strict=True)]


def dot(a: State, b: State) -> float:
    return math.fsum(x * y for x, y in zip(a, b, strict=True))


def norm(a: State) -> float:
    return math.sqrt(dot(a, a))


def cosine(a: State, b: State) -> float:
    return dot(a, b) / (max(norm(a), EPSILON) * max(norm(b), EPSILON))


def clip(x: float) -> float:
    return min(1.0, max(0.0, x))


def path(s: list[State], k: int = 5, bins: int = 8, smoothing: int = 3) -> dict[str, list[float]]:
    """Return each scalar at every step of one whole path of two states or more."""
    distance = [[norm(minus(a, b)) for b in s[: t + 1]] for t, a in enumerate(s)]
    steps = [minus(b, a) for a, b in pairwise(s)]
    c = commitment(steps)
    u = [uncertainty(s, distance[t], t, k, bins) for t in range(len(s))]
    middle = [math.fsum(column) / len(s) for column in zip(*s, strict=True)]
    radius = 2 * max(norm(minus(state, middle)) for state in s)
    return {
        "commitment": c,
        "uncertainty": u,
        "transition_pressure": transition_pressure(c, u, smoothing),
        "recovery_margin": recovery_margin(distance, u, radius),
        "phase_stiffness": phase_stiffness(steps),
        "novelty": novelty(distance, radius),
        "stability": stability(s),
    }


def at_every_prefix(
    states: list[State], window: int | None = None, k: int = 5, bins: int = 8, smoothing: int = 3
) -> list[Scalars | None]:
    """Return the last step of each prefix's last `window` states, each path from scratch; None for one state."""
    found: list[Scalars | None] = [None for _ in states[:1]]
    for t in range(1, len(states)):
        first = 0 if window is None else max(0, t - window + 1)
        whole = path(states[first : t + 1], k, bins, smoothing)
        found.append({name: values[-1] for name, values in whole.items()})
    return found


def regime(at: Scalars) -> str:
    c, u, r = at["commitment"], at["uncertainty"], at["recovery_margin"]
    if at["transition_pressure"] > 0.5:
        return "transitioning"
    if u > 0.6 and r > 0.5:
        return "exploring"
    if c > 0.7 and u < 0.3 and r < 0.4:
        return "locked"
    return "committing" if c > 0.5 and u < 0.5 else "stalled"


def relative(lengths: list[float]) -> list[float]:
    longest = max(lengths)
    return [1.0 if longest < EPSILON else clip(1 - length / longest) for length in lengths]


def commitment(steps: list[State]) -> list[float]:
    lengths = [norm(step) for step in steps]
    return [1.0 if max(lengths) < EPSILON else 0.5, *relative(lengths)]


def uncertainty(s: list[State], to_earlier: list[float], t: int, k: int, bins: int) -> float:
    if t < 2:
        return 0.5
    nearest = sorted(range(t), key=lambda j: (round(to_earlier[j], 12), j))[:k]
    displacements = [minus(s[j], s[t]) for j in nearest]
    counts = [0] * bins
    for i, a in enumerate(displacements):
        for b in displacements[i + 1 :]:
            angle = math.acos(max(-1.0, min(1.0, round(cosine(a, b), 12))))
            # An angle of 60° reaches the edge at 4/12 of π. The slack forgives the last bits of arccos and π;
            # the grid of rounded cosines is a hundred times as wide.
            counts[max(edge for edge in range(bins) if edge * math.pi / bins <= angle + 1e-14)] += 1
    shares = [count / sum(counts) for count in counts if count]
    return -math.fsum(share * math.log2(share) for share in shares) / math.log2(bins)


def transition_pressure(c: list[float], u: list[float], smoothing: int) -> list[float]:
    n, half = len(c), smoothing // 2
    if n < 3:
        return [0.0] * n
    rise = [0.0] + [(c[t] - c[t - 1]) - (u[t] - u[t - 1]) for t in range(1, n)]
    return [math.fsum(rise[j] for j in range(t - half, t + half + 1) if 0 <= j < n) / smoothing for t in range(n)]


def recovery_margin(distance: list[list[float]], u: list[float], radius: float) -> list[float]:
    n = len(u)
    if n < 3 or radius < EPSILON:
        return [1.0] * n
    ranked = sorted(u)
    median = (ranked[(n - 1) // 2] + ranked[n // 2]) / 2
    # Histograms of equal entropy, such as 4 1 1 1 1 and 2 2 2 2, are equal in every bit on paper only.
    branching = [j for j in range(n) if u[j] >= median - 1e-12]
    margins = []
    for t in range(n):
        to_branch = [distance[t][j] for j in branching if j <= t]
        margins.append(clip(1 - min(to_branch) / radius) if to_branch else 1.0)
    return margins


def phase_stiffness(steps: list[State]) -> list[float]:
    turned = [clip((cosine(b, a) + 1) / 2) for a, b in pairwise(steps)]
    return [0.5, 0.5, *turned]


def novelty(distance: list[list[float]], radius: float) -> list[float]:
    if radius < EPSILON:
        return [0.5] * len(distance)
    return [1.0] + [clip(min(row[:-1]) / radius) for row in distance[1:]]


def stability(s: list[State]) -> list[float]:
    n = len(s)
    if n < 4:
        return [0.5] * n
    jerks = []
    for t in range(3, n):
        columns = zip(s[t], s[t - 1], s[t - 2], s[t - 3], strict=True)
        jerks.append(norm([math.fsum((a, -3 * b, 3 * c, -d)) for a, b, c, d in columns]))
    return [1.0] * n if max(jerks) < EPSILON else [0.5] * 3 + relative(jerks)
