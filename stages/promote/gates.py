"""The gates: what earlier stages measured → PASS, FAIL or UNKNOWN each, with value, bound, threshold and n."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stages.promote.decision import Gate, State
from twin.config.promote import Human, PromoteConfig

Tree = Mapping[str, Any]

CONVERSATIONS_MIN = 20
"""Fewer make every interval over conversations too uncertain to decide on."""
RARE_COPY_MARGIN = 0.02
DEGENERATE_MARGIN = 0.05
"""Shares above the person's own from which the lower bound shows harm."""
MEMORISATION_MAX = 0.80
"""AUC of telling train replies from held-out ones by their likelihood."""
TAGS = ("none", "context", "shuffled")
"""Kinds of tag that are computed from the turns before the reply only."""


@dataclass(frozen=True)
class Evidence:
    """What earlier stages left; a file that is missing is an empty mapping."""

    evaluate: Tree
    split: Tree
    recipe: Tree
    base: Tree
    ingest: Tree


def gates(evidence: Evidence, config: PromoteConfig) -> list[Gate]:
    """Return every gate, in the order a reader wants them."""
    evaluate = evidence.evaluate
    return [
        provenance(evidence),
        enough_data(evidence.split),
        profile(evidence),
        secrets(evaluate),
        excess("rare_copy", "replies with a rare verbatim copy of train", RARE_COPY_MARGIN, evaluate, config),
        excess("degenerate", "broken replies", DEGENERATE_MARGIN, evaluate, config),
        memorisation(evaluate),
        instrument(evaluate),
        protocol(evaluate, config),
        likelihood(evaluate, config),
        gap(evaluate, config),
        champion(config),
        human(config),
    ]


def look_up(tree: Tree, *path: str) -> Any:
    """Return the value at `path`, None if there is none."""
    found: Any = tree
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def number(tree: Tree, *path: str) -> float | None:
    """Return the finite number at `path`; None if it is missing, NaN or something else."""
    found = look_up(tree, *path)
    usable = isinstance(found, int | float) and not isinstance(found, bool) and math.isfinite(found)
    return float(found) if usable else None


def passed(holds: bool) -> State:
    """Return PASS or FAIL."""
    return State.passed if holds else State.failed


def _unmeasured(name: str, what: str) -> Gate:
    return Gate(name, State.unknown, f"{what} was not measured.")


def provenance(evidence: Evidence) -> Gate:
    """No conversation in two parts, no near-duplicate across, train before test, tags and base as recorded."""
    shared = number(evidence.split, "proofs", "conversations_in_two_parts")
    copies = number(evidence.split, "proofs", "near_duplicates_left")
    ordered = look_up(evidence.split, "proofs", "time_order")
    tags = look_up(evidence.recipe, "prompt", "tags")
    base = look_up(evidence.recipe, "base")
    if shared is None or copies is None or ordered is None or tags is None or not base or not evidence.base:
        return _unmeasured("provenance", "Whether train and test are apart, or what the adapter was trained on,")
    wrong = [
        *([f"{shared:.0f} conversations are in two parts"] if shared else []),
        *([f"{copies:.0f} near-duplicates of held-out replies are in train"] if copies else []),
        *([] if ordered is True else ["test is not later than train"]),
        *([] if tags in TAGS else [f"tags of the kind {tags} may know the reply"]),
        *([] if base == evidence.base else ["the adapter was trained on another base than this run's"]),
    ]
    good = (
        "No conversation is in two parts, no near-duplicate crosses, test is later than train, tags see only the past."
    )
    why = f"{'; '.join(wrong)}." if wrong else good
    return Gate("provenance", passed(not wrong), why, value=shared + copies, threshold=0.0)


def enough_data(split: Tree) -> Gate:
    """Every part is large enough for the gates that rest on it."""
    strength = look_up(split, "strength")
    if not strength:
        return _unmeasured("enough_data", "The size of the parts")
    weak = sorted(name for name, strong in strength.items() if strong is not True)
    why = f"Too few replies or conversations in {', '.join(weak)}." if weak else "Every part has replies enough."
    return Gate("enough_data", State.unknown if weak else State.passed, why)


def profile(evidence: Evidence) -> Gate:
    """The base is one that could be used, a person wrote the replies, and the tags are their own."""
    fixture, synthetic = look_up(evidence.base, "fixture"), look_up(evidence.ingest, "synthetic")
    tags = look_up(evidence.recipe, "prompt", "tags")
    if not isinstance(fixture, bool) or not isinstance(synthetic, bool):
        return _unmeasured("profile", "Whether the base and the data are real")
    unreal = [
        *([f"the base {evidence.base.get('id')} is a stand-in that shows the machinery"] if fixture else []),
        *(["a program wrote the replies, not a person"] if synthetic else []),
        *(["the tags are those of other replies, a placebo"] if tags == "shuffled" else []),
    ]
    why = f"{' and '.join(unreal)}; nothing trained so is promoted." if unreal else "Base and data are real."
    return Gate("profile", passed(not unreal), why[0].upper() + why[1:])


def secrets(evaluate: Tree) -> Gate:
    """No secret and no e-mail address in any reply."""
    hits, n = number(evaluate, "secrets", "X", "hits"), number(evaluate, "secrets", "X", "n")
    if hits is None or not n:
        return _unmeasured("secrets", "Whether the twin leaks secrets")
    why = f"{hits:.0f} secrets or e-mail addresses in {n:.0f} replies of the twin."
    return Gate("secrets", passed(hits <= 0), why, rejects=True, value=hits, threshold=0.0, n=int(n))


def excess(alarm: str, what: str, margin: float, evaluate: Tree, config: PromoteConfig) -> Gate:
    """An alarm's rate is not shown to exceed the person's own by more than `margin`."""
    share, lower = (number(evaluate, "alarms", alarm, "X", name) for name in ("value", "lower"))
    n, own = number(evaluate, "alarms", alarm, "X", "n"), number(evaluate, "alarms", alarm, "R", "value")
    if share is None or lower is None or n is None or own is None:
        return _unmeasured(alarm, f"The share of {what}")
    why = f"{share:.1%} of {n:.0f} are {what} (lower bound {lower:.1%}); the person's own share is {own:.1%}."
    if n < config.test_prompts_min:
        return Gate(alarm, State.unknown, f"{why} {_too_few(config)}", value=share, n=int(n))
    state = passed(lower <= own + margin)
    return Gate(alarm, state, why, rejects=True, value=share, bound=lower, threshold=own + margin, n=int(n))


def _too_few(config: PromoteConfig) -> str:
    return f"At least {config.test_prompts_min} prompts from {CONVERSATIONS_MIN} conversations are needed."


def memorisation(evaluate: Tree) -> Gate:
    """Train replies are not much likelier than held-out ones."""
    auc = number(evaluate, "memorisation", "auc")
    if auc is None:
        return _unmeasured("memorisation", "How far likelihood tells train replies from held-out ones")
    why = f"Likelihood tells train replies from held-out ones with AUC {auc:.2f}; {MEMORISATION_MAX:.2f} is the most."
    return Gate(
        "memorisation", passed(auc <= MEMORISATION_MAX), why, rejects=True, value=auc, threshold=MEMORISATION_MAX
    )


def instrument(evaluate: Tree) -> Gate:
    """The rubric passed its self-test."""
    state = look_up(evaluate, "instrument", "state")
    if state not in ("PASS", "FAIL"):
        why = look_up(evaluate, "instrument", "why") or "the self-test has no result"
        return Gate("instrument", State.unknown, f"The rubric could not be fitted: {why}.")
    real, base = number(evaluate, "instrument", "real_mean"), number(evaluate, "instrument", "base_mean")
    worst = number(evaluate, "instrument", "adversarial_max")
    if real is None or base is None or worst is None:
        return _unmeasured("instrument", "Part of the rubric's self-test")
    holds = look_up(evaluate, "instrument", "holds") or {}
    broken = sorted(name for name, good in holds.items() if good is not True)
    means = (
        f"The rubric gives real replies {real:.2f}, base replies {base:.2f}, the best adversarial set {worst:.2f} of 3"
    )
    why = f"{means}; its self-test fails on {', '.join(broken)}." if broken else f"{means}; its self-test holds."
    return Gate("instrument", passed(state == "PASS" and not broken), why, value=real)


def protocol(evaluate: Tree, config: PromoteConfig) -> Gate:
    """The rubric mean over the ten prompts, and its lower bound over the test prompts."""
    mean = number(evaluate, "protocol10", "X", "value")
    test = _interval(evaluate, "rubric_test", "all", "X")
    if instrument(evaluate).state is not State.passed:
        return Gate("protocol", State.unknown, "The rubric is not valid here, so its scores decide nothing.")
    if mean is None or test is None:
        return _unmeasured("protocol", "The rubric mean")
    least = config.protocol_min
    why = (
        f"Rubric mean {mean:.2f} over the ten prompts and {test.value:.2f} (lower bound {test.lower:.2f}) over "
        f"{test.n} test prompts; {least:.2f} is the least for both."
    )
    state = passed(mean >= least and test.lower >= least)
    return _if_enough(Gate("protocol", state, why, False, mean, test.lower, least, test.n), test, config)


@dataclass(frozen=True)
class _Interval:
    value: float
    lower: float
    upper: float
    n: int
    clusters: int


def _interval(evaluate: Tree, *path: str) -> _Interval | None:
    found = {name: number(evaluate, *path, name) for name in ("value", "lower", "upper", "n", "clusters")}
    value, lower, upper, n, clusters = found.values()
    if value is None or lower is None or upper is None or n is None or clusters is None:
        return None
    return _Interval(value, lower, upper, int(n), int(clusters))


def _if_enough(gate: Gate, found: _Interval, config: PromoteConfig) -> Gate:
    if found.n >= config.test_prompts_min and found.clusters >= CONVERSATIONS_MIN:
        return gate
    why = f"{gate.why} {found.n} prompts from {found.clusters} conversations are too few. {_too_few(config)}"
    return Gate(gate.name, State.unknown, why, False, gate.value, gate.bound, gate.threshold, gate.n)


def _superior(name: str, why: str, found: _Interval, least: float, config: PromoteConfig) -> Gate:
    """PASS where better than nothing for sure and by `least`; rejects where worse than nothing for sure."""
    state = passed(found.lower > 0 and found.value >= least)
    gate = Gate(name, state, why, found.upper < 0, found.value, found.lower, least, found.n)
    return _if_enough(gate, found, config)


def likelihood(evaluate: Tree, config: PromoteConfig) -> Gate:
    """The person's held-out replies are likelier under the twin than under the prompted base."""
    gain = _interval(evaluate, "likelihood", "all", "bits_per_token_gain_over_B1")
    if gain is None:
        return _unmeasured("likelihood", "The gain over the prompted base, in bits per token,")
    why = (
        f"{gain.value:+.3f} bits per token over the prompted base (bounds {gain.lower:+.3f} to {gain.upper:+.3f}, "
        f"{gain.n} replies of {gain.clusters} conversations); above 0 for sure and {config.bits_min:+.3f} are needed."
    )
    return _superior("likelihood", why, gain, config.bits_min, config)


def gap(evaluate: Tree, config: PromoteConfig) -> Gate:
    """The twin closes part of the prompted base's distance to the person."""
    closed = _interval(evaluate, "gap", "closed")
    if closed is None:
        return _unmeasured("gap", "How much of the distance to the person the twin closes")
    why = (
        f"{closed.value:.0%} of the prompted base's distance to the person is closed (bounds {closed.lower:.0%} to "
        f"{closed.upper:.0%}, {closed.n} replies); above 0 for sure and {config.gap_min:.0%} are needed."
    )
    return _superior("gap", why, closed, config.gap_min, config)


def champion(config: PromoteConfig) -> Gate:
    """Not worse than the adapter in use."""
    if config.champion is None:
        return Gate("champion", State.not_applicable, "No champion is registered.")
    why = f"The replies of the champion {config.champion[:12]} were not compared."
    return Gate("champion", State.unknown, why)


def human(config: PromoteConfig) -> Gate:
    """People rated it blind."""
    if config.human is Human.waived:
        return Gate("human", State.not_applicable, "Ratings are waived, so a promotion reaches staging only.")
    return Gate("human", State.unknown, "awaiting_human: nobody has rated the twin blind.")
