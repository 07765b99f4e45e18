"""A campaign walks its rows by its rules, goes on where it was killed, and never runs what is finished again."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.campaigning import Killed, World, campaign, outcomes, walk
from twin.campaign import experiments, process, report
from twin.campaign.journal import Journal, State
from twin.campaign.judging import Finding, Findings, against_all, comparison, pick
from twin.campaign.queue import FOLDER, parse, read, shipped
from twin.campaign.world import Budget, Ended
from twin.errors import ConfigError
from twin.files import write_json

MEMORY = Ended(State.memory, "too much")
LADDER = [{"name": "r4", "set": ["adapter.rank=4"]}, {"name": "lora", "set": ["adapter=lora_r32"]}]


def row(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name} | more


def picking(*names: str, **more: Any) -> dict[str, Any]:
    return row("winner", pick=list(names), by=["likelihood"], undecided="earliest") | more


QUEUE = campaign(
    row("one", set=["a=1"], stop_if=[{"not_learned_by": 63}]),
    row("two", set=["a=2"], stop_if=[{"worse_than": "one", "by": ["likelihood"]}]),
    row("three", set=["a=3"], on_memory=LADDER),
    picking("one", "two", "three"),
    row("four", continues="winner", keep=["adapter"], stop_if=[{"equivalent_to": "winner", "by": ["likelihood"]}]),
    row("last", pick=["winner", "four"], by=["likelihood"], undecided="earliest"),
)
AHEAD = {("one", "two"): "worse", ("one", "three"): "better", ("three", "four"): "equivalent"}


def test_the_whole_queue_runs_and_the_better_one_wins(tmp_path: Path) -> None:
    world = World({"three": MEMORY}, {("one", "two"): "worse", ("one", "three"): "better"})
    rows = walk(QUEUE, world, tmp_path)
    assert outcomes(rows) == {
        "one": "finished", "two": "stopped", "three": "finished", "winner": "winner", "four": "finished",
        "last": "inconclusive",
    }  # fmt: skip
    assert world.ran == ["one", "two", "three", "three-r4", "four"]
    assert rows[3]["row"] == "three"
    assert rows[1]["why"] == "worse than one"
    assert rows[5]["why"] == "three and four are not told apart; three is taken on by the rule `earliest`"


def test_the_next_rung_is_tried_only_where_memory_ran_out(tmp_path: Path) -> None:
    rungs = {"three": MEMORY, "three-r4": MEMORY, "three-lora": MEMORY}
    world = World(rungs)
    rows = walk(QUEUE, world, tmp_path)
    assert [run["rung"] for run in rows[2]["runs"]] == [None, "r4", "lora"]
    assert [run["outcome"] for run in rows[2]["runs"]] == ["memory"] * 3
    assert outcomes(rows)["three"] == "out of memory"
    failing = World({"three": Ended(State.failed, "a bug")})
    walk(QUEUE, failing, tmp_path / "other")
    assert "three-r4" not in failing.ran


def test_a_rung_adds_its_changes_to_the_row(tmp_path: Path) -> None:
    world = World({"three": MEMORY})
    walk(QUEUE, world, tmp_path, extra=("train.updates=9",))
    assert world.done["queue-three-r4"].overrides == ("a=3", "train.updates=9", "adapter.rank=4")


def test_the_fourth_row_continues_the_winner_with_its_choices_and_run_id(tmp_path: Path) -> None:
    world = World(ahead=AHEAD)
    walk(QUEUE, world, tmp_path)
    assert world.done["queue-four"].overrides == ('campaign.winner="id of three"', "adapter.of=queue-three")


def test_a_run_that_learned_nothing_by_its_update_is_stopped_and_never_picked(tmp_path: Path) -> None:
    world = World(ahead={("one", "three"): "worse"})
    world.stalled = {"one"}
    rows = walk(QUEUE, world, tmp_path)
    assert "train.learn_by=63" in world.done["queue-one"].overrides
    assert rows[0]["outcome"] == "stopped"
    assert rows[0]["why"] == "the validation loss had not fallen by update 63"
    assert rows[3]["row"] != "one"


def test_training_that_diverged_stops_its_row_and_not_the_queue(tmp_path: Path) -> None:
    rows = walk(QUEUE, World({"one": Ended(State.diverged, "diverged")}), tmp_path)
    assert outcomes(rows)["one"] == "stopped"
    assert outcomes(rows)["two"] == "finished"
    assert rows[1]["comparisons"][0]["verdict"] == "unknown"


def test_no_measurable_difference_is_the_equivalence_result_and_nothing_weaker(tmp_path: Path) -> None:
    stopped = walk(QUEUE, World(ahead=AHEAD), tmp_path / "a")
    assert (stopped[4]["outcome"], stopped[4]["why"]) == ("stopped", "no measurable difference to three")
    unclear = walk(QUEUE, World(ahead=AHEAD | {("three", "four"): "inconclusive"}), tmp_path / "b")
    assert unclear[4]["outcome"] == "finished"


@pytest.mark.parametrize("place", ["one", "two", "three", "three-r4", "four"])
def test_killed_at_any_run_it_goes_on_and_runs_nothing_finished_again(tmp_path: Path, place: str) -> None:
    ends = {"three": MEMORY}
    undisturbed = walk(QUEUE, World(ends, AHEAD), tmp_path / "undisturbed")
    world = World(ends, AHEAD)
    world.kill = place
    with pytest.raises(Killed):
        walk(QUEUE, world, tmp_path / "killed")
    rows = walk(QUEUE, world, tmp_path / "killed")
    assert sorted(world.ran) == sorted(["one", "two", "three", "three-r4", "four", place])
    assert outcomes(rows) == outcomes(undisturbed)
    again = len(world.ran)
    walk(QUEUE, world, tmp_path / "killed")
    assert len(world.ran) == again


def test_ctrl_c_leaves_a_record_of_what_was_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World({"three": MEMORY}, AHEAD)
    world.kill = "three-r4"
    monkeypatch.setattr("tests.campaigning.Killed", KeyboardInterrupt)
    rows = walk(QUEUE, world, tmp_path)
    assert list(outcomes(rows).values()) == ["finished", "stopped", "interrupted", "skipped", "skipped", "skipped"]
    assert rows[3]["why"] == "not begun: interrupted"
    assert "not all rows are decided" in report.markdown(
        {"queue": report.tree(QUEUE, rows, Journal(tmp_path), Budget(), ())}
    )
    assert outcomes(walk(QUEUE, world, tmp_path))["four"] != "skipped"


def test_a_finished_experiment_is_found_although_the_journal_is_lost(tmp_path: Path) -> None:
    world = World(ahead=AHEAD)
    walk(QUEUE, world, tmp_path / "a")
    ran = len(world.ran)
    walk(QUEUE, world, tmp_path / "b")
    assert len(world.ran) == ran


def test_what_ran_out_of_memory_is_tried_again_only_when_asked(tmp_path: Path) -> None:
    world = World({"three": MEMORY})
    walk(QUEUE, world, tmp_path)
    walk(QUEUE, world, tmp_path)
    assert world.ran.count("three") == 1
    walk(QUEUE, world, tmp_path, retry=True)
    assert world.ran.count("three") == 2


@pytest.mark.parametrize(("rule", "then"), [("halt", "skipped"), ("go_on", "finished")])
def test_a_failure_ends_the_queue_or_its_row_by_the_declared_rule(tmp_path: Path, rule: str, then: str) -> None:
    queue = campaign(row("one"), row("two"), on_failure=rule)
    world = World({"one": Ended(State.failed, "a bug")})
    rows = walk(queue, world, tmp_path)
    assert outcomes(rows) == {"one": "failed", "two": then}
    assert rows[0]["why"] == "a bug"
    world.ends = {}
    assert outcomes(walk(queue, world, tmp_path)) == {"one": "finished", "two": "finished"}


def test_no_row_begins_when_the_budget_is_spent(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.started("queue-earlier", 1, since=1000.0)
    journal.ended("queue-earlier", State.finished, "", now=1000.0 + 3600)
    world = World()
    rows = walk(QUEUE, world, tmp_path, Budget(hours=1))
    assert world.ran == []
    assert (rows[0]["outcome"], rows[0]["why"]) == ("interrupted", "the budget is spent")
    assert rows[1] == rows[1] | {"outcome": "skipped", "why": "not begun: the budget is spent"}
    walk(QUEUE, world, tmp_path, Budget(hours=2))
    assert world.limits[0] == pytest.approx(3600)


def test_a_row_whose_hours_are_spent_is_stopped_and_the_queue_goes_on(tmp_path: Path) -> None:
    queue = campaign(row("one", hours=2), row("two"))
    world = World({"one": Ended(State.interrupted, "the budget is spent")})
    rows = walk(queue, world, tmp_path)
    assert world.limits == [pytest.approx(2 * 3600), None]
    assert outcomes(rows) == {"one": "stopped", "two": "finished"}
    assert rows[0]["why"] == "its 2 h are spent"
    walk(queue, world, tmp_path)
    assert world.ran == ["one", "two"]


def test_energy_is_wall_time_times_declared_watts() -> None:
    assert Budget(kwh=0.1, watts=50).left_s(0) == pytest.approx(2 * 3600)
    assert Budget(hours=1, kwh=0.1, watts=50).left_s(600) == pytest.approx(3000)
    assert Budget().left_s(1e9) is None


def test_seeds_are_runs_of_one_row_and_are_compared_together(tmp_path: Path) -> None:
    queue = campaign(
        row("plain", seeds=[1, 2]),
        row("tagged", seeds=[1, 2]),
        row("verdict", compare="tagged", against=["plain"], by=["likelihood"]),
    )
    world = World(ahead={("plain", "tagged"): "better"})
    rows = walk(queue, world, tmp_path)
    assert world.ran == ["plain-s1", "plain-s2", "tagged-s1", "tagged-s2"]
    assert (rows[2]["outcome"], rows[2]["why"]) == ("better", "tagged: better than plain")


def test_geometry_helps_only_where_it_beats_no_tag_and_the_placebo(tmp_path: Path) -> None:
    queue = campaign(
        row("plain"),
        row("shuffled"),
        row("tagged"),
        row("verdict", compare="tagged", against=["plain", "shuffled"], by=["likelihood"]),
    )
    for plain, shuffled, verdict in (
        ("better", "better", "better"),
        ("better", "equivalent", "inconclusive"),
        ("better", "inconclusive", "inconclusive"),
        ("equivalent", "equivalent", "equivalent"),
        ("inconclusive", "equivalent", "inconclusive"),
        ("worse", "better", "worse"),
    ):
        world = World(ahead={("plain", "tagged"): plain, ("shuffled", "tagged"): shuffled})
        rows = walk(queue, world, tmp_path / f"{plain}{shuffled}")
        assert rows[3]["outcome"] == verdict


def finding(verdict: str, p: float = 0.001) -> Findings:
    return {"likelihood": Finding("likelihood", verdict, "", p)}


def test_a_winner_is_shown_only_where_it_beats_every_other() -> None:
    rows, by = ["a", "b", "c"], ["likelihood"]
    clear = {("a", "b"): finding("better"), ("a", "c"): finding("inconclusive"), ("b", "c"): finding("worse")}
    assert pick(rows, clear, by, rows, "earliest").row == "b"
    assert pick(rows, clear, by, rows, "earliest").shown
    unclear = clear | {("b", "c"): finding("inconclusive")}
    found = pick(rows, unclear, by, rows, "earliest")
    assert (found.row, found.shown) == ("b", False)
    assert pick(rows, unclear, by, ["c", "b", "a"], "fewest_parameters").row == "c"


def test_what_holm_does_not_bear_is_inconclusive() -> None:
    rows = ["a", "b", "c"]
    weak = {pair: finding("better", 0.06) for pair in (("a", "b"), ("a", "c"), ("b", "c"))}
    found = pick(rows, weak, ["likelihood"], rows, "earliest")
    assert not found.shown
    assert "better by itself" in found.comparisons[0].words


def test_the_first_metric_that_decides_decides_and_a_refused_one_leaves_equivalence_open() -> None:
    found = {
        "rubric_test": Finding("rubric_test", "inconclusive", ""),
        "likelihood": Finding("likelihood", "worse", ""),
        "protocol10": Finding("protocol10", "equivalent", ""),
    }
    assert comparison("b", "a", found, ["rubric_test", "likelihood"]).verdict == "worse"
    assert comparison("b", "a", found, ["protocol10"]).verdict == "equivalent"
    assert comparison("b", "a", found, ["protocol10", "rubric_test"]).verdict == "inconclusive"
    refused = {"rubric_test": Finding("rubric_test", "refused", "its self-test fails")}
    assert comparison("b", "a", refused, ["rubric_test"]).verdict == "inconclusive"
    assert against_all([comparison("b", "a", refused, ["rubric_test"])]) == "inconclusive"


GOOD = {"about": "x", "rows": [{"name": "one", "says": "y"}]}
WRONG: dict[str, tuple[Any, str]] = {
    "no rows": ({"rows": []}, r"q\.yaml: rows is \[\]; it must be a list of rows"),
    "unknown key": ({"row": []}, r"q\.yaml: row is \[\]; it must be one of the keys .*Did you mean rows\?"),
    "failure": ({"on_failure": "wait"}, r"q\.yaml: on_failure is 'wait'; it must be one of halt, go_on"),
    "watts": ({"watts": 0}, r"q\.yaml: watts is 0; it must be a number above 0"),
}
WRONG_ROWS: dict[str, tuple[dict[str, Any], str]] = {
    "a name twice": (row("one"), r"row 2: name is 'one'; it must be a name of its own"),
    "a name with a space": (row("a b"), r"row 2: name is 'a b'; it must be letters, digits and _"),
    "unknown rule": (
        row("two", stop_if=[{"wors_than": "one"}]),
        r"two: stop_if: wors_than is 'one'; it must be one of the keys .*Did you mean worse_than\?",
    ),
    "two rules": (row("two", stop_if=[{"worse_than": "one", "equivalent_to": "one"}]), r"two: stop_if .* one of not_l"),
    "no metric": (row("two", stop_if=[{"worse_than": "one"}]), r"two: stop_if\.by is None; it must be what judges"),
    "metric": (
        row("two", stop_if=[{"worse_than": "one", "by": ["loss"]}]),
        r"two: stop_if\.by is 'loss'; it must be one of likelihood, rubric_test, protocol10",
    ),
    "later row": (
        row("two", continues="three"),
        r"q\.yaml: two: continues is 'three'; it must be a row before it: one",
    ),
    "itself": (picking("one", "winner"), r"winner: pick is 'winner'; it must be a row before it: one"),
    "update": (row("two", stop_if=[{"not_learned_by": 0}]), r"two: stop_if\.not_learned_by is 0; it must be an update"),
    "keep": (row("two", continues="one", keep=["ingest"]), r"two: keep is 'ingest'; it must be one of model, adapter"),
    "keep nothing": (row("two", keep=["model"]), r"two: keep is \['model'\]; it must be absent"),
    "rung": (row("two", on_memory=[{"name": "r4"}]), r"two: on_memory\.set is \[\]; it must be what is to change"),
    "seeds": (row("two", seeds=[1, 1]), r"two: seeds is \[1, 1\]; it must be a list of different whole numbers"),
    "undecided": (picking("one", undecided="coin"), r"winner: undecided is 'coin'; it must be one of earliest, fewest"),
    "hours": (row("two", hours=-1), r"two: hours is -1; it must be a number above 0"),
    "set": (row("two", set="adapter.rank=8"), r"two: set is 'adapter\.rank=8'; it must be a list of texts"),
    "says": (row("two", says=""), r"two: says is ''; it must be a text"),
    "run and pick": (picking("one", set=[]), r"row 2: set is \[\]; it must be one of the keys name, says, pick"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_file_is_refused_with_place_value_and_what_is_allowed(case: str) -> None:
    values, message = WRONG[case]
    with pytest.raises(ConfigError, match=message):
        parse(GOOD | values, Path("q.yaml"))


@pytest.mark.parametrize("case", WRONG_ROWS)
def test_a_wrong_row_is_refused_with_place_value_and_what_is_allowed(case: str) -> None:
    values, message = WRONG_ROWS[case]
    with pytest.raises(ConfigError, match=message):
        parse({"about": "x", "rows": [*GOOD["rows"], {"says": "y"} | values]}, Path("q.yaml"))


def test_an_unknown_campaign_names_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"nope is no campaign; there are demo, geometry, note\."):
        read("nope")


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_campaign_keeps_to_the_vocabulary(name: str) -> None:
    assert read(name).name == name
    assert all(one["says"] for one in yaml.safe_load((FOLDER / f"{name}.yaml").read_text())["rows"])


LOG = "ERROR: failed to reproduce 'train': failed to run: python -m twin.guard train, exited with {}\n"


@pytest.mark.parametrize(
    ("said", "state", "why"),
    [
        (
            "MemoryPlanError: DoRA r8 needs 2 GiB; 1 GiB are usable. These fit:\n" + LOG.format(1),
            "memory",
            "DoRA r8 needs",
        ),
        (LOG.format(-9), "memory", "train ended by SIGKILL, as the kernel does"),
        (LOG.format(137), "memory", "train ended by SIGKILL"),
        (LOG.format(139), "memory", "train ended by SIGSEGV"),
        (LOG.replace("train", "ingest").format(-9), "failed", "status 255"),
        ("TrainError: training diverged after 9 updates\n" + LOG.format(1), "diverged", "training diverged after 9"),
        ("a\nb\nc\nTypeError: x\n" + LOG.format(1), "failed", "TypeError: x / ERROR: failed to reproduce"),
    ],
)
def test_memory_is_told_from_a_bug_by_the_log(said: str, state: str, why: str) -> None:
    found = process.ended(255, said, Path("x.log"))
    assert found.state.value == state
    assert why in found.why
    assert ("x.log" in found.why) == (state == "failed")


def child(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_process_is_logged_and_its_group_told(tmp_path: Path) -> None:
    groups: list[int] = []
    log = tmp_path / "a.log"
    assert process.run(child("print('hello')"), log, None, None, groups.append) == Ended(State.finished)
    failed = process.run(child("raise SystemExit('no')"), log, None, None, groups.append)
    assert (failed.state, "no" in failed.why, "hello" in failed.why) == (State.failed, True, False)
    assert log.read_text() == "hello\nno\n"
    assert len(groups) == 2


def test_a_spent_budget_interrupts_a_run_as_ctrl_c_does(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    code = "import time\ntry:\n print('up', flush=True); time.sleep(600)\nexcept KeyboardInterrupt: print('kept')"

    def started(group: int) -> None:
        while "up" not in log.read_text():
            time.sleep(0.01)

    ended = process.run(child(code), log, 0.0, None, started)
    assert ended.state is State.interrupted
    assert log.read_text() == "up\nkept\n"


def test_a_run_can_be_interrupted_although_its_campaign_ignores_ctrl_c(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as behind nohup
    try:
        code = "import signal; print(signal.getsignal(signal.SIGINT) is signal.SIG_IGN)"
        process.run(child(code), tmp_path / "a.log", None, None, lambda group: None)
    finally:
        signal.signal(signal.SIGINT, before)
    assert (tmp_path / "a.log").read_text() == "False\n"


def test_sigterm_stops_the_run_and_then_the_campaign(tmp_path: Path) -> None:
    code = "import time\ntry:\n print('up', flush=True); time.sleep(600)\nexcept KeyboardInterrupt: print('kept')"
    log = tmp_path / "a.log"

    def started(group: int) -> None:
        while "up" not in log.read_text():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        process.run(child(code), log, None, None, started)
    assert log.read_text() == "up\nkept\n"


def test_a_run_that_outlived_its_campaign_is_waited_for_and_not_run_beside(tmp_path: Path) -> None:
    log, lock = tmp_path / "a.log", tmp_path / "a.lock"
    code = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, 2); print('up', flush=True); sys.stdin.read()"
    earlier = subprocess.Popen(
        [*child(code), str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    assert earlier.stdin is not None
    assert earlier.stdout is not None
    earlier.stdout.readline()
    groups: list[int] = []

    def started(group: int) -> None:
        groups.append(group)
        assert earlier.stdin is not None
        earlier.stdin.close()

    ended = process.run(child("print('a second')"), log, None, earlier.pid, started)
    earlier.stdout.close()
    assert earlier.wait() == 0
    assert ended == Ended(State.finished, "outlived")
    assert groups == [earlier.pid]
    assert not log.exists()


def test_two_processes_do_not_walk_one_campaign(tmp_path: Path) -> None:
    with (
        Journal(tmp_path).held(),
        pytest.raises(ConfigError, match=r"walked by another process"),
        Journal(tmp_path).held(),
    ):
        pass


def test_time_that_a_killed_campaign_did_not_count_is_counted_to_its_last_word(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.started("x", 1, since=1000.0)
    journal.log("x").write_text("said")
    os.utime(journal.log("x"), (1060.0, 1060.0))
    again = Journal(tmp_path)
    again.started("x", 2, since=2000.0)
    again.ended("x", State.finished, "", now=2005.0)
    assert Journal(tmp_path).total_s == pytest.approx(65)


def test_the_table_tells_every_row_every_rung_and_what_is_not_shown(tmp_path: Path) -> None:
    world = World({"three": MEMORY}, {("one", "two"): "worse"})
    rows = walk(QUEUE, world, tmp_path)
    found = report.tree(QUEUE, rows, Journal(tmp_path), Budget(watts=40), ())
    assert found["complete"]
    assert found["inconclusive"] == ["winner", "last"]
    assert found["watts_declared"] == 40
    table = report.markdown({"queue": found})
    assert "**stopped**: worse than one" in table
    assert "| ↳ then |" in table
    assert "taken on by the rule `earliest`" in table
    assert "estimated as wall time times 40 W declared" in table


def test_a_walk_that_halted_is_not_complete(tmp_path: Path) -> None:
    rows = walk(QUEUE, World({"one": Ended(State.failed, "a bug")}), tmp_path)
    found = report.tree(QUEUE, rows, Journal(tmp_path), Budget(), ())
    assert not found["complete"]
    assert "run the command again" in report.markdown({"queue": found})


def test_what_a_killed_run_left_is_cleared_and_nothing_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("mine", "theirs"):
        folder = tmp_path / experiments.RUNS / f"tmp{name}"
        folder.mkdir(parents=True)
        told = tmp_path / experiments.RUNS / "run" / name / f"{name}.run"
        write_json(told, {"name": name, "root_dir": str(folder)})
    write_json(tmp_path / experiments.RUNS / "run/odd/odd.run", {"name": "mine", "root_dir": str(tmp_path)})
    experiments.clear("mine")
    assert [path.name for path in experiments.RUNS.glob("tmp*")] == ["tmptheirs"]
    assert tmp_path.exists()
