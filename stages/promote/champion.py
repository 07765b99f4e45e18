"""The gate against the adapter in use: paired differences on the same prompts → nowhere worse, better where it counts.

Which measure counts is declared before the run, `promote.primary`: chosen afterwards, one of several would often win by
chance alone.
"""

from stages.promote.decision import Gate, State
from stages.promote.evidence import Tree, if_enough, interval, passed, unmeasured
from twin.config.promote import Primary, PromoteConfig

WHERE = {
    Primary.likelihood: (("likelihood", "all", "bits_per_token_gain_over_C"), 0.05, "bits per token"),
    Primary.rubric: (("rubric_test", "all", "X_over_C"), 0.15, "rubric points"),
}
"""Where a difference to the champion stands, how much less is still not worse, and its unit."""


def champion(evaluate: Tree, config: PromoteConfig) -> Gate:
    """Not worse than the champion on any measure and better on the primary one; rejects where worse for sure."""
    if config.champion is None:
        return Gate("champion", State.not_applicable, "No champion is registered.")
    found = {name: interval(evaluate, *where) for name, (where, _, _) in WHERE.items()}
    measured = {name: one for name, one in found.items() if one is not None}
    if len(measured) < len(WHERE):
        return unmeasured("champion", f"How the twin compares with the champion {config.champion[:12]}")
    told = [
        f"{one.value:+.3f} {WHERE[name][2]} (bounds {one.lower:+.3f} to {one.upper:+.3f})"
        for name, one in measured.items()
    ]
    inferior = [name for name, one in measured.items() if one.lower <= -WHERE[name][1]]
    worse = any(one.upper < 0 for one in measured.values())
    primary = measured[config.primary]
    needed = f"the {config.primary.value} must be above 0 for sure, and none below by more than " + ", ".join(
        f"{margin:g} {unit}" for _, margin, unit in WHERE.values()
    )
    why = f"Against the champion {config.champion[:12]}: {' and '.join(told)}; {needed}."
    state = passed(primary.lower > 0 and not inferior)
    gate = Gate("champion", state, why, worse, primary.value, primary.lower, 0.0, primary.n)
    fewest = min(measured.values(), key=lambda one: (one.clusters, one.n))
    return if_enough(gate, fewest, config)
