"""Proves the decision: every gate by its rule, missing is never PASS, and better numbers never worsen it."""

import copy
import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import stages.promote as stage
from stages.promote.decision import Decision, Gate, Scope, State, Verdict, decide
from stages.promote.document import checked
from stages.promote.evidence import CONVERSATIONS_MIN, Evidence
from stages.promote.files import Files
from stages.promote.gates import gates
from stages.promote.report import MOVES
from twin.config.promote import Human, Primary, PromoteConfig
from twin.errors import DataError
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
    return {"value": value, "lower": lower, "upper": upper, "n": n, "clusters": clusters}


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
            "memorisation": {"auc": 0.6, "lower": 0.55, "upper": 0.65, "n": 400},
            "instrument": {
                "state": "PASS",
                "real_mean": 2.7,
                "base_mean": 0.1,
                "adversarial_max": 1.0,
                "holds": {"auc": True},
            },
            "protocol10": {"X": {"value": 2.4, "n": 10}},
            "rubric_test": {"all": {"X": interval(2.3, 2.2, 2.4), "X_over_C": interval(0.1, 0.05, 0.2)}},
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
        ("evaluate/instrument/state", "FAIL", "instrument", Verdict.hold),
        ("evaluate/instrument/holds", {"auc": False}, "instrument", Verdict.hold),
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
        ("evaluate/gap/closed", interval(-0.4, -0.9, -0.1), "gap", Verdict.reject),
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
    evidence = changed("evaluate/protocol10/X/value", 0.1, changed("evaluate/instrument/state", "FAIL"))
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
        (GAIN, interval(-0.2, -0.3, -0.01), Primary.rubric, Verdict.reject),
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


def test_harm_comes_first_among_the_reasons_and_each_reason_has_its_numbers() -> None:
    evidence = changed("evaluate/secrets/X/hits", 2, changed("evaluate/protocol10/X/value", 1.5))
    reasons = decided(evidence).reasons
    assert reasons[0] == "secrets FAIL: 2 secrets or e-mail addresses in 90 replies of the twin."
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
    return replace(evidence, evaluate=tree)


@given(
    start=st.fixed_dictionaries({metric: st.floats(-3, 3) for metric in SHIFTS}),
    metric=st.sampled_from(sorted(SHIFTS)),
    by=st.floats(0, 3),
    config=st.builds(
        partial(replace, CONFIG),
        human=st.sampled_from(Human),
        champion=st.sampled_from([None, CHAMPION]),
        primary=st.sampled_from(Primary),
    ),
)
def test_improving_one_metric_never_worsens_the_decision(
    start: dict[str, float], metric: str, by: float, config: PromoteConfig
) -> None:
    evidence = good()
    for name, shift in start.items():
        evidence = shifted(evidence, name, shift)
    before, after = decided(evidence, config), decided(shifted(evidence, metric, by), config)
    assert ORDER.index(after.verdict) >= ORDER.index(before.verdict)


@given(states=st.lists(st.tuples(st.sampled_from(State), st.booleans()), min_size=1, max_size=8), data=st.data())
def test_a_better_state_of_one_gate_never_worsens_the_decision(
    states: list[tuple[State, bool]], data: st.DataObject
) -> None:
    better = {State.failed: [State.unknown, State.passed], State.unknown: [State.passed]}
    some = [Gate(str(place), state, "", harmful) for place, (state, harmful) in enumerate(states)]
    place = data.draw(st.integers(0, len(some) - 1))
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
        "bound": 2.2,
        "threshold": 2.0,
        "n": 80,
    }
    hashes = {entry["path"]: entry["sha256"] for entry in found["hashes"]}
    assert hashes["metrics/evaluate.json"] == sha256_file(tmp_path / "metrics/evaluate.json")
    assert {name.split(":")[0] for name in found["sources"]} == set(found["gates"])
    assert "primary: likelihood" in found["parameters"]
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
        (lambda found: found["gates"].clear(), "it has no gates"),
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
