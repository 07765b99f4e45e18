"""Proves the decision: every gate by its rule, missing is never PASS, and better numbers never worsen it."""

import copy
import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import NormalDist
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import stages.promote as stage
from stages.promote.decision import NAMES, Decision, Gate, Scope, State, Verdict, decide
from stages.promote.document import checked
from stages.promote.evidence import CONVERSATIONS_MIN, Evidence
from stages.promote.files import Files
from stages.promote.gates import gates
from stages.promote.instrument import CHECKS
from stages.promote.words import MOVES
from stages.promote.worse import shown_worse
from twin.config.promote import Human, Primary, PromoteConfig
from twin.errors import ConfigError, DataError
from twin.files import canonical_json, sha256_file, sha256_text, write_json, write_text

CONFIG = PromoteConfig(
    protocol_min=2.0,
    bits_min=0.05,
    gap_min=0.25,
    test_prompts_min=60,
    human=Human.waived,
    champion=None,
    primary=Primary.likelihood,
)
CHAMPION = "a" * 64
ORDER = [Verdict.reject, Verdict.hold, Verdict.promote]
Tree = dict[str, Any]


def interval(value: float, lower: float, upper: float, n: int = 80, clusters: int = 30) -> Tree:
    tree = {"value": value, "lower": lower, "upper": upper, "n": n, "clusters": clusters}
    return tree | {"p_worse": p_of(tree)}


def p_of(tree: Tree) -> float:
    """Return the p-value of a difference as normal as its bounds, which is below 5 % where the upper one is below 0."""
    spread = (tree["upper"] - tree["lower"]) / 2 / 1.645
    return NormalDist().cdf((tree["upper"] - 1.645 * spread) / spread) if spread > 0 else float(tree["value"] >= 0)


def rate(value: float, lower: float) -> Tree:
    return {"value": value, "lower": lower, "upper": 1.0, "hits": 1, "n": 80}


def good() -> Evidence:
    """Return evidence on which everything passes."""
    base = {"id": "a-real-base", "fixture": False}
    return Evidence(
        evaluate={
            "secrets": {"X": {"hits": 0, "n": 90}},
            "alarms": {
                "rare_copy": {"X": rate(0.02, 0.01), "R": rate(0.01, 0.0)},
                "degenerate": {"X": rate(0.02, 0.01), "R": rate(0.0, 0.0)},
            },
            "memorisation": {"auc": 0.6, "lower": 0.55, "upper": 0.65, "n": 400, "clusters": 60},
            "instrument": {
                "state": "PASS",
                "real_mean": 2.7,
                "base_mean": 0.1,
                "auc": 0.99,
                "rules_on_real": 0.01,
                "own_answers": 3.0,
                "adversarial_max": 1.0,
                "holds": dict.fromkeys(CHECKS, True),
            },
            "protocol10": {"X": {"value": 2.4, "n": 10}},
            "rubric_test": {
                "all": {
                    "X": interval(2.3, 2.2, 2.4),
                    "X_over_B1": interval(1.0, 0.9, 1.1),
                    "X_over_C": interval(0.1, 0.05, 0.2),
                }
            },
            "likelihood": {
                "all": {
                    "bits_per_token_gain_over_B1": interval(0.5, 0.4, 0.6),
                    "bits_per_token_gain_over_C": interval(0.2, 0.1, 0.3),
                }
            },
            "gap": {"closed": interval(0.6, 0.5, 0.7)},
            "context_choice": {"X": interval(0.6, 0.5, 0.7) | {"chance": 0.25}, "B0": interval(0.5, 0.4, 0.6)},
        },
        split={
            "canaries": 0,
            "proofs": {"conversations_in_two_parts": 0, "near_duplicates_left": 0, "time_order": True},
            "strength": {"train": True, "valid": True, "cal": True, "test": True},
        },
        recipe={"base": base, "prompt": {"tags": "context"}, "run": {"id": "0" * 64}},
        base=base,
        ingest={"synthetic": False},
        files=Files(replies=90),
    )


def changed(path: str, value: object, of: Evidence | None = None) -> Evidence:
    """Return good evidence with another value at `path`; None takes it out."""
    part, *keys, last = path.split("/")
    evidence = of or good()
    tree = copy.deepcopy(dict(getattr(evidence, part)))
    branch = tree
    for key in keys:
        branch = branch[key]
    branch.pop(last)
    if value is not None:
        branch[last] = value
    return replace(evidence, **{part: tree})


def decided(evidence: Evidence, config: PromoteConfig = CONFIG) -> Decision:
    return decide(gates(evidence, config), config.human)


def gate(evidence: Evidence, name: str, config: PromoteConfig = CONFIG) -> Gate:
    return next(one for one in gates(evidence, config) if one.name == name)


def test_all_passed_without_ratings_promotes_to_staging_only() -> None:
    decision = decided(good())
    assert (decision.verdict, decision.scope) == (Verdict.promote, Scope.staging)


def test_required_ratings_that_are_missing_hold_awaiting_human() -> None:
    decision = decided(good(), replace(CONFIG, human=Human.required))
    assert (decision.verdict, decision.scope) == (Verdict.hold, Scope.none)
    assert decision.reasons == ("human UNKNOWN: awaiting_human: nobody has rated the twin blind.",)


FAILED = good().evaluate["instrument"] | {
    "state": "FAIL",
    "auc": 0.9,
    "holds": dict.fromkeys(CHECKS, True) | {"auc": False},
}


def test_ratings_that_passed_promote_to_champion() -> None:
    passed = [one for one in gates(good(), CONFIG) if one.name != "human"]
    decision = decide([*passed, Gate("human", State.passed, "Rated.")], Human.required)
    assert (decision.verdict, decision.scope) == (Verdict.promote, Scope.champion)


@pytest.mark.parametrize(
    ("path", "value", "name", "verdict"),
    [
        ("split/proofs/conversations_in_two_parts", 1, "provenance", Verdict.hold),
        ("split/proofs/near_duplicates_left", 2, "provenance", Verdict.hold),
        ("split/proofs/time_order", False, "provenance", Verdict.hold),
        ("recipe/prompt/tags", "reply", "provenance", Verdict.hold),
        ("recipe/base", {"id": "another"}, "provenance", Verdict.hold),
        ("base/fixture", True, "profile", Verdict.hold),
        ("ingest/synthetic", True, "profile", Verdict.hold),
        ("split/canaries", 16, "profile", Verdict.hold),
        ("evaluate/secrets/X/hits", 1, "secrets", Verdict.reject),
        ("evaluate/alarms/rare_copy/X", rate(0.05, 0.031), "rare_copy", Verdict.reject),
        ("evaluate/alarms/degenerate/X", rate(0.08, 0.051), "degenerate", Verdict.reject),
        ("evaluate/memorisation/auc", 0.81, "memorisation", Verdict.reject),
        ("evaluate/instrument", FAILED, "instrument", Verdict.hold),
        ("evaluate/protocol10/X/value", 1.9, "protocol", Verdict.hold),
        ("evaluate/rubric_test/all/X/lower", 1.99, "protocol", Verdict.hold),
        ("evaluate/likelihood/all/bits_per_token_gain_over_B1", interval(0.04, 0.01, 0.1), "likelihood", Verdict.hold),
        ("evaluate/likelihood/all/bits_per_token_gain_over_B1", interval(0.2, 0.0, 0.4), "likelihood", Verdict.hold),
        ("evaluate/likelihood/all/bits_per_token_gain_over_B1", interval(-0.1, -0.3, 0.1), "likelihood", Verdict.hold),
        (
            "evaluate/likelihood/all/bits_per_token_gain_over_B1",
            interval(-0.2, -0.3, -0.1),
            "likelihood",
            Verdict.reject,
        ),
        ("evaluate/gap/closed", interval(0.2, 0.1, 0.3), "gap", Verdict.hold),
        ("evaluate/gap/closed", interval(0.4, -0.1, 0.9), "gap", Verdict.hold),
        ("evaluate/gap/closed", interval(-0.6, -0.9, -0.3), "gap", Verdict.reject),
        ("evaluate/context_choice/X/lower", 0.25, "context", Verdict.hold),
        ("evaluate/context_choice/B0/value", 0.61, "context", Verdict.hold),
    ],
)
def test_a_gate_fails_by_its_rule(path: str, value: object, name: str, verdict: Verdict) -> None:
    evidence = changed(path, value)
    assert gate(evidence, name).state is State.failed
    assert decided(evidence).verdict is verdict


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("evaluate/alarms/rare_copy/X", "rare_copy"),
        ("evaluate/alarms/degenerate/R", "degenerate"),
        ("evaluate/secrets/X", "secrets"),
        ("evaluate/memorisation", "memorisation"),
        ("evaluate/instrument", "instrument"),
        ("evaluate/protocol10/X", "protocol"),
        ("evaluate/rubric_test/all/X", "protocol"),
        ("evaluate/likelihood/all/bits_per_token_gain_over_B1", "likelihood"),
        ("evaluate/gap/closed", "gap"),
        ("evaluate/context_choice/X", "context"),
        ("evaluate/context_choice/B0", "context"),
        ("split/proofs", "provenance"),
        ("split/strength", "enough_data"),
        ("recipe/prompt", "provenance"),
        ("base/fixture", "profile"),
        ("ingest/synthetic", "profile"),
        ("split/canaries", "profile"),
    ],
)
def test_what_is_missing_is_unknown_and_holds(path: str, name: str) -> None:
    evidence = changed(path, None)
    assert gate(evidence, name).state is State.unknown
    assert decided(evidence).verdict is Verdict.hold


@pytest.mark.parametrize(
    ("path", "value", "name"),
    [
        ("evaluate/instrument/holds", {}, "instrument"),
        ("evaluate/instrument/holds", None, "instrument"),
        ("evaluate/instrument/holds/rescored_same", None, "instrument"),
        ("evaluate/instrument/holds/rescored_same", "yes", "instrument"),
        ("evaluate/instrument/holds/auc", False, "instrument"),
        ("evaluate/instrument/state", "FAIL", "instrument"),
        ("evaluate/instrument/real_mean", 0.1, "instrument"),
        ("evaluate/instrument/base_mean", 2.9, "instrument"),
        ("evaluate/instrument/adversarial_max", 3.0, "instrument"),
        ("evaluate/instrument/rules_on_real", None, "instrument"),
        ("evaluate/instrument/own_answers", 1.0, "instrument"),
        ("evaluate/instrument/own_answers", None, "instrument"),
        ("evaluate/instrument/holds/adversarial_sets", None, "instrument"),
        ("evaluate/protocol10/X/n", None, "protocol"),
        ("evaluate/protocol10/X/n", 1, "protocol"),
        ("evaluate/rubric_test/all/X_over_B1", None, "protocol"),
        ("split/strength", {"train": True}, "enough_data"),
        ("split/strength", {}, "enough_data"),
        ("evaluate/memorisation/clusters", 19, "memorisation"),
        ("evaluate/memorisation/clusters", None, "memorisation"),
        ("evaluate/secrets/X/n", 89, "secrets"),
        ("evaluate/secrets/X/hits", -1, "secrets"),
        ("evaluate/gap/closed/p_worse", None, "gap"),
    ],
)
def test_what_is_not_whole_or_contradicts_itself_is_unknown(path: str, value: object, name: str) -> None:
    evidence = changed(path, value)
    assert gate(evidence, name).state is State.unknown
    assert decided(evidence).verdict is Verdict.hold


def test_a_secret_rejects_however_few_replies_were_looked_at() -> None:
    assert decided(changed("evaluate/secrets/X", {"hits": 1, "n": 2})).verdict is Verdict.reject


def test_files_that_nobody_looked_at_are_unknown() -> None:
    assert gate(replace(good(), files=None), "provenance").state is State.unknown


@pytest.mark.parametrize("name", NAMES)
def test_a_gate_that_is_not_there_holds(name: str) -> None:
    every = gates(good(), CONFIG)
    assert [one.name for one in every] == list(NAMES)
    decision = decide([one for one in every if one.name != name], Human.waived)
    assert (decision.verdict, decision.reasons) == (Verdict.hold, (f"{name} UNKNOWN: It was not judged.",))
    assert decide([], Human.waived).verdict is Verdict.hold


@pytest.mark.parametrize(
    ("threshold", "why"),
    [
        ("protocol_min: 1.9", "protocol_min is 1.9; it must be at least 2"),
        ("bits_min: 0.04", "bits_min is 0.04; it must be at least 0.05"),
        ("gap_min: 0.0", "gap_min is 0.0; it must be at least 0.25"),
        ("test_prompts_min: 12", "test_prompts_min is 12; it must be at least 60"),
    ],
)
def test_a_threshold_below_the_designs_is_refused(staged: Path, threshold: str, why: str) -> None:
    name = threshold.partition(":")[0]
    write_text(staged / "params.yaml", re.sub(rf"{name}: [\d.]+", threshold, PARAMS))
    with pytest.raises(ConfigError, match=re.escape(why)):
        stage.main()


@pytest.mark.parametrize("bad", [math.nan, math.inf, None, "0.5", True])
def test_what_is_no_number_is_unknown(bad: object) -> None:
    for path, name in (
        ("evaluate/likelihood/all/bits_per_token_gain_over_B1/lower", "likelihood"),
        ("evaluate/gap/closed/value", "gap"),
        ("evaluate/protocol10/X/value", "protocol"),
        ("evaluate/memorisation/auc", "memorisation"),
        ("evaluate/secrets/X/hits", "secrets"),
        ("evaluate/instrument/real_mean", "instrument"),
    ):
        assert gate(changed(path, bad), name).state is State.unknown, path


def test_no_file_at_all_is_a_hold_with_every_measured_gate_unknown() -> None:
    empty = Evidence({}, {}, {}, {}, {})
    states = {one.name: one.state for one in gates(empty, CONFIG)}
    assert {name for name, state in states.items() if state is not State.unknown} == {"champion", "human"}
    assert decided(empty).verdict is Verdict.hold


@pytest.mark.parametrize(("n", "clusters"), [(59, 30), (60, CONVERSATIONS_MIN - 1)])
def test_too_few_prompts_or_conversations_are_unknown_also_when_they_would_reject(n: int, clusters: int) -> None:
    for path, name in (
        ("evaluate/rubric_test/all/X", "protocol"),
        ("evaluate/likelihood/all/bits_per_token_gain_over_B1", "likelihood"),
        ("evaluate/gap/closed", "gap"),
    ):
        for value in (interval(2.5, 2.4, 2.6, n, clusters), interval(-2.5, -2.6, -2.4, n, clusters)):
            evidence = changed(path, value)
            assert gate(evidence, name).state is State.unknown
            assert decided(evidence).verdict is Verdict.hold


def test_a_weak_part_is_unknown_and_named() -> None:
    found = gate(changed("split/strength/cal", False), "enough_data")
    assert found.state is State.unknown
    assert "cal" in found.why


def test_a_tie_with_the_prompted_base_is_not_promoted() -> None:
    tie = changed("evaluate/likelihood/all/bits_per_token_gain_over_B1", interval(0.0, 0.0, 0.0))
    assert decided(tie).verdict is Verdict.hold


def test_a_value_on_its_threshold_passes() -> None:
    evidence = changed("evaluate/protocol10/X/value", 2.0)
    evidence = changed("evaluate/rubric_test/all/X/lower", 2.0, evidence)
    evidence = changed("evaluate/memorisation/auc", 0.8, evidence)
    assert decided(evidence).verdict is Verdict.promote


def test_a_rate_above_the_persons_own_passes_until_its_lower_bound_is() -> None:
    assert gate(changed("evaluate/alarms/rare_copy/X", rate(0.09, 0.029)), "rare_copy").state is State.passed
    few = changed("evaluate/alarms/rare_copy/X", rate(0.5, 0.4) | {"n": 59})
    assert gate(few, "rare_copy").state is State.unknown


def test_an_invalid_instrument_leaves_the_protocol_unknown_however_bad_it_looks() -> None:
    evidence = changed("evaluate/protocol10/X/value", 0.1, changed("evaluate/instrument", FAILED))
    assert gate(evidence, "protocol").state is State.unknown


def test_without_a_champion_there_is_nothing_to_beat() -> None:
    assert gate(good(), "champion").state is State.not_applicable


GAIN = "evaluate/likelihood/all/bits_per_token_gain_over_C"
RUBRIC = "evaluate/rubric_test/all/X_over_C"


@pytest.mark.parametrize(
    ("path", "value", "primary", "verdict"),
    [
        (GAIN, interval(0.2, 0.1, 0.3), Primary.likelihood, Verdict.promote),
        (GAIN, interval(0.0, -0.04, 0.04), Primary.rubric, Verdict.promote),
        (GAIN, interval(0.0, -0.04, 0.04), Primary.likelihood, Verdict.hold),
        (GAIN, interval(0.0, -0.05, 0.04), Primary.rubric, Verdict.hold),
        (RUBRIC, interval(0.0, -0.14, 0.2), Primary.likelihood, Verdict.promote),
        (RUBRIC, interval(0.0, -0.16, 0.2), Primary.likelihood, Verdict.hold),
        (RUBRIC, interval(-0.3, -0.4, -0.1), Primary.likelihood, Verdict.reject),
        (GAIN, interval(-0.2, -0.3, -0.1), Primary.rubric, Verdict.reject),
        (RUBRIC, interval(-0.1, -0.14, -0.06), Primary.likelihood, Verdict.reject),
        (GAIN, interval(-0.03, -0.045, -0.01), Primary.rubric, Verdict.reject),
        (GAIN, interval(-0.02, -0.04, -0.0005), Primary.rubric, Verdict.hold),
        (GAIN, {"value": math.nan}, Primary.rubric, Verdict.hold),
        (RUBRIC, None, Primary.likelihood, Verdict.hold),
        (RUBRIC, interval(-0.3, -0.4, -0.1, clusters=19), Primary.likelihood, Verdict.hold),
    ],
)
def test_a_champion_must_be_beaten_where_declared_and_nowhere_missed(
    path: str, value: object, primary: Primary, verdict: Verdict
) -> None:
    config = replace(CONFIG, champion=CHAMPION, primary=primary)
    assert decided(changed(path, value), config).verdict is verdict


GAP, OVER_B1 = "evaluate/gap/closed", "evaluate/rubric_test/all/X_over_B1"
BITS = "evaluate/likelihood/all/bits_per_token_gain_over_B1"


def test_a_rubric_below_the_prompted_bases_for_sure_rejects_however_good_it_is() -> None:
    evidence = changed(OVER_B1, interval(-0.5, -0.7, -0.3))
    assert gate(evidence, "protocol").rejects
    assert decided(evidence).verdict is Verdict.reject
    assert "worse for sure" in decided(evidence).reasons[0]
    unsure = changed(OVER_B1, interval(-0.1, -0.3, 0.1))
    assert gate(unsure, "protocol").state is State.passed


def test_of_several_tests_each_must_be_surer_to_reject() -> None:
    once = {"value": -0.1, "lower": -0.2, "upper": -0.001, "n": 80, "clusters": 30, "p_worse": 0.02}
    assert decided(changed(BITS, once)).verdict is Verdict.hold
    sure = changed(BITS, once | {"p_worse": 0.016})
    assert decided(sure).verdict is Verdict.reject
    assert decided(sure, replace(CONFIG, champion=CHAMPION)).verdict is Verdict.hold
    assert decided(changed(GAP, once | {"p_worse": 0.02}, sure)).verdict is Verdict.reject
    both = shown_worse(changed(GAP, once | {"p_worse": 0.02}, sure).evaluate, CONFIG)
    assert both == {("likelihood", "all", "bits_per_token_gain_over_B1"), ("gap", "closed")}


def test_a_rubric_that_is_not_valid_compares_with_no_champion() -> None:
    config = replace(CONFIG, champion=CHAMPION)
    evidence = changed("evaluate/instrument", FAILED)
    assert gate(evidence, "champion", config).state is State.unknown
    worse = changed(RUBRIC, interval(-2.0, -2.1, -1.9), evidence)
    assert gate(worse, "champion", config).state is State.unknown
    assert gate(changed(GAIN, interval(-2.0, -2.1, -1.9), evidence), "champion", config).rejects


def test_harm_comes_first_among_the_reasons_and_each_reason_has_its_numbers() -> None:
    evidence = changed("evaluate/secrets/X/hits", 2, changed("evaluate/protocol10/X/value", 1.5))
    reasons = decided(evidence).reasons
    assert reasons[0] == "secrets FAIL: 2 secrets, addresses or private numbers in 90 replies of the twin."
    assert "1.50 over the ten prompts" in reasons[1]
    assert len(reasons) == 2


def test_every_gate_has_a_next_move() -> None:
    assert {one.name for one in gates(good(), CONFIG)} == set(MOVES)


SHIFTS: dict[str, tuple[Callable[[Tree], list[tuple[Tree, str]]], int]] = {
    "protocol": (lambda tree: [(tree["protocol10"]["X"], "value")], 1),
    "rubric_test": (lambda tree: [(tree["rubric_test"]["all"]["X"], key) for key in ("value", "lower", "upper")], 1),
    "likelihood": (
        lambda tree: [
            (tree["likelihood"]["all"]["bits_per_token_gain_over_B1"], key) for key in ("value", "lower", "upper")
        ],
        1,
    ),
    "rubric_over_prompted": (
        lambda tree: [(tree["rubric_test"]["all"]["X_over_B1"], key) for key in ("value", "lower", "upper")],
        1,
    ),
    "champion_likelihood": (
        lambda tree: [
            (tree["likelihood"]["all"]["bits_per_token_gain_over_C"], key) for key in ("value", "lower", "upper")
        ],
        1,
    ),
    "champion_rubric": (
        lambda tree: [(tree["rubric_test"]["all"]["X_over_C"], key) for key in ("value", "lower", "upper")],
        1,
    ),
    "context": (lambda tree: [(tree["context_choice"]["X"], key) for key in ("value", "lower", "upper")], 1),
    "gap": (lambda tree: [(tree["gap"]["closed"], key) for key in ("value", "lower", "upper")], 1),
    "rare_copy": (lambda tree: [(tree["alarms"]["rare_copy"]["X"], key) for key in ("value", "lower")], -1),
    "degenerate": (lambda tree: [(tree["alarms"]["degenerate"]["X"], key) for key in ("value", "lower")], -1),
    "memorisation": (lambda tree: [(tree["memorisation"], "auc")], -1),
    "secrets": (lambda tree: [(tree["secrets"]["X"], "hits")], -1),
}
"""Where each metric lies, and whether more (1) or less (-1) of it is better."""


def shifted(evidence: Evidence, metric: str, by: float) -> Evidence:
    tree = copy.deepcopy(dict(evidence.evaluate))
    places, better = SHIFTS[metric]
    for branch, key in places(tree):
        branch[key] += better * by
        if metric == "secrets":
            branch[key] = max(0, branch[key])
        if "p_worse" in branch:
            branch["p_worse"] = p_of(branch)
    return replace(evidence, evaluate=tree)


RANKS = [(State.failed, True), (State.failed, False), (State.unknown, False), (State.passed, False)]


def rank(found: Gate) -> int:
    """Return how good a gate's state is; what does not apply stands in nobody's way."""
    state = State.passed if found.state is State.not_applicable else found.state
    return RANKS.index((state, found.rejects and state is State.failed))


def never_worse(evidence: Evidence, better: Evidence, config: PromoteConfig) -> None:
    before, after = gates(evidence, config), gates(better, config)
    assert [one.name for one, other in zip(before, after, strict=True) if rank(other) < rank(one)] == []
    verdicts = [ORDER.index(decide(some, config.human).verdict) for some in (before, after)]
    assert verdicts[1] >= verdicts[0]


SHIFT = st.floats(-3, 3) | st.floats(-0.3, 0.3)
CONFIGS = st.builds(
    partial(replace, CONFIG),
    human=st.sampled_from(Human),
    champion=st.sampled_from([None, CHAMPION]),
    primary=st.sampled_from(Primary),
)


@settings(deadline=None, max_examples=300)
@given(
    start=st.dictionaries(st.sampled_from(sorted(SHIFTS)), SHIFT, max_size=3),
    metric=st.sampled_from(sorted(SHIFTS)),
    by=st.floats(0, 3),
    config=CONFIGS,
)
def test_improving_one_metric_never_worsens_a_gate_or_the_decision(
    start: dict[str, float], metric: str, by: float, config: PromoteConfig
) -> None:
    evidence = good()
    for name, shift in start.items():
        evidence = shifted(evidence, name, shift)
    never_worse(evidence, shifted(evidence, metric, by), config)


@pytest.mark.parametrize("config", [replace(CONFIG, champion=CHAMPION), replace(CONFIG, human=Human.required)])
@pytest.mark.parametrize("metric", sorted(SHIFTS))
def test_from_bad_to_far_better_than_good_no_gate_ever_falls(metric: str, config: PromoteConfig) -> None:
    path = [shifted(good(), metric, by / 20) for by in range(-60, 61)]
    for evidence, better in pairwise(path):
        never_worse(evidence, better, config)
    if config.champion:
        assert decided(path[0], config).verdict is not Verdict.promote
        assert decided(path[-1], config).verdict is Verdict.promote


@settings(deadline=None)
@given(states=st.lists(st.tuples(st.sampled_from(State), st.booleans()), min_size=1, max_size=8), data=st.data())
def test_a_better_state_of_one_gate_never_worsens_the_decision(
    states: list[tuple[State, bool]], data: st.DataObject
) -> None:
    better = {State.failed: [State.unknown, State.passed], State.unknown: [State.passed]}
    passed = [Gate(name, State.passed, "") for name in NAMES[len(states) :]]
    some = [Gate(name, state, "", harmful) for name, (state, harmful) in zip(NAMES, states, strict=False)] + passed
    place = data.draw(st.integers(0, len(states) - 1))
    after = data.draw(st.sampled_from([some[place].state, *better.get(some[place].state, [])]))
    improved = [*some[:place], replace(some[place], state=after), *some[place + 1 :]]
    verdicts = [decide(version, Human.waived).verdict for version in (some, improved)]
    assert ORDER.index(verdicts[1]) >= ORDER.index(verdicts[0])


PLACES = {"evaluate": "metrics/evaluate.json", "split": "metrics/split.json", "ingest": "metrics/ingest.json",
          "recipe": "models/adapter/recipe.json", "base": "models/base/identity.json"}  # fmt: skip
WEIGHTS = "models/adapter/adapters.safetensors"
PARAMS = (
    "promote: {protocol_min: 2.0, bits_min: 0.05, gap_min: 0.25, test_prompts_min: 60, human: required, "
    "champion: null, primary: likelihood}\n"
    "evaluate: {draws: 10000, seed: 17, bucket_replies: 99}\n"
)


def lay_out(folder: Path, evidence: Evidence, params: str = PARAMS) -> None:
    """Write all files that a decision rests on, of one run."""
    write_text(folder / "params.yaml", params)
    for path in stage.HASHED:
        write_text(folder / path, "{}\n")
    for part, path in PLACES.items():
        write_json(folder / path, getattr(evidence, part))
    write_json(folder / "data/generate/models.json", models_of(folder))


def models_of(folder: Path) -> Tree:
    """Return what `generate` notes of the models in a folder."""
    base = canonical_json(json.loads((folder / PLACES["base"]).read_text()))
    return {
        "adapter": sha256_file(folder / WEIGHTS),
        "recipe": sha256_file(folder / PLACES["recipe"]),
        "base": sha256_text(base),
        "champion": None,
    }


def judged(folder: Path) -> Tree:
    """Run the stage in a folder, which is the current one; return decision.json."""
    stage.main()
    found: Tree = json.loads((folder / "metrics/decision.json").read_text())
    return found


@pytest.fixture
def staged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of which everything passes, for staging."""
    monkeypatch.chdir(tmp_path)
    lay_out(tmp_path, good(), PARAMS.replace("required", "waived"))
    assert judged(tmp_path)["decision"] == "PROMOTE"
    return tmp_path


@pytest.mark.parametrize("path", [str(path) for path in stage.HASHED])
def test_no_file_of_the_run_may_be_missing(staged: Path, path: str) -> None:
    (staged / path).unlink()
    if path == PLACES["recipe"]:
        with pytest.raises(DataError, match="names no run"):
            stage.main()
        return
    found = judged(staged)
    assert (found["decision"], found["gates"]["provenance"]["state"]) == ("HOLD", "UNKNOWN")
    assert any(path in reason for reason in found["reasons"])


@pytest.mark.parametrize(
    ("path", "text", "told"),
    [
        (WEIGHTS, "another adapter", r"adapters\.safetensors is \w{12}, the replies are of \w{12}"),
        (PLACES["base"], '{"fixture": false, "id": "foreign"}', r"identity\.json is \w{12}, the replies are of"),
        (PLACES["recipe"], None, r"recipe\.json is \w{12}, the replies are of"),
        ("data/generate/models.json", "{}", "the replies are of none"),
        ("params.yaml", PARAMS.replace("null", CHAMPION), "the champion is aaaaaaaaaaaa, the replies are of none"),
    ],
)
def test_replies_of_other_models_than_those_at_hand_decide_nothing(
    staged: Path, path: str, text: str | None, told: str
) -> None:
    text = text or (staged / path).read_text().replace('"context"', '"none"')
    write_text(staged / path, text)
    found = judged(staged)
    assert (found["decision"], found["gates"]["provenance"]["state"]) == ("HOLD", "UNKNOWN")
    assert re.search(told, found["reasons"][0])


def test_the_stage_writes_a_decision_that_its_inputs_determine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lay_out(tmp_path, good())
    stage.main()
    written = [(tmp_path / name).read_text() for name in ("metrics/decision.json", "metrics/decision.md")]
    found = json.loads(written[0])
    assert found["decision"] == "HOLD"
    assert found["scope"] == "none"
    assert found["run"]["id"] == "0" * 64
    assert found["gates"]["protocol"] == {
        "state": "PASS",
        "value": 2.4,
        "lower": 2.2,
        "upper": 2.4,
        "bound": 2.2,
        "threshold": 2.0,
        "n": 80,
    }
    hashes = {entry["path"]: entry["sha256"] for entry in found["hashes"]}
    assert hashes["metrics/evaluate.json"] == sha256_file(tmp_path / "metrics/evaluate.json")
    assert {name.split(":")[0] for name in found["sources"]} == set(found["gates"])
    assert {"promote.primary: likelihood", "evaluate.draws: 10000"} < set(found["parameters"])
    assert sum(name.startswith("sha256: ") for name in found["parameters"]) == 1
    assert checked(found) == found
    assert written[0] == json.dumps(found, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    stage.main()
    assert [(tmp_path / name).read_text() for name in ("metrics/decision.json", "metrics/decision.md")] == written


def test_the_report_says_decision_reasons_gates_and_next_move(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lay_out(tmp_path, changed("evaluate/secrets/X/hits", 3))
    stage.main()
    report = (tmp_path / "metrics/decision.md").read_text()
    assert report.startswith("# REJECT\n")
    assert "- secrets FAIL: 3 secrets" in report
    assert "| secrets | **fail** | 3 |  | 0 | 90 |" in report
    assert report.index(MOVES["secrets"]) < report.index(MOVES["human"])


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda found: found.pop("hashes"), "hashes is missing"),
        (lambda found: found.update(cheer="yes"), "cheer is unknown"),
        (lambda found: found.update(reasons="none"), "reasons is no list"),
        (lambda found: found.update(reasons=[]), "no reason is given"),
        (lambda found: found.update(decision="promote"), "decision 'promote' is unknown"),
        (lambda found: found.update(decision="PROMOTE"), "only what is promoted has a scope"),
        (lambda found: found.update(decision="PROMOTE", scope="champion"), "it promotes past a gate"),
        (lambda found: found["gates"]["gap"].update(value=math.nan), "gate gap has a number that is none"),
        (lambda found: found["gates"]["gap"].update(value=True), "gate gap has a number that is none"),
        (lambda found: found["gates"]["gap"].pop("state"), "gate gap has no state"),
        (lambda found: found["gates"].clear(), "gate provenance is missing; gate enough_data is missing"),
        (lambda found: found["ratings"].clear(), "ratings: sessions is None; ratings: pairs is None"),
        (lambda found: found["ratings"].update(cheer=1), "ratings: cheer is unknown"),
        (
            lambda found: found["ratings"]["pairs"].update(wins="7"),
            "ratings: pairs is {.*'wins': '7'",
        ),
        (lambda found: found["ratings"].update(void={"a": 1}), "ratings: void is {'a': 1}"),
    ],
)
def test_a_document_that_is_no_decision_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Tree], object], fault: str
) -> None:
    monkeypatch.chdir(tmp_path)
    lay_out(tmp_path, good())
    stage.main()
    found = json.loads((tmp_path / "metrics/decision.json").read_text())
    change(found)
    with pytest.raises(ValueError, match=fault):
        checked(found)


def test_missing_metrics_hold_and_do_not_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lay_out(tmp_path, good())
    (tmp_path / "metrics/evaluate.json").unlink()
    stage.main()
    found = json.loads((tmp_path / "metrics/decision.json").read_text())
    assert found["decision"] == "HOLD"
    assert found["gates"]["likelihood"]["state"] == "UNKNOWN"
    assert "metrics/evaluate.json" not in {entry["path"] for entry in found["hashes"]}


def test_an_adapter_without_a_run_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lay_out(tmp_path, changed("recipe/run", None))
    with pytest.raises(DataError, match=r"recipe\.json names no run \(run\.id\)"):
        stage.main()
