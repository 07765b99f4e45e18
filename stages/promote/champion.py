"""The gate against the adapter in use: paired differences on the same prompts → nowhere worse, better where it counts.

Which measure counts is declared before the run, `promote.primary`: chosen afterwards, one of several would often win by
chance alone.
"""

from stages.promote.decision import Gate, State
from stages.promote.evidence import Tree, difference, if_enough, passed, unmeasured
from stages.promote.instrument import instrument
from stages.promote.worse import AGAINST_CHAMPION, Worse
from twin.config.promote import Primary, PromoteConfig

MARGINS = {Primary.likelihood: (0.05, "bits per token"), Primary.rubric: (0.15, "rubric points")}
"""How much less than the champion is still not worse, unless it is less for sure."""


def champion(evaluate: Tree, config: PromoteConfig, worse: Worse) -> Gate:
    """Not worse than the champion on any measure and better on the primary one; rejects where worse for sure."""
    if config.champion is None:
        return Gate("champion", State.not_applicable, "No champion is registered.")
    found = {name: difference(evaluate, *AGAINST_CHAMPION[name.value]) for name in MARGINS}
    measured = {name: one for name, one in found.items() if one is not None}
    harmed = [name for name in measured if AGAINST_CHAMPION[name.value] in worse]
    if not harmed and (len(measured) < len(MARGINS) or instrument(evaluate).state is not State.passed):
        return unmeasured("champion", f"How the twin compares with the champion {config.champion[:12]}")
    told = [
        f"{one.value:+.3f} {MARGINS[name][1]} (bounds {one.lower:+.3f} to {one.upper:+.3f})"
        for name, one in measured.items()
    ]
    inferior = [name for name, one in measured.items() if one.lower <= -MARGINS[name][0] or one.upper < 0]
    needed = f"the {config.primary.value} must be above 0 for sure, and none below by more than " + ", ".join(
        f"{margin:g} {unit}" for margin, unit in MARGINS.values()
    )
    why = f"Against the champion {config.champion[:12]}: {' and '.join(told)}; {needed}, nor below 0 for sure."
    shown = measured.get(config.primary) or measured[harmed[0]]
    state = passed(shown.lower > 0 and not inferior)
    gate = Gate("champion", state, why, bool(harmed), shown.value, shown.lower, 0.0, shown.n, shown.lower, shown.upper)
    fewest = min(measured.values(), key=lambda one: (one.clusters, one.n))
    return gate if harmed else if_enough(gate, fewest, config)
