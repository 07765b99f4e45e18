"""Verdicts of paired tests → who is ahead, which is never asked of a training loss.

Several metrics judge in their declared order: the first that says better or worse decides. `equivalent` takes all of
them; whatever was refused, such as a rubric whose self-test fails, leaves the answer inconclusive.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from twin.compare.inference import LEVEL
from twin.intervals import holm


@dataclass(frozen=True)
class Finding:
    """One metric of a comparison."""

    metric: str
    verdict: str
    """better, equivalent, worse, inconclusive or refused."""
    words: str
    """The difference with its bounds, or why it is refused."""
    p: float | None = None


Findings = Mapping[str, Finding]
"""By metric."""


@dataclass(frozen=True)
class Comparison:
    """What the metrics together say of one side against another."""

    compared: str
    reference: str
    verdict: str
    words: str


@dataclass(frozen=True)
class Pick:
    """Which of several rows is taken on, and whether that is shown."""

    row: str
    shown: bool
    words: str
    comparisons: tuple[Comparison, ...]


def comparison(compared: str, reference: str, found: Findings, by: Sequence[str]) -> Comparison:
    """Return the verdict of the metrics `by`, in their order."""
    said = [found.get(name) or Finding(name, "refused", "was not measured") for name in by]
    decisive = next((one for one in said if one.verdict in ("better", "worse")), None)
    if decisive is not None:
        verdict = decisive.verdict
    else:
        verdict = "equivalent" if all(one.verdict == "equivalent" for one in said) else "inconclusive"
    words = "; ".join(f"{one.metric} {one.verdict} ({one.words})" for one in said)
    return Comparison(compared, reference, verdict, words)


def adjusted(pairs: Mapping[tuple[str, str], Findings]) -> dict[tuple[str, str], Findings]:
    """Return the findings of several comparisons, without those that Holm's correction over all does not bear."""
    claims = [(pair, name, one.p) for pair, found in pairs.items() for name, one in found.items() if one.p is not None]
    result = {pair: dict(found) for pair, found in pairs.items()}
    for (pair, name, _), p in zip(claims, holm([p for *_, p in claims]), strict=True):
        one = result[pair][name]
        if one.verdict in ("better", "worse") and p > LEVEL:
            words = f"{one.words}, {one.verdict} by itself, p {p:.3f} among {len(claims)} claims"
            result[pair][name] = replace(one, verdict="inconclusive", words=words)
    return dict(result)


def pick(
    rows: Sequence[str], pairs: Mapping[tuple[str, str], Findings], by: Sequence[str], order: Sequence[str], rule: str
) -> Pick:
    """Pick one of `rows`: whoever no other beats; among several of these the first in `order`, as `rule` says.

    `pairs` has (reference, compared) for every two rows in their order.
    """
    kept = {pair: {name: one for name, one in found.items() if name in by} for pair, found in pairs.items()}
    told = adjusted(kept)
    all_compared = tuple(comparison(b, a, told[a, b], by) for a, b in combinations(rows, 2))
    beaten: dict[str, set[str]] = {row: set() for row in rows}
    for one in all_compared:
        if one.verdict == "better":
            beaten[one.reference].add(one.compared)
        elif one.verdict == "worse":
            beaten[one.compared].add(one.reference)
    standing = [row for row in rows if not beaten[row]] or list(rows)
    if len(rows) == 1:
        return Pick(rows[0], True, f"{rows[0]} is the only one left", ())
    first = next(row for row in order if row in standing)
    if all(first in beaten[row] for row in rows if row != first):
        return Pick(first, True, f"{first} beats every other", all_compared)
    if len(standing) == 1:
        words = f"{first} is beaten by none, and does not beat every other"
    else:
        words = f"{' and '.join(standing)} are not told apart; {first} is taken on by the rule `{rule}`"
    return Pick(first, False, words, all_compared)


def against_all(comparisons: Sequence[Comparison]) -> str:
    """Return one verdict against several: better and equivalent take all of them, worse takes one."""
    verdicts = [one.verdict for one in comparisons]
    if "worse" in verdicts:
        return "worse"
    return verdicts[0] if len(set(verdicts)) == 1 else "inconclusive"
