"""Proves the rating page: blind, balanced, no answer lost or doubled, closed to others, and counted by `promote`."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import stages.promote as stage
from stages.promote import human
from tests.rate_project import (
    MARKUP,
    answer,
    choice,
    in_turn,
    make_project,
    opened_journal,
    rate_all,
    request,
    serving,
    state,
)
from twin.cli import app
from twin.errors import DataError, ModelError, StorageError
from twin.files import sha256_text
from twin.rate import material as shown
from twin.rate.journal import Journal
from twin.rate.opening import sitting
from twin.rate.page import PAGE
from twin.rate.plan import BLOCK, plan
from twin.rate.sitting import Sitting
from twin.ratings import Mode, Session, left_items, read_sessions, void

KEY = "5a" * 32


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_project(tmp_path)


def dealt(questions: int, key: str = KEY) -> Any:
    return plan(key, [("test", f"t{n}") for n in range(questions)], [("valid", f"v{n}") for n in range(20)], 80)


def only_session(root: Path) -> Session:
    (found,) = read_sessions(root / "data/ratings")
    return found


def twin_wins(_: Any) -> str:
    return "twin"


def test_a_fifth_is_repeated_with_sides_swapped_and_a_tenth_is_a_catch_item() -> None:
    items = dealt(80)
    repeats = [(number, item) for number, item in enumerate(items) if item.repeat_of is not None]
    assert (len(items), len(repeats), sum(item.catch for item in items)) == (104, 16, 8)
    for number, item in repeats:
        assert item.repeat_of is not None and number - item.repeat_of >= 6
        first = items[item.repeat_of]
        assert (first.question, first.first_left) == (item.question, not item.first_left)
        assert first.repeat_of is None and not first.catch
    assert len({item.repeat_of for _, item in repeats}) == 16


def test_sides_are_those_of_the_key_and_even() -> None:
    for key in (KEY, "00" * 32, "ff" * 32):
        items = dealt(80, key)
        left = left_items(key, len(items))
        mains = [item.first_left for item in items if item.repeat_of is None and not item.catch]
        assert (sum(mains), len(mains)) == (40, 80)
        assert sum(item.first_left for item in items if item.catch) == 4
        assert all(item.first_left is (n in left) for n, item in enumerate(items) if item.repeat_of is None)


def test_another_key_deals_another_order_and_the_same_key_the_same() -> None:
    assert dealt(80) == dealt(80)
    assert [item.question for item in dealt(80)] != [item.question for item in dealt(80, "00" * 32)]


@settings(deadline=None, max_examples=60)
@given(questions=st.integers(1, 95), key=st.binary(min_size=32, max_size=32))
def test_every_session_that_ends_with_a_block_has_enough_to_check_its_rater(questions: int, key: bytes) -> None:
    items = dealt(questions, key.hex())
    asked = [item.question for item in items if item.repeat_of is None and not item.catch]
    assert len(asked) == len(set(asked)) == min(questions, 80)
    for end in [number + 1 for number, item in enumerate(items) if item.closes]:
        some = items[:end]
        counted = sum(item.repeat_of is None and not item.catch for item in some)
        assert sum(item.repeat_of is not None for item in some) >= counted // 10
        assert sum(item.catch for item in some) >= counted // 20
    assert all(item.repeat_of is None or item.repeat_of < number for number, item in enumerate(items))


def test_what_is_shown_is_what_the_gate_of_people_counts() -> None:
    assert {mode: set(arms) for mode, arms in shown.ARMS.items()} == human.SHOWN
    assert (shown.CHALLENGER, shown.PROMPTED, shown.PERSON) == (human.CHALLENGER, human.PROMPTED, human.PERSON)


def test_rated_sessions_of_all_three_kinds_are_counted_by_promote(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for mode, prefers in ((Mode.pairs, twin_wins), (Mode.identify, in_turn()), (Mode.protocol, twin_wins)):
        with serving(root, mode) as server:
            ended = rate_all(server, prefers)
        assert ended["ended"]["void"] is None, mode
        assert (root / ended["ended"]["file"]).exists()
    found = read_sessions(root / "data/ratings")
    assert {one.mode: void(one) for one in found} == dict.fromkeys(shown.ARMS)
    monkeypatch.chdir(root)
    stage.main()
    ratings = json.loads((root / "metrics/decision.json").read_text())["ratings"]
    assert (ratings["sessions"], ratings["void"], ratings["ignored"]) == (3, {}, {})
    assert (ratings["pairs"]["wins"], ratings["pairs"]["better"]) == (7, True)
    assert ratings["identified"] == {"n": 60, "right": 30}
    assert list(ratings["protocol"].values()) == [2.0] * 10
    assert not any((root / ".work/ratings").iterdir())


def test_a_session_that_nothing_decides_asks_every_prompt_once(root: Path) -> None:
    with serving(root) as server:
        assert state(server)["n_items"] == 78
        rate_all(server, in_turn())
    counted = [one for one in only_session(root).answers if one.counts]
    assert len({one.prompt_id for one in counted}) == len(counted) == 60
    assert Counter(one.chosen for one in counted) == {"X": 30, "B1": 30}


def test_a_decided_session_ends_with_its_block_whoever_wins(root: Path) -> None:
    lengths = []
    for rater, winner in (("ann", "twin"), ("bea", "prompted")):
        folder = make_project(root / rater)
        with serving(folder, rater=rater) as server:
            rate_all(server, lambda _, winner=winner: winner)
        found = only_session(folder)
        lengths.append((len(found.answers), sum(one.counts for one in found.answers), found.n_items, void(found)))
    assert lengths == [(13, BLOCK, 78, None)] * 2


def test_an_end_once_told_stands_whatever_is_answered_then(root: Path) -> None:
    with serving(root) as server:
        seen = state(server)
        while not seen["done"]:
            seen = answer(server, twin_wins)
        for item in range(12, -1, -1):
            _, _, seen = request(server, "POST", "undo", {"step": seen["step"]})
            assert (seen["done"], seen["item"]) == (False, item)
        for item in range(13):
            seen = answer(server, lambda _: "nobody")
            assert seen["done"] is (item == 12)


def test_earlier_sessions_are_gone_on_from_and_no_prompt_is_asked_twice(root: Path) -> None:
    for rater in ("ann", "bea"):
        with serving(root, rater=rater) as server:
            rate_all(server, in_turn())
    assert [sum(one.counts for one in each.answers) for each in read_sessions(root / "data/ratings")] == [60, 20]
    with pytest.raises(DataError, match="rated to the end; no more are needed"), sitting(root, Mode.pairs, "cat"):
        pass
    with serving(root, Mode.identify) as server:
        rate_all(server, in_turn())
    with (
        pytest.raises(DataError, match=r"ann has rated every prompt of this run \(identify\)"),
        sitting(root, Mode.identify, "ann"),
    ):
        pass


def test_a_careless_session_is_kept_void_and_its_prompts_may_be_rated_again(root: Path) -> None:
    with serving(root, Mode.identify) as server:
        seen = state(server)
        while not seen["done"]:
            body = {"step": seen["step"], "item": seen["item"], "answer": "left", "seconds": 0.1}
            seen = request(server, "POST", "answer", body)[2]
        ended = request(server, "POST", "end", {"step": seen["step"]})[2]
    assert "repeats were answered alike" in ended["ended"]["void"]
    assert void(only_session(root)) == ended["ended"]["void"]
    with sitting(root, Mode.identify, "ann") as again:
        assert len(again.items) == 78


def test_the_key_is_committed_to_before_anything_is_shown_and_kept_from_the_page(root: Path) -> None:
    with serving(root) as server:
        folder = opened_journal(server.sitting)
        (line,) = (folder / "journal.jsonl").read_text().splitlines()
        key = json.loads((folder / "secret.json").read_text())["key"]
        assert json.loads(line)["key_sha256"] == sha256_text(key)
        assert (folder / "secret.json").stat().st_mode & 0o077 == 0
        told = json.dumps(state(server))
    assert key not in told
    assert set(json.loads(told)) == {
        "mode", "step", "item", "n_items", "may_be_fewer", "can_undo", "done", "ended", "pace_s", "shown",
    }  # fmt: skip
    assert set(json.loads(told)["shown"]) == {"prompt", "before", "replies"}


def test_nothing_but_texts_tells_a_repeat_or_a_catch_item_from_others(root: Path) -> None:
    prefers = in_turn()
    shapes = set()
    with serving(root) as server:
        seen = state(server)
        while not seen["done"]:
            flat = {**seen, "step": 0, "item": 0, "pace_s": 0, "can_undo": True, "shown": sorted(seen["shown"])}
            shapes.add(json.dumps({**flat, "replies": sorted(seen["shown"]["replies"])}, sort_keys=True))
            seen = answer(server, prefers)
    assert len(shapes) == 1


def test_every_answer_is_on_the_disk_when_it_is_confirmed(root: Path) -> None:
    prefers = in_turn()
    with serving(root) as server:
        for count in range(1, 4):
            answer(server, prefers)
            lines = (opened_journal(server.sitting) / "journal.jsonl").read_text().splitlines()
            assert [json.loads(line)["item"] for line in lines[1:]] == list(range(count))


def test_a_session_goes_on_after_a_reload_a_restart_and_half_a_line(root: Path) -> None:
    prefers = in_turn()
    with serving(root) as server:
        for _ in range(5):
            before = answer(server, prefers)
        assert state(server) == before
        path = opened_journal(server.sitting) / "journal.jsonl"
    with path.open("ab") as file:
        file.write(b'{"kind": "answer", "it')
    with serving(root) as server:
        assert state(server) == before
        assert rate_all(server, prefers)["ended"]["void"] is None


def test_a_killed_command_loses_nothing(root: Path) -> None:
    prefers = in_turn()
    command = [sys.executable, "-c", "from twin.cli import app; app()", "rate", "--rater", "ann"]
    with subprocess.Popen(
        command, cwd=root, stdout=subprocess.PIPE, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    ) as run:
        assert run.stdout is not None
        url = next(line.split()[1].decode() for line in run.stdout if line.startswith(b"open "))
        _, _, host, token, _ = url.split("/")

        class Remote:
            server_port = int(host.rpartition(":")[2])

        remote: Any = Remote()
        remote.token = token
        for _ in range(4):
            answer(remote, prefers)
        run.send_signal(signal.SIGKILL)
    with sitting(root, Mode.pairs, "ann") as again:
        assert len(again.given) == 4


def test_undo_takes_back_the_last_answer_alone(root: Path) -> None:
    with serving(root) as server:
        prefers = in_turn()
        first = answer(server, prefers)
        second = answer(server, prefers)
        status, _, undone = request(server, "POST", "undo", {"step": second["step"]})
        assert status == 200
        assert (undone["item"], undone["shown"]) == (1, first["shown"])
        assert request(server, "POST", "undo", {"step": second["step"]})[2] == undone
        assert request(server, "POST", "undo", {"step": 0})[0] == 409
        assert rate_all(server, prefers)["ended"]["void"] is None
    assert [one.item for one in only_session(root).answers] == list(range(78))


def test_there_is_nothing_to_undo_before_the_first_answer(root: Path) -> None:
    with serving(root) as server:
        assert request(server, "POST", "undo", {"step": 0})[0] == 400


def test_the_same_answer_twice_is_kept_once_and_one_for_a_past_item_is_refused(root: Path) -> None:
    with serving(root) as server:
        body = {"step": 0, "item": 0, "answer": "left", "seconds": 1.0}
        status, _, once = request(server, "POST", "answer", body)
        assert request(server, "POST", "answer", {**body, "seconds": 1.2})[0::2] == (status, once)
        assert request(server, "POST", "answer", {**body, "answer": "right"})[0::2] == (409, once)
        assert request(server, "POST", "end", {"step": 0})[0] == 409
        assert [row["answer"] for row in server.sitting.given] == ["left"]


@pytest.mark.parametrize("bad", ["up", 1, None, True, ["left"], "can't tell"])
def test_what_is_no_answer_is_refused_and_not_kept(root: Path, bad: object) -> None:
    with serving(root) as server:
        body = {"step": 0, "item": 0, "answer": bad, "seconds": 1}
        assert request(server, "POST", "answer", body)[0] == 400
        assert state(server)["step"] == 0


@pytest.mark.parametrize("bad", [4, -1, 1.5, True, "2"])
def test_what_is_no_score_is_refused(root: Path, bad: object) -> None:
    with serving(root, Mode.protocol) as server:
        body = {"step": 0, "item": 0, "answer": bad, "seconds": 1}
        assert request(server, "POST", "answer", body)[0] == 400


@pytest.mark.parametrize("item", [1, -1, False, None, "0"])
def test_an_answer_names_the_item_that_is_asked(root: Path, item: object) -> None:
    with serving(root) as server:
        body = {"step": 0, "item": item, "answer": "left", "seconds": 1}
        assert request(server, "POST", "answer", body)[0] == 400


@pytest.mark.parametrize("seconds", [None, "fast", -3, 1e300, True])
def test_odd_times_do_not_spoil_a_session(root: Path, seconds: object) -> None:
    with serving(root) as server:
        request(server, "POST", "answer", {"step": 0, "item": 0, "answer": "left", "seconds": seconds})
        assert 0 <= server.sitting.given[0]["seconds"] <= 3600


def test_a_session_is_not_ended_before_its_last_item_and_ended_once(root: Path) -> None:
    with serving(root, Mode.protocol) as server:
        assert request(server, "POST", "end", {"step": 0})[0] == 400
        ended = rate_all(server, twin_wins)
        assert request(server, "POST", "end", {"step": 0})[2] == ended
        assert request(server, "POST", "undo", {"step": ended["step"]})[0] == 409
        body = {"step": ended["step"], "item": 12, "answer": 1, "seconds": 1}
        assert request(server, "POST", "answer", body)[0] == 409
    assert len(only_session(root).answers) == 13


def test_no_count_of_preferences_is_told_before_or_after_the_end(root: Path) -> None:
    with serving(root) as server:
        ended = rate_all(server, twin_wins)
    assert set(ended["ended"]) == {"void", "file", "next"}
    assert not {"wins", "losses", "won", "e"} & set(ended)


def test_a_full_disk_keeps_whole_lines_and_the_answer_can_be_given_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefers = in_turn()
    with serving(root) as server:
        answer(server, prefers)
        path = opened_journal(server.sitting) / "journal.jsonl"
        before = path.read_bytes()
        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", full)
            body = {"step": 1, "item": 1, "answer": "left", "seconds": 1}
            status, _, found = request(server, "POST", "answer", body)
        assert (status, path.read_bytes()) == (507, before)
        assert "No space left" in found["error"] and "Free some space" in found["error"]
        assert answer(server, prefers)["item"] == 2


def full(_: int) -> None:
    raise OSError(28, "No space left on device")


def test_a_failed_end_leaves_the_session_open(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Journal, answers: Any) -> None:
        raise StorageError(28, "disk full")

    with serving(root, Mode.protocol) as server:
        seen = state(server)
        while not seen["done"]:
            seen = answer(server, twin_wins)
        with monkeypatch.context() as patched:
            patched.setattr(Journal, "end", refuse)
            assert request(server, "POST", "end", {"step": seen["step"]})[0] == 507
        assert request(server, "POST", "end", {"step": seen["step"]})[2]["ended"]["void"] is None


def test_a_crash_after_the_end_was_written_begins_anew(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("twin.rate.journal.shutil.rmtree", lambda *_, **__: None)
    with serving(root, Mode.protocol) as server:
        rate_all(server, twin_wins)
        left = opened_journal(server.sitting)
    assert left.exists()
    monkeypatch.undo()
    with sitting(root, Mode.protocol, "bea"):
        assert not left.exists()


def test_one_session_is_open_in_one_place(root: Path) -> None:
    with (
        sitting(root, Mode.pairs, "ann"),
        pytest.raises(DataError, match="is open in another `twin rate`"),
        sitting(root, Mode.pairs, "ann"),
    ):
        pass


def test_a_session_about_other_replies_is_not_gone_on_with(root: Path) -> None:
    with serving(root) as server:
        answer(server, in_turn())
    path = root / "data/generate/generations.jsonl"
    path.write_text(path.read_text().replace("says so", "says it"))
    with sitting(root, Mode.pairs, "ann") as other:
        assert other.given == []


def test_a_changed_key_is_noticed(root: Path) -> None:
    with sitting(root, Mode.pairs, "ann") as opened:
        path = opened_journal(opened) / "secret.json"
    path.write_text(path.read_text().replace(json.loads(path.read_text())["key"], KEY))
    with pytest.raises(DataError, match="the key is not the one"), sitting(root, Mode.pairs, "ann"):
        pass


def test_same_replies_are_left_out_and_counted(root: Path) -> None:
    path = root / "data/generate/generations.jsonl"
    path.write_text(path.read_text().replace("prompted says so to t00", "twin says so to t00"))
    with sitting(root, Mode.pairs, "ann") as opened:
        assert (opened.same, sum(one.repeat_of is None and not one.catch for one in opened.items)) == (10, 50)


def test_what_was_said_before_is_shown_where_the_arms_saw_it(root: Path) -> None:
    system, *turns = ({"role": role, "content": role} for role in ("system", "user", "assistant", "user", "assistant"))
    (root / "data/split").mkdir(parents=True, exist_ok=True)
    (root / "data/split/test.jsonl").write_text(json.dumps({"messages": [system, *turns]}) + "\n")
    asked = sha256_text(json.dumps([system, *turns[:-1]], sort_keys=True, separators=(",", ":")))
    path = root / "data/generate/generations.jsonl"
    path.write_text(path.read_text().replace("0" * 64, asked))
    assert shown.material(root, Mode.pairs).questions[0].before == (("partner", "user"), ("person", "assistant"))


@pytest.mark.parametrize("text", ["yes", "one two three", "a b c d e f g h i j k l m n"])
def test_a_garbled_reply_is_long_and_backwards(text: str) -> None:
    words = shown.garbled(text).split()
    assert len(words) >= 12
    assert words[: len(text.split())] == text.split()[::-1]


@pytest.mark.parametrize(
    ("missing", "error", "message"),
    [
        ("models/adapter/adapters.safetensors", ModelError, "adapters.safetensors is missing. Train an adapter"),
        ("data/generate/generations.jsonl", DataError, "generations.jsonl is missing. Let the arms answer"),
    ],
)
def test_what_is_missing_is_named(root: Path, missing: str, error: type[Exception], message: str) -> None:
    (root / missing).unlink()
    with pytest.raises(error, match=message), sitting(root, Mode.pairs, "ann"):
        pass


@pytest.mark.parametrize(("gone", "what"), [('"valid"', "reply for catch items"), ('"test"', "prompt whose replies")])
def test_too_little_to_rate_is_said(root: Path, gone: str, what: str) -> None:
    path = root / "data/generate/generations.jsonl"
    path.write_text("".join(line for line in path.read_text().splitlines(keepends=True) if gone not in line))
    with pytest.raises(DataError, match=f"has no {what}"), sitting(root, Mode.pairs, "ann"):
        pass


@pytest.mark.parametrize(
    ("method", "name", "headers", "status"),
    [
        ("GET", "state", {"Host": "evil.example"}, 421),
        ("GET", "state", {"Host": "evil.example:80"}, 421),
        ("GET", "state", {"Host": ""}, 421),
        ("GET", "", {"Host": "127.0.0.1"}, 421),
        ("POST", "answer", {"Host": "evil.example", "Origin": "http://evil.example"}, 421),
        ("POST", "answer", {"Origin": "http://evil.example"}, 403),
        ("POST", "answer", {"Origin": "null"}, 403),
        ("POST", "answer", {"Origin": ""}, 403),
        ("POST", "answer", {"Content-Type": "text/plain"}, 415),
        ("POST", "answer", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ("GET", "/", {}, 404),
        ("GET", "/state", {}, 404),
        ("GET", "/wrong-token/state", {}, 404),
        ("POST", "/wrong-token/answer", {}, 404),
        ("GET", "../state", {}, 404),
        ("GET", "../../secret.json", {}, 404),
        ("GET", "..%2f..%2fsecret.json", {}, 404),
        ("GET", "page.html", {}, 404),
        ("GET", "state?x=1", {}, 404),
        ("GET", "http://evil.example/", {}, 404),
        ("POST", "state", {}, 404),
        ("PUT", "answer", {}, 501),
        ("DELETE", "answer", {}, 501),
        ("OPTIONS", "answer", {}, 501),
    ],
)
def test_others_are_refused(root: Path, method: str, name: str, headers: dict[str, str], status: int) -> None:
    with serving(root) as server:
        body = {"step": 0, "item": 0, "answer": "left", "seconds": 1}
        found = request(server, method, name, body if method != "GET" else None, headers)
        assert found[0] == status
        assert "Access-Control-Allow-Origin" not in found[1]
        assert state(server)["step"] == 0


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"x" * 2049, {}, 413),
        (None, {"Content-Length": "-1"}, 413),
        (None, {"Content-Length": "1e3"}, 413),
        (None, {"Content-Length": "9" * 40}, 413),
        (None, {"Transfer-Encoding": "chunked"}, 415),
        (b"{", {}, 400),
        (b"[1]", {}, 400),
        (b"\xff", {}, 400),
        (b"[" * 2000, {}, 400),
        (b"{}", {}, 409),
    ],
)
def test_bodies_are_small_json_objects(root: Path, body: bytes | None, headers: dict[str, str], status: int) -> None:
    with serving(root) as server:
        assert request(server, "POST", "answer", body, headers)[0] == status
        assert state(server)["step"] == 0


def test_the_server_listens_on_this_machine_alone_and_its_address_cannot_be_guessed(root: Path) -> None:
    with serving(root) as server:
        assert server.socket.getsockname()[0] == "127.0.0.1"
        first = server.token
    with serving(root) as server:
        assert len(first) >= 32 and server.token != first


def test_the_page_is_one_file_that_loads_nothing(root: Path) -> None:
    with serving(root) as server:
        status, headers, page = request(server, "GET", "")
    assert (status, page) == (200, PAGE)
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
    assert (headers["Cache-Control"], headers["Referrer-Policy"]) == ("no-store", "no-referrer")
    assert "http" not in page and "innerHTML" not in page and "url(" not in page


def luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.2."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_texts_stand_out_in_light_and_dark() -> None:
    schemes = [dict(pair.split(": ") for pair in part.split("}")[0].replace("\n", "").strip(" ;").split("; "))
               for part in (block.replace("   ", " ") for block in PAGE.split(":root {")[1:])]  # fmt: skip
    assert len(schemes) == 2
    for colours in ({name.strip(): value.strip() for name, value in one.items()} for one in schemes):
        pairs = [
            (text, ground) for text in ("--ink", "--quiet", "--accent", "--bad") for ground in ("--ground", "--card")
        ]
        for text, ground in [*pairs, ("--on-accent", "--accent")]:
            dark, light = sorted((luminance(colours[text]), luminance(colours[ground])))
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (text, ground)


def test_markup_in_a_reply_is_sent_as_text(root: Path, tmp_path: Path) -> None:
    folder = make_project(tmp_path / "markup", reply=MARKUP)
    with serving(folder) as server:
        _, headers, found = request(server, "GET", "state")
    assert headers.get_content_type() == "application/json"
    assert all(MARKUP in text or MARKUP.split()[0] in text for text in found["shown"]["replies"].values())


def test_the_command_says_where_the_page_is_and_how_it_ended(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(root)
    monkeypatch.setattr("twin.rate.server.Server.serve_forever", rate_by_program)
    done = CliRunner().invoke(app, ["rate", "--mode", "protocol", "--rater", "ann"])
    assert done.exit_code == 0, done.output
    for words in ("13 of 13 items", "http://127.0.0.1:", "Ctrl-C", "data/ratings/", "counts         yes", "dvc repro"):
        assert words in done.output
    assert only_session(root).rater == "ann"


def rate_by_program(self: Any) -> None:
    sitting_: Sitting = self.sitting
    while not sitting_.done:
        seen = sitting_.view()
        sitting_.answer(seen["step"], seen["item"], choice(seen, twin_wins), 1.0)
    sitting_.end(sitting_.step)
    self.tell(sitting_)
    raise KeyboardInterrupt


def test_a_port_that_is_taken_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    with serving(root) as server:
        done = CliRunner().invoke(app, ["rate", "--rater", "bea", "--port", str(server.server_port)])
    assert isinstance(done.exception, StorageError) and "Choose another: --port 0" in str(done.exception)


def test_replies_that_changed_under_an_open_session_void_nothing_but_count_nowhere(root: Path) -> None:
    with serving(root, Mode.protocol) as server:
        rate_all(server, twin_wins)
    path = root / "data/generate/generations.jsonl"
    path.write_text(path.read_text() + "\n")
    about = replace(shown.about(root))
    assert only_session(root).generations_sha256 != about.generations_sha256
