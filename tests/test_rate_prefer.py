"""Ratings that teach: a page over prompts of train and valid, from a rater's answer to a pair, and to no gate."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from stages.prefer import prefer
from stages.promote.human import Judged, summarise
from tests.rate_project import REPLIES, make_project, make_taught, rate_all, serving, state
from twin.cli import app
from twin.config.prefer import PreferConfig, Rejected
from twin.errors import DataError, ModelError
from twin.files import read_jsonl, sha256_file, write_jsonl
from twin.rate.page import PAGE
from twin.rate.server import Server
from twin.rate.sitting import NEXT
from twin.rate.teaching import teaching
from twin.ratings import Mode, read_sessions, void

CONFIG = PreferConfig(
    rejected=Rejected.both, pairs=60, held_out=20, max_new_tokens=12, agreement=99.0, length_ratio=None, seed=17
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project that has been rated in no mode yet, and whose base and twin have answered train and valid."""
    make_project(tmp_path, test_prompts=20)
    make_taught(tmp_path, {"train": 60, "valid": 20})
    return tmp_path


def asked(root: Path) -> dict[str, Any]:
    return {part: read_jsonl(root / f"data/split/{part}.jsonl") for part in ("train", "valid")}


def likes(seen: dict[str, Any]) -> str:
    """Prefer the twin to the person to the base."""
    said = {text.split()[0] for text in seen["shown"]["replies"].values()}
    return next(who for who in ("twin", "person", "prompted") if who in said)


def rate(root: Path) -> Any:
    with serving(root, Mode.prefer) as server:
        ended = rate_all(server, likes)
    assert ended["ended"]["void"] is None
    (session,) = read_sessions(root / "data/ratings")
    return session


def pairs_of(root: Path, sessions: Any) -> Any:
    return prefer(asked(root), read_jsonl(root / REPLIES), sessions, sha256_file(root / REPLIES), CONFIG)


def test_what_a_rater_prefers_becomes_a_pair(root: Path) -> None:
    session = rate(root)
    answers = [answer for answer in session.answers if answer.counts]
    assert len(answers) == 72 and {answer.prompt_set for answer in answers} == {"train", "valid"}
    pairs, metrics = pairs_of(root, [session])
    assert metrics["ratings"]["pairs"] == 72
    assert set(metrics["ratings"]["left_out"]) == {"repeat_or_catch"}
    judged = {pair.id for pair in pairs if pair.source == "rating"}
    chosen = {one.prompt_id: (one.chosen, *(arm for arm in one.arms.values() if arm != one.chosen)) for one in answers}
    assert judged == {f"{id_}/{better}/{worse}" for id_, (better, worse) in chosen.items()}
    assert any("/twin/R" in name for name in judged) and any("/R/base" in name for name in judged)
    # What the person wrote is rejected only where a rater said so.
    assert all(pair.source == "rating" for pair in pairs if pair.id.endswith("/R"))


def test_each_two_arms_are_shown_and_a_tenth_of_the_prompts_is_kept_for_catch_items(root: Path) -> None:
    shown = teaching(root)
    arms = Counter(frozenset(one.replies) for one in shown.questions)
    assert len(arms) == 3 and min(arms.values()) > 72 / 6
    assert len(shown.catches) == 8 and not {one.key for one in shown.catches} & {one.key for one in shown.questions}
    assert all(one.replies.keys() == {"R", "garbled"} for one in shown.catches)
    session = rate(root)
    assert sum(one.repeat_of is not None for one in session.answers) == 72 // 5
    assert sum(one.catch for one in session.answers) == 72 // 10
    assert {one.prompt_id for one in session.answers if one.catch} <= {one.prompt_id for one in shown.catches}


def test_what_came_before_the_prompt_is_shown_without_the_reply(root: Path) -> None:
    rows = asked(root)["train"]
    rows[0]["messages"][1:1] = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hey"}]
    write_jsonl(root / "data/split/train.jsonl", rows)
    one = {one.prompt_id: one for one in [*teaching(root).questions, *teaching(root).catches]}
    found = teaching(root)
    asked_of = {one.prompt_id: one for one in found.questions}.get(rows[0]["id"]) or one[rows[0]["id"]]
    assert asked_of.before == (("partner", "hi"), ("person", "hey"))
    assert asked_of.prompt == rows[0]["messages"][3]["content"]


def test_no_gate_counts_it_whatever_it_says_it_is_about(root: Path) -> None:
    session = rate(root)
    judged = Judged(session.run_id, session.adapter_sha256, session.generations_sha256)
    found = summarise([session], judged)
    assert (found.sessions, found.won, found.told, dict(found.scores)) == (0, (), (), {})
    assert found.ignored == {"sessions that teach": 1} and found.void == {}


def test_a_session_that_judges_teaches_nothing(root: Path) -> None:
    with serving(root, Mode.pairs) as server:
        assert rate_all(server, lambda _: "twin")["ended"]["void"] is None
    (session,) = read_sessions(root / "data/ratings")
    sha256 = sha256_file(root / REPLIES)
    for one in (session, replace(session, mode=Mode.prefer, generations_sha256=sha256)):
        pairs, metrics = pairs_of(root, [one])
        assert metrics["ratings"]["pairs"] == 0 and all(pair.source != "rating" for pair in pairs)
        assert metrics["ratings"]["left_out"]["prompt_that_judges"] > 0


def test_both_kinds_of_sessions_live_side_by_side_and_each_goes_on(root: Path) -> None:
    with serving(root, Mode.prefer) as server:
        seen = state(server)
        assert (seen["mode"], seen["n_items"], seen["may_be_fewer"]) == ("prefer", 72 + 14 + 7, False)
    with serving(root, Mode.pairs) as server:
        assert rate_all(server, lambda _: "twin")["ended"]["void"] is None
    rate_others = read_sessions(root / "data/ratings")
    with serving(root, Mode.prefer) as server:
        assert rate_all(server, likes)["ended"]["void"] is None
    assert {one.mode for one in read_sessions(root / "data/ratings")} == {Mode.pairs, Mode.prefer}
    assert [void(one) for one in rate_others] == [None]
    told = r"ann has rated every prompt of this run \(prefer\)\. Go on with `dvc repro align`"
    with pytest.raises(DataError, match=told), serving(root, Mode.prefer):
        pass


@pytest.mark.parametrize("text", ["", None])
def test_without_replies_the_way_to_them_is_named(root: Path, text: str | None) -> None:
    (root / REPLIES).unlink()
    if text is not None:
        (root / REPLIES).write_text(text)
    with pytest.raises(DataError, match=r"replies\.jsonl has no replies: .* `dvc exp run -S align=dpo`"):
        teaching(root)


def test_what_cannot_be_shown_is_an_error(root: Path) -> None:
    rows = read_jsonl(root / REPLIES)
    write_jsonl(root / REPLIES, [row | {"stopped": row["arm"] == "R"} for row in rows])
    with pytest.raises(DataError, match="no prompt with two whole replies that differ"):
        teaching(root)
    write_jsonl(root / REPLIES, [row | {"text": "the same"} for row in rows])
    with pytest.raises(DataError, match="no prompt with two whole replies that differ"):
        teaching(root)
    (root / "models/sft/adapters.safetensors").unlink()
    with pytest.raises(ModelError, match="Train an adapter with `dvc repro`"):
        teaching(root)


def test_the_page_knows_every_mode() -> None:
    modes = PAGE.split("const MODES = {")[1].split("\n};")[0]
    assert all(f"\n  {mode.value}: {{" in modes for mode in Mode)


def test_the_command_opens_the_page_and_names_what_takes_the_ratings_up(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def serve(server: Server) -> None:
        server.sitting.ended = {"void": None, "file": "x.jsonl", "next": NEXT[server.sitting.mode]}
        server.tell(server.sitting)

    monkeypatch.chdir(root)
    monkeypatch.setattr(Server, "serve_forever", serve)
    said = CliRunner().invoke(app, ["rate", "--mode", "prefer", "--rater", "ann"], catch_exceptions=False).output
    assert "prefer         93 of 93 items" in said and "next           dvc repro align" in said
