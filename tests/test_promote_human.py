"""Proves the gate of people's ratings: what counts, what is missing, what fails, and that wins never worsen it."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import stages.promote as stage
from stages.promote.decision import State, Verdict, decide
from stages.promote.gates import gates
from stages.promote.human import PROMPTS, Judged, Ratings, human, summarise
from tests.rating import ADAPTER, GENERATIONS, RUN, Row, session, write_session
from tests.test_promote import CONFIG as WAIVED
from tests.test_promote import good, lay_out
from twin.config.promote import Human
from twin.errors import DataError
from twin.files import sha256_file
from twin.protocol import protocol
from twin.ratings import read_sessions

CONFIG = replace(WAIVED, human=Human.required)
IDS = [prompt.id for prompt in protocol()]
JUDGED = Judged(RUN, ADAPTER, GENERATIONS)


def stream(hits: int, misses: int) -> tuple[bool, ...]:
    """Return misses first, so that nothing stops early."""
    return (False,) * misses + (True,) * hits


PASSED = Ratings(
    sessions=3, won=(True,) * 7, told=stream(48, 32), scores=dict.fromkeys(IDS, 2.0), cant_tell={"pairs": 5}
)


def alternating(losses: int, wins: int) -> tuple[bool, ...]:
    return (True, False) * min(losses, wins) + (True,) * (wins - losses) + (False,) * (losses - wins)


def counted(folder: Path, *sessions: list[Row]) -> Ratings:
    for place, rows in enumerate(sessions):
        rows[0]["id"] = f"s{place}"
        write_session(folder / f"{place}.jsonl", rows)
    return summarise(read_sessions(folder), JUDGED)


def test_all_three_measurements_pass_on_their_thresholds() -> None:
    found = human(PASSED, CONFIG)
    assert (found.state, found.threshold, found.n) == (State.passed, 20.0, 7)
    assert found.value is not None and found.value > 20
    assert "won 7 of 7 decided pairs" in found.why and "5 undecided" in found.why


def test_ratings_that_pass_promote_to_champion() -> None:
    every = gates(replace(good(), ratings=PASSED), CONFIG)
    assert decide(every, Human.required).verdict is Verdict.promote


@pytest.mark.parametrize("ratings", [Ratings(), PASSED, replace(PASSED, won=(False,) * 6), Ratings(won=(True,) * 3)])
def test_waived_ratings_are_not_asked_for(ratings: Ratings) -> None:
    assert human(ratings, WAIVED).state is State.not_applicable


@pytest.mark.parametrize(
    ("ratings", "verdict"),
    [
        (Ratings(won=(False,) * 40, told=(True,) * 80), Verdict.reject),
        (replace(PASSED, won=(False,) * 7), Verdict.reject),
        (replace(PASSED, told=(True,) * 80), Verdict.hold),
    ],
)
def test_a_waiver_does_not_overrule_what_people_said(ratings: Ratings, verdict: Verdict) -> None:
    assert human(ratings, WAIVED) == human(ratings, CONFIG)
    assert decide(gates(replace(good(), ratings=ratings), WAIVED), Human.waived).verdict is verdict


def test_no_ratings_await_people() -> None:
    found = human(Ratings(), CONFIG)
    assert (found.state, found.why) == (State.unknown, "awaiting_human: nobody has rated the twin blind.")


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        ({"won": (True,) * 6}, "awaiting_human: up to 74 more decided pairs. "),
        ({"told": stream(40, 39)}, "awaiting_human: 1 more identifications. "),
        ({"scores": dict.fromkeys(IDS[:9], 3.0)}, "awaiting_human: scores of 1 more of the ten prompts. "),
        (
            {"won": (), "told": (), "scores": {}, "void": {"a": "it was not ended"}},
            "awaiting_human: up to 80 more decided pairs; 80 more identifications; scores of 10 more of the ten",
        ),
    ],
)
def test_what_is_missing_is_unknown_and_counted(change: dict[str, Any], missing: str) -> None:
    found = human(replace(PASSED, **change), CONFIG)
    assert found.state is State.unknown
    assert found.why.startswith(missing)


@pytest.mark.parametrize(
    "change",
    [
        {"won": alternating(40, 40)},
        {"won": alternating(27, 27)},
        {"told": stream(49, 31)},
        {"told": stream(49, 0)},
        {"scores": dict.fromkeys(IDS, 1.9)},
        {"scores": {}, "won": alternating(40, 40)},
    ],
)
def test_a_measurement_that_misses_or_can_no_longer_hold_fails_without_harm(change: dict[str, Any]) -> None:
    found = human(replace(PASSED, **change), CONFIG)
    assert (found.state, found.rejects) == (State.failed, False)


def test_a_twin_that_loses_to_the_prompted_base_is_rejected_even_if_the_rest_is_missing() -> None:
    ratings = Ratings(sessions=1, won=(False,) * 7)
    found = human(ratings, CONFIG)
    assert (found.state, found.rejects) == (State.failed, True)
    assert "worse than the prompted base" in found.why
    assert decide(gates(replace(good(), ratings=ratings), CONFIG), Human.required).verdict is Verdict.reject


def test_what_comes_after_the_test_has_stopped_changes_nothing() -> None:
    assert human(replace(PASSED, won=(True,) * 7 + (False,) * 73), CONFIG) == human(PASSED, CONFIG)
    assert human(replace(PASSED, told=stream(48, 32) + (True,) * 50), CONFIG) == human(PASSED, CONFIG)


def test_means_of_three_raters_reach_a_threshold_of_two() -> None:
    scores = dict(zip(IDS, [7 / 3, 5 / 3] * 5, strict=True))
    assert human(replace(PASSED, scores=scores), CONFIG).state is State.passed


RANKS = [(State.failed, True), (State.failed, False), (State.unknown, False), (State.passed, False)]


def rank(ratings: Ratings) -> int:
    found = human(ratings, CONFIG)
    return RANKS.index((found.state, found.rejects))


streams = st.one_of(
    st.lists(st.booleans(), max_size=90),
    st.tuples(st.integers(0, 60), st.integers(0, 60)).map(lambda both: list(alternating(*both))),
)


@settings(deadline=None)
@given(won=streams, told=streams, scored=st.lists(st.integers(0, 3), max_size=10), data=st.data())
def test_more_wins_never_worsen_the_gate(
    won: list[bool], told: list[bool], scored: list[int], data: st.DataObject
) -> None:
    if data.draw(st.booleans()):
        told = list(PASSED.told)
    before = Ratings(1, tuple(won), tuple(told), dict(zip(IDS, scored, strict=False)), ignored={"others": 1})
    assert rank(replace(before, won=(*won, True))) >= rank(before)
    assert rank(replace(before, told=(*told, False))) >= rank(before)
    if won:
        place = data.draw(st.integers(0, len(won) - 1))
        assert rank(replace(before, won=(*won[:place], True, *won[place + 1 :]))) >= rank(before)
    if told:
        place = data.draw(st.integers(0, len(told) - 1))
        assert rank(replace(before, told=(*told[:place], False, *told[place + 1 :]))) >= rank(before)
    if scored:
        assert rank(replace(before, scores=dict(before.scores) | {IDS[0]: 3})) >= rank(before)


def test_sessions_become_counts_without_repeats_catch_items_and_undecided_answers(tmp_path: Path) -> None:
    found = counted(
        tmp_path,
        session(["X"] * 12 + ["B1"] * 5 + [None] * 3),
        session(["R"] * 6 + ["X"] * 4, mode="identify"),
        session([3, 2] * 5, mode="protocol", prompt_ids=IDS),
    )
    assert (sum(found.won), len(found.won)) == (12, 17)
    assert (sum(found.told), len(found.told)) == (6, 10)
    assert found.scores == dict(zip(IDS, [3.0, 2.0] * 5, strict=True))
    assert found.cant_tell == {"pairs": 3, "identify": 0}
    assert (found.sessions, found.void, found.ignored) == (3, {}, {})


def test_two_raters_both_count_and_one_rater_counts_once(tmp_path: Path) -> None:
    again = session(["B1"] * 10)
    found = counted(tmp_path, session(["X"] * 10), again, session(["B1"] * 10, rater="bea"))
    assert found.won == (True,) * 10 + (False,) * 10
    assert found.ignored == {"answers given before by the same rater": 10}


def test_the_scores_of_two_raters_are_averaged(tmp_path: Path) -> None:
    both = [session([score], mode="protocol", prompt_ids=IDS[:1], rater=str(score)) for score in (3, 2)]
    assert counted(tmp_path, *both).scores == {IDS[0]: 2.5}


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({"run_id": "a" * 64}, "sessions of another run"),
        ({"adapter_sha256": "a" * 64}, "sessions of another adapter"),
        ({"generations_sha256": "a" * 64}, "sessions of other generations"),
    ],
)
def test_ratings_of_something_else_are_ignored_and_counted(tmp_path: Path, header: Row, reason: str) -> None:
    found = counted(tmp_path, session(["X"] * 10, **header))
    assert (found.won, found.ignored) == ((), {reason: 1})
    gate = human(found, CONFIG)
    assert gate.state is State.unknown
    assert f"Not counted: 1 {reason}." in gate.why


def test_pairs_of_other_arms_and_scores_of_other_prompts_are_ignored(tmp_path: Path) -> None:
    pairs, scores = session(["X"] * 3), session([3], mode="protocol", prompt_ids=IDS[:1])
    for row in pairs[1:-1]:
        row["arms"] = {side: {"B1": "B0"}.get(arm, arm) for side, arm in row["arms"].items()}
    scores[1]["prompt_set"] = "test"
    found = counted(tmp_path, pairs, scores)
    assert (found.won, found.scores) == ((), {})
    assert found.ignored == {"answers about other arms": 3, "scores of other than the fixed prompts": 1}


def test_a_void_session_counts_nothing_and_says_why(tmp_path: Path) -> None:
    found = counted(tmp_path, session(["X"] * 20)[:-1])
    assert (found.won, found.void) == ((), {"s0": "it was not ended"})
    gate = human(found, CONFIG)
    assert gate.state is State.unknown
    assert "Session s0 is void: it was not ended." in gate.why


def test_the_number_of_fixed_prompts_is_that_of_the_protocol() -> None:
    assert len(IDS) == PROMPTS


def whole(folder: Path, sessions: Sequence[list[Row]]) -> dict[str, Any]:
    lay_out(folder, good())
    about = {
        "adapter_sha256": sha256_file(folder / "models/adapter/adapters.safetensors"),
        "generations_sha256": sha256_file(folder / "data/generate/generations.jsonl"),
    }
    (folder / "data/ratings").mkdir()
    for place, rows in enumerate(sessions):
        rows[0] |= about | {"id": f"s{place}"}
        write_session(folder / f"data/ratings/{place}.jsonl", rows)
    stage.main()
    found: dict[str, Any] = json.loads((folder / "metrics/decision.json").read_text())
    return found


def test_the_stage_reads_ratings_hashes_them_and_writes_the_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = whole(
        tmp_path,
        [
            session(["X"] * 30),
            session(["R", "X"] * 40, mode="identify"),
            session([3] * 10, mode="protocol", prompt_ids=IDS),
        ],
    )
    assert found["gates"]["human"]["state"] == "PASS"
    assert found["ratings"]["pairs"] == {
        "wins": 7, "losses": 0, "better": True, "worse": False, "given": 30, "e": pytest.approx(255 / 8),
    }  # fmt: skip
    assert found["ratings"]["identified"] == {"right": 40, "n": 80}
    hashes = {entry["path"]: entry["sha256"] for entry in found["hashes"]}
    assert hashes["data/ratings/1.jsonl"] == sha256_file(tmp_path / "data/ratings/1.jsonl")


def test_a_malformed_rating_stops_the_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = session(["X"])
    rows[1]["answer"] = "neither"
    with pytest.raises(DataError, match=r"data/ratings/0\.jsonl:2: answer is 'neither'"):
        whole(tmp_path, [rows])
