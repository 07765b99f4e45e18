"""Is the twin worse than the prompted base or the champion? Every test that can reject → those that do.

Five tests at 5 % each would reject one adapter in six that is no worse; after Holm's correction it is one in twenty.
"""

from typing import Final

from stages.promote.decision import State
from stages.promote.evidence import Tree, difference, enough
from stages.promote.instrument import instrument
from twin.config.promote import PromoteConfig
from twin.intervals import TAIL, holm

AGAINST_PROMPTED: Final = {
    "likelihood": ("likelihood", "all", "bits_per_token_gain_over_B1"),
    "rubric": ("rubric_test", "all", "X_over_B1"),
    "gap": ("gap", "closed"),
}
AGAINST_CHAMPION: Final = {
    "likelihood": ("likelihood", "all", "bits_per_token_gain_over_C"),
    "rubric": ("rubric_test", "all", "X_over_C"),
}
"""Where the differences stand."""
Worse = frozenset[tuple[str, ...]]


def shown_worse(evaluate: Tree, config: PromoteConfig) -> Worse:
    """Return where the differences stand that are below 0 for sure, all tests taken together."""
    places = [*AGAINST_PROMPTED.values(), *(AGAINST_CHAMPION.values() if config.champion is not None else ())]
    if instrument(evaluate).state is not State.passed:
        places = [place for place in places if place[0] != "rubric_test"]
    found = ((place, difference(evaluate, *place)) for place in places)
    tested = [(place, one.p_worse) for place, one in found if one and enough(one, config)]
    adjusted = holm([p for _, p in tested])
    return frozenset(place for (place, _), p in zip(tested, adjusted, strict=True) if p < TAIL)
