"""What a good score could hide: one arm's replies → lengths, repeats, broken replies, slop, copies, secrets."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import compress

import numpy as np

from stages.evaluate.person import is_rare, runs
from stages.evaluate.private import private_numbers
from stages.evaluate.replies import REAL, Reply, halves
from stages.evaluate.report import Tree, rate, similarity
from stages.evaluate.rules import INVALID, RULES, SLOP_RULES, Usual
from twin.intervals import Array
from twin.scrub import Scrubber

BASE = "B0"
COMMON_WORDS = 50


def alarms(arms: Mapping[str, Sequence[Reply]], usual: Usual) -> Tree:
    """Return every alarm for every arm of the test prompts, the person (R) among them; also without stock phrases."""
    checks: dict[str, Callable[[Reply], bool]] = {
        "degenerate": lambda reply: _breaks(reply, usual, INVALID),
        "slop": lambda reply: _breaks(reply, usual, SLOP_RULES),
        "rare_copy": lambda reply: any(is_rare(run, reply, usual.person.counts) for run in runs(reply).values()),
    }
    marks = {
        name: {arm: [check(reply) for reply in replies] for arm, replies in arms.items()}
        for name, check in checks.items()
    }
    plain = {arm: [not reply.stock for reply in replies] for arm, replies in arms.items()}
    every = {arm: [True] * len(replies) for arm, replies in arms.items()}
    return _view(arms, marks, every) | {"without_stock": _view(arms, marks, plain)}


def _view(
    arms: Mapping[str, Sequence[Reply]], marks: Mapping[str, Mapping[str, list[bool]]], kept: Mapping[str, list[bool]]
) -> Tree:
    rates: Tree = {
        name: {arm: _share(list(compress(marked, kept[arm]))) for arm, marked in by_arm.items()}
        for name, by_arm in marks.items()
    }
    return rates | {"duplicate": {arm: _duplicates(list(compress(said, kept[arm]))) for arm, said in arms.items()}}


def _share(marked: Sequence[bool]) -> Tree:
    return rate(sum(marked), len(marked)) if marked else {}


def _duplicates(replies: Sequence[Reply]) -> Tree:
    """Return the share of replies that say again what another one said."""
    repeated = len(replies) - len({reply.plain for reply in replies})
    return rate(repeated, len(replies)) if replies else {}


def secrets(replies: Sequence[Reply]) -> Tree:
    """Return how many secrets, e-mail addresses and private numbers the replies hold; none is tolerable."""
    found: Counter[str] = Counter()
    for reply in replies:
        found["private"] += private_numbers(Scrubber(found).scrub(reply.text))
    return {"hits": found.total(), "n": len(replies)}


def _breaks(reply: Reply, usual: Usual, names: frozenset[str]) -> bool:
    return any(rule.fires(reply, usual) for rule in RULES if rule.name in names)


def lengths(arms: Mapping[str, Sequence[Reply]], seed: int) -> Tree:
    """Return how far the arms' reply lengths, in words, lie from the person's; the ceiling is person to person."""
    words = {arm: np.array([len(reply.words) for reply in replies], dtype=np.float64) for arm, replies in arms.items()}
    tree: Tree = {"mean_words": {arm: float(values.mean()) for arm, values in words.items()}}
    ours, others = (np.array([len(reply.words) for reply in half]) for half in halves(arms[REAL], seed))
    for name, distance in (("wasserstein_words", wasserstein), ("kolmogorov_smirnov", kolmogorov_smirnov)):
        floor = distance(words[BASE], words[REAL]) if BASE in words else None
        ceiling = distance(ours, others) if len(ours) and len(others) else None
        tree[name] = {
            arm: similarity(distance(values, words[REAL]), floor, ceiling)
            for arm, values in words.items()
            if arm not in (REAL, BASE)
        }
    return tree


def _steps(ours: Array, others: Array) -> tuple[Array, Array]:
    """Return where either empirical distribution steps, and the distance between both there."""
    points = np.unique(np.concatenate([ours, others]))
    below = [np.searchsorted(np.sort(values), points, side="right") / len(values) for values in (ours, others)]
    return points, np.abs(below[0] - below[1])


def wasserstein(ours: Array, others: Array) -> float:
    """Return the area between two empirical distributions, in their unit."""
    points, apart = _steps(ours, others)
    return float((apart[:-1] * np.diff(points)).sum())


def kolmogorov_smirnov(ours: Array, others: Array) -> float:
    """Return the largest distance between two empirical distributions, 0 to 1."""
    return float(_steps(ours, others)[1].max())


def usage(arms: Mapping[str, Sequence[Reply]], usual: Usual, seed: int) -> Tree:
    """Return the Jensen–Shannon divergence, in bits, between the arms' use of the person's commonest words and theirs.

    Those words carry grammar and habit rather than topic, in any language; all others count as one.
    """
    common = commonest(usual.person.counts.words)
    shares = {arm: _shares(replies, common) for arm, replies in arms.items()}
    ours, others = (_shares(half, common) for half in halves(arms[REAL], seed))
    floor = jensen_shannon(shares[BASE], shares[REAL]) if BASE in shares else None
    return {
        arm: similarity(jensen_shannon(share, shares[REAL]), floor, jensen_shannon(ours, others))
        for arm, share in shares.items()
        if arm not in (REAL, BASE)
    }


def commonest(counts: Mapping[str, int]) -> list[str]:
    """Return the words that most conversations hold, equally common ones by the alphabet: sets come in any order."""
    return sorted(filter(None, counts), key=lambda word: (-counts[word], word))[:COMMON_WORDS]


def _shares(replies: Sequence[Reply], common: Sequence[str]) -> Array:
    place = {word: number for number, word in enumerate(common)}
    counts = np.bincount(
        [place.get(word, len(common)) for reply in replies for word in reply.words], minlength=len(common) + 1
    )
    shares: Array = counts / max(1, counts.sum())
    return shares


def jensen_shannon(ours: Array, others: Array) -> float:
    """Return the divergence of two distributions, 0 to 1 bit."""
    middle = (ours + others) / 2

    def apart(share: Array) -> float:
        there = share > 0
        return float((share[there] * np.log2(share[there] / middle[there])).sum())

    return (apart(ours) + apart(others)) / 2
