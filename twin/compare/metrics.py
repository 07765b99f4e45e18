"""The metrics of a comparison: two sides' stored rows → levels, difference, bounds, verdict, p."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from twin.compare.cache import Row
from twin.compare.groups import Group
from twin.compare.inference import Margins, Paired, difference, sign_flips, verdict

Tree = dict[str, Any]
RUBRIC = ("rubric_test", "protocol10")
Keep = Callable[[str], bool] | None
"""Which prompts count, by id; None counts all."""


def likelihood(reference: Group, other: Group, margins: Margins) -> Tree:
    """Return bits per token if every run cuts each reply into as many tokens, else the refusal and bits per byte."""
    found = [run.likelihood() for run in (*reference.runs, *other.runs)]
    first = found[0]
    odd = [one for one in first if len({rows[one]["tokens"] for rows in found}) > 1]
    unit = "bytes" if odd else "tokens"
    margin = margins.bits_per_byte if odd else margins.bits_per_token

    split = len(reference.runs)

    def pair(keep: Keep) -> Paired | None:
        return _paired(found[:split], found[split:], _bits, known=_kept(first, keep), unit=unit)

    stock = {one for rows in found for one, row in rows.items() if row["stock"]}
    measured = {f"bits_per_{unit[:-1]}": _views(pair, stock, margin, cost=True)}
    if not odd:
        return measured
    why = f"the runs cut {len(odd)} of {len(first)} replies into unlike numbers of tokens; bits per byte stand instead"
    return {"bits_per_token": {"refused": why}, **measured}


def _bits(row: Row) -> float:
    return -float(row["total_nats"]) / math.log(2)


def rubric(name: str, reference: Group, other: Group, margins: Margins) -> Tree:
    """Return the rubric's mean over the prompts of `name`, or why its scores are refused."""
    invalid = [run for run in (*reference.runs, *other.runs) if run.instrument != "PASS"]
    if invalid:
        told = ", ".join(f"{run.instrument} in {run.name}" for run in invalid)
        return {"refused": f"the rubric's self-test is {told}: its scores mean nothing"}
    held_out = reference.runs[0].likelihood()
    stock = {one for one, row in held_out.items() if row["stock"]} if name == "rubric_test" else set()
    return _views(lambda keep: scores(name, reference, other, keep), stock, margins.rubric, cost=False)


def scores(name: str, reference: Group, other: Group, keep: Keep = None) -> Paired | None:
    """Pair the scores of both sides on the prompts of `name`; None where none is kept."""
    prompt_set = "test" if name == "rubric_test" else "protocol"
    asked = _kept(reference.runs[0].answers(prompt_set), keep)
    ours, theirs = ([run.scored(prompt_set) for run in group.runs] for group in (reference, other))
    return _paired(ours, theirs, _score, known=asked)


def _score(row: Row) -> float:
    return float(row["score"])


def _kept(rows: Mapping[str, Row], keep: Keep) -> dict[str, Row]:
    return {one: rows[one] for one in sorted(rows) if keep is None or keep(one)}


def _paired(
    reference: Sequence[Mapping[str, Row]],
    compared: Sequence[Mapping[str, Row]],
    value: Callable[[Row], float],
    *,
    known: Mapping[str, Row],
    unit: str | None = None,
) -> Paired | None:
    """The prompts of `known`, in its order; the ten fixed ones have no conversation, so each stands for itself."""
    if not known:
        return None
    ours, theirs = (
        np.array([[value(rows[one]) for one in known] for rows in side], dtype=np.float64)
        for side in (reference, compared)
    )
    return Paired(
        conversations=tuple(str(row["conversation_id"] or one) for one, row in known.items()),
        units_N=np.array([row[unit] if unit else 1 for row in known.values()], dtype=np.float64),
        reference_S_N=ours,
        compared_T_N=theirs,
    )


def _views(pair: Callable[[Keep], Paired | None], stock: set[str], margin: float, *, cost: bool) -> Tree:
    """The metric with every prompt and, where some replies are stock phrases, without those."""
    everything = pair(None)
    assert everything is not None, "a set of prompts is never empty: `Stored` refuses it"
    tree = _measured(everything, margin, cost=cost)
    rest = pair(lambda one: one not in stock) if stock else None
    return tree | ({"without_stock": _measured(rest, margin, cost=cost)} if rest else {})


def _measured(paired: Paired, margin: float, *, cost: bool) -> Tree:
    found, p = difference(paired), sign_flips(paired)
    sign = -1 if cost else 1  # bits are costs: fewer are better
    reference, compared = (sign * level for level in paired.levels)
    return {
        "reference": reference,
        "compared": compared,
        "difference": asdict(found) | {"n": len(paired.conversations)},
        "margin": margin,
        "verdict": verdict(found, margin, p),
        "p": p,
    }
