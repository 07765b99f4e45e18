"""May the rubric judge? What its self-test found → PASS, FAIL, or UNKNOWN where the finding is not whole or not sound.

A state that its own numbers contradict is no state.
"""

from collections.abc import Mapping
from typing import Final

from stages.promote.decision import Gate, State
from stages.promote.evidence import Tree, look_up, number, passed, unmeasured

LEAST: Final = {"real_mean": 2.5, "auc": 0.95, "own_answers": 2.5}
MOST: Final = {"base_mean": 0.7, "rules_on_real": 0.05, "adversarial_max": 1.0}
"""What the self-test must find."""
CHECKS: Final = (*LEAST, *MOST, "adversarial_sets", "rescored_same")


def instrument(evaluate: Tree) -> Gate:
    """The rubric passed its self-test."""
    tree = look_up(evaluate, "instrument")
    state, holds = look_up(evaluate, "instrument", "state"), look_up(evaluate, "instrument", "holds")
    if state not in ("PASS", "FAIL"):
        why = look_up(evaluate, "instrument", "why") or "the self-test has no result"
        return Gate("instrument", State.unknown, f"The rubric could not be fitted: {why}.")
    values = {name: number(tree, name) for name in (*LEAST, *MOST)}
    known = {name: value for name, value in values.items() if value is not None}
    if len(known) < len(values) or not _whole(holds):
        return unmeasured("instrument", "Part of the rubric's self-test")
    wrong = sorted(name for name, value in known.items() if _holds(name, value) is not holds[name])
    broken = sorted(name for name, good in holds.items() if not good)
    means = (
        f"The rubric gives real replies {known['real_mean']:.2f}, base replies {known['base_mean']:.2f}, the best "
        f"adversarial set {known['adversarial_max']:.2f} of 3"
    )
    if wrong or (state == "PASS") is bool(broken):
        why = f"{means}; its self-test contradicts itself: {', '.join(wrong or ['state'])}."
        return Gate("instrument", State.unknown, why, value=known["real_mean"])
    why = f"{means}; its self-test fails on {', '.join(broken)}." if broken else f"{means}; its self-test holds."
    return Gate("instrument", passed(not broken), why, value=known["real_mean"])


def _whole(holds: object) -> bool:
    return (
        isinstance(holds, Mapping)
        and set(CHECKS) <= set(holds)
        and all(isinstance(one, bool) for one in holds.values())
    )


def _holds(name: str, value: float) -> bool:
    return value >= LEAST[name] if name in LEAST else value <= MOST[name]
