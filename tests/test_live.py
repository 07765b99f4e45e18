"""A live reply is pieces, then what lies behind them; what is no conversation is refused, and stops are never shown."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.test_confidence import FITTED
from tests.test_prompt import CONFIG, EMBED
from twin.confidence import CONFIDENCE, QUESTIONS, Calibration, Questions
from twin.context import NOTE, Asker
from twin.errors import ConfigError, DataError, ModelError
from twin.files import write_bytes, write_json
from twin.graph import EmbeddedGraph, Triple
from twin.graph.client import GraphClient
from twin.live import Action, Behind, Options
from twin.live.choosing import Choosing
from twin.live.engine import SpeakerEngine
from twin.live.gates import Gates
from twin.live.load import graph_at
from twin.live.settings import Settings
from twin.live.stops import Stops
from twin.live.twin import LiveTwin
from twin.model import load_base
from twin.prompt import Message, PromptRecipe
from twin.reply import Reply, Speaker, Step
from twin.reranker import Reranker

ROOT = Path(__file__).parents[1]
HELLO: list[Message] = [{"role": "user", "content": "Is the build green?"}]
OPTIONS = Options(max_tokens=32, conversation="c")


class Script:
    """An engine that says what it is told."""

    names = ("twin", "other")
    kept_tokens = 3
    tuned, title = True, ""

    def __init__(self, base: Any, *pieces: str, context_tokens: int | None = None, stop: bool = True) -> None:
        self.tokenizer, self.pieces, self.context_tokens, self.stop = base.tokenizer, pieces, context_tokens, stop
        self.asked: list[tuple[Options, str]] = []
        self.left = False

    def run_id(self, adapter: str) -> str:
        return {"twin": "run", "other": "another"}[adapter]

    def steps(self, prompt: Sequence[int], options: Options, adapter: str) -> Iterator[Step]:
        self.asked.append((options, adapter))
        try:
            for piece in self.pieces[: options.max_tokens]:
                yield Step(piece, 0.5, False)
            if self.stop:
                yield Step("", 0.1, True)
        except GeneratorExit:
            self.left = True
            raise


@pytest.fixture(scope="module")
def base() -> Any:
    return load_base(ROOT / "models/demo")


def twin(engine: Any, **parts: Any) -> LiveTwin:
    ticks = iter(range(10_000))
    shipped = Gates(Settings.load().gates, lambda: 0.0)
    options = {"clock": lambda: next(ticks) * 0.5, "novel_quantile": 1.0} | parts
    return LiveTwin(PromptRecipe.from_config(CONFIG), EMBED, engine, shipped, **options)


def said(live: LiveTwin, messages: list[Message] = HELLO, options: Options = OPTIONS) -> tuple[str, Behind]:
    *pieces, whole, behind = live.answer(messages, options, Event())
    assert whole == "" and isinstance(behind, Behind) and all(isinstance(piece, str) and piece for piece in pieces)
    return "".join(map(str, pieces)), behind


def test_a_reply_comes_in_pieces_and_then_with_what_lies_behind_it(base: Any) -> None:
    graph = EmbeddedGraph()
    graph.add(Triple("build", "last_green", "Monday", 0.9))
    text, behind = said(twin(Script(base, "yes", " it", " is"), asker=Asker(graph, NOTE)))
    assert text == "yes it is"
    assert (behind.run_id, behind.adapter, behind.tag) == ("run", "twin", "[trajectory: cold-start]")
    assert (behind.facts, behind.graph) == (("build last green monday",), "ok")
    assert (behind.confidence, behind.action, behind.reason) == (None, Action.draft, "there is no calibration")
    assert (behind.finish, behind.reply_tokens, behind.cached_tokens) == ("stop", 3, 3)
    assert behind.prompt_tokens > 10 and behind.first_token_s == 0.5 and behind.tokens_per_s == pytest.approx(4 / 3)
    assert said(twin(Script(base, "yes")))[1].graph == "off"
    asked = Options(32, facts=False)
    assert said(twin(Script(base, "yes"), asker=Asker(graph, NOTE)), options=asked)[1].graph == "off"
    graph.close()


@pytest.mark.parametrize(
    ("messages", "problem"),
    [
        ([], "there are no messages"),
        ([{"role": "system", "content": "x"}, *HELLO], "message 0 is of role system; the twin's recipe"),
        ([{"role": "tool", "content": "x"}], "message 0 has the role 'tool'"),
        ([{"content": "x"}], "message 0 has the role None"),
        ([{"role": "user", "content": " "}], "message 0 has no text"),
        ([{"role": "user", "content": ["x"]}], "message 0 has no text"),
        ([*HELLO, {"role": "assistant", "content": "x"}], "the last message is the assistant's own"),
    ],
)
def test_what_is_no_conversation_is_refused(base: Any, messages: Any, problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        list(twin(Script(base, "x")).answer(messages, OPTIONS, Event()))


def test_an_adapter_is_named_or_routed_to(base: Any) -> None:
    engine = Script(base, "x")
    live = twin(engine, route=lambda context: "other")
    assert said(live)[1].adapter == "other"
    assert said(live, options=Options(8, adapter="twin"))[1].run_id == "run"
    assert [adapter for _, adapter in engine.asked] == ["other", "twin"]
    with pytest.raises(ModelError, match=r"no adapter 'nope'\. Loaded: twin, other"):
        said(live, options=Options(8, adapter="nope"))


def test_a_reply_fills_the_context_and_a_prompt_that_fills_it_is_refused(base: Any) -> None:
    prompt_tokens = said(twin(Script(base, "x")))[1].prompt_tokens
    engine = Script(base, *"abcdefgh", context_tokens=prompt_tokens + 4, stop=False)
    text, behind = said(twin(engine))
    assert (text, behind.finish, engine.asked[0][0].max_tokens) == ("abcd", "length", 4)
    assert "the reply was cut at its limit" in behind.reason
    with pytest.raises(ModelError, match=f"the prompt has {prompt_tokens} tokens"):
        said(twin(Script(base, "x", context_tokens=prompt_tokens)))


def test_who_no_longer_wants_a_reply_gets_no_more_of_it(base: Any) -> None:
    engine, cancelled = Script(base, *"abcdef"), Event()
    pieces = twin(engine).answer(HELLO, OPTIONS, cancelled)
    assert next(pieces) == "a"
    cancelled.set()
    assert list(pieces) == [] and engine.left


@settings(max_examples=120, deadline=None)
@given(st.lists(st.text("abc", max_size=4), max_size=8), st.lists(st.text("abc", max_size=3), max_size=3))
def test_text_ends_before_the_first_stop_however_it_is_cut(pieces: list[str], stops: list[str]) -> None:
    seen, held, ended = "", Stops(stops), False
    for piece in pieces:
        shown, ended = held.feed(piece)
        seen += shown
        if ended:
            break
    whole = "".join(pieces)
    places = [place for stop in stops if stop and (place := whole.find(stop)) >= 0]
    if not ended:
        seen += held.rest()
    assert ended == bool(places)
    # A stop that comes first is met as soon as any is whole; what is shown never holds one.
    assert whole.startswith(seen) and not any(stop and stop in seen for stop in stops)
    if not places:
        assert seen == whole


def test_a_stop_of_the_clients_ends_the_reply_and_its_confidence(base: Any) -> None:
    live = twin(
        Script(base, "go", " on\n", "User: x"), calibration=Calibration(FITTED, Questions.of(["Is the build green?"]))
    )
    text, behind = said(live, options=Options(32, stop=("\nUser:",)))
    assert (text, behind.finish, behind.confidence) == ("go on", "stop", None)
    assert "cut at a stop of the client's" in behind.reason


def test_confidence_is_given_where_it_was_fitted_and_nowhere_else(base: Any) -> None:
    calibration = Calibration(FITTED, Questions.of(["Is the build green?", "Is it late?"]))
    live = twin(Script(base, "yes"), calibration=calibration)
    behind = said(live)[1]
    assert behind.confidence is not None and 0 < behind.confidence < 1
    for options, why in (
        (Options(32, adapter="other"), "the calibration is of run run"),
        (Options(32, temperature=0.7), "the calibration is for temperature 0 and top_p 1"),
        (Options(32, top_p=0.5), "the calibration is for temperature 0 and top_p 1"),
    ):
        behind = said(live, options=options)[1]
        assert behind.confidence is None and why in behind.reason and behind.action is Action.draft
    graph = EmbeddedGraph()
    graph.add(Triple("build", "last_green", "Monday", 0.9))
    informed = said(twin(Script(base, "yes"), calibration=calibration, asker=Asker(graph, NOTE)))[1]
    assert informed.confidence is None and informed.reason == "the calibration is for prompts without facts"
    graph.close()
    far: list[Message] = [{"role": "user", "content": "Какая столица Франции, 猫?"}]
    behind = said(live, far)[1]
    assert behind.action is Action.abstain and "far from all training prompts" in behind.reason


def test_a_calibration_is_read_back_or_refused(tmp_path: Path) -> None:
    assert Calibration.read(tmp_path) is None
    questions = Questions.of(["Is it?", "Is it late?"])
    write_json(tmp_path / CONFIDENCE, FITTED.to_json())
    write_bytes(tmp_path / QUESTIONS, questions.to_bytes())
    read = Calibration.read(tmp_path)
    assert read is not None and read.confidence == FITTED
    assert read.questions.distances(["Is it?", "no"]) == questions.distances(["Is it?", "no"])
    write_bytes(tmp_path / QUESTIONS, b"x")
    with pytest.raises(ModelError, match=r"questions\.npy cannot be read"):
        Calibration.read(tmp_path)
    write_json(tmp_path / CONFIDENCE, FITTED.to_json() | {"version": 0})
    with pytest.raises(ModelError, match="another version"):
        Calibration.read(tmp_path)


def test_the_engine_says_what_the_evaluations_speaker_says_and_counts_its_nats(base: Any) -> None:
    speaker, layers = Speaker(base), _Layers()
    engine = SpeakerEngine(base, speaker, layers, run_id="run")  # type: ignore[arg-type]
    prompt = base.tokenizer.encode("<|im_start|>user\nThe build?<|im_end|>\n<|im_start|>assistant\n")
    (_, reply), *_ = speaker.replies([prompt], 24)
    steps = list(engine.steps(prompt, Options(24), "twin"))
    assert "".join(step.text for step in steps) == reply.text
    assert sum(step.nats for step in steps) == pytest.approx(reply.nats, rel=1e-3)
    assert max(step.nats for step in steps) == pytest.approx(reply.worst_nats, rel=1e-3)
    assert (steps[-1].stop, sum(not step.stop for step in steps)) == (reply.stopped, reply.tokens)
    again = list(engine.steps(prompt, Options(24), "twin"))
    assert again == steps and engine.kept_tokens == len(prompt) - 1
    drawn = [
        "".join(step.text for step in engine.steps(prompt, Options(24, temperature=1.5, seed=seed), "twin"))
        for seed in (1, 1, 2, 3)
    ]
    assert drawn[0] == drawn[1] and len(set(drawn)) > 1
    narrow = engine.steps(prompt, Options(24, temperature=1.5, top_p=1e-6, seed=5), "twin")
    assert "".join(step.text for step in narrow) == reply.text, "the likeliest token always stays"
    engine.switch()
    assert (engine.run_id("twin"), layers.state, engine.kept_tokens) == ("", "off", 0)


def test_of_several_draws_the_most_personal_is_said_whole_and_without_confidence(base: Any) -> None:
    class Drawing(Script):
        def draws(self, prompt: Sequence[int], options: Options, count: int) -> list[Reply]:
            assert options.seed == 1
            return [Reply(text, 2, True, 3.0, 2.0) for text in ("I would be glad to", "ship it", "Certainly!")[:count]]

    reranker = Reranker.fit(["ship it", "merge it", "ship that"] * 3, ["I would be glad to", "Certainly, glad"] * 4)
    calibration = Calibration(FITTED, Questions.of(["Is the build green?"]))
    live = twin(Choosing(Drawing(base), reranker, 3), calibration=calibration)  # type: ignore[arg-type]
    text, behind = said(live, options=Options(32, temperature=0.7, seed=1))
    assert (text, behind.reply_tokens, behind.finish, behind.run_id) == ("ship it", 2, "stop", "run, best of 3")
    assert behind.confidence is None and "the calibration is of run run" in behind.reason
    assert behind.tokens_per_s == pytest.approx(2 / 1.5), "a reply that comes whole took from asking to its end"


class _Layers:
    state = "on"

    def on(self) -> None:
        self.state = "on"

    def off(self) -> None:
        self.state = "off"


def test_a_nucleus_is_drawn_from_in_its_own_shares() -> None:
    import mlx.core as mx

    from twin.sampling import Drawn

    logits = mx.broadcast_to(mx.log(mx.array([0.1, 0.5, 0.1, 0.3])), (600, 4))
    tokens = np.array(Drawn(1.0, list(range(600)), top_p=0.7)(logits, list(range(600))))
    shares = np.bincount(tokens, minlength=4) / 600
    assert shares[0] == shares[2] == 0 and abs(shares[1] - 0.625) < 0.06


def test_a_graph_is_an_address_a_file_a_table_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert graph_at(None, {}) is None and graph_at("none", {"GRAPH_KERNEL_URL": "http://127.0.0.1:9"}) is None
    table = graph_at(str(ROOT / "data/graph/demo.csv"), {})
    assert isinstance(table, EmbeddedGraph) and table.stats().total_triples > 100
    table.close()
    file = graph_at("mine.sqlite", {"GRAPH_KERNEL_URL": "http://127.0.0.1:9"})
    assert isinstance(file, EmbeddedGraph) and Path("mine.sqlite").exists()
    file.close()
    for place, environ in (("http://127.0.0.1:9", {}), (None, {"GRAPH_KERNEL_URL": "http://127.0.0.1:9"})):
        client = graph_at(place, environ)
        assert isinstance(client, GraphClient)
        client.close()
    with pytest.raises(ConfigError, match="must be like http"):
        graph_at("http://u:p@x", {})


def test_the_demos_facts_are_about_what_its_speakers_talk_about() -> None:
    import csv

    from tools.demo_export.topics import TOPICS
    from twin.protocol import protocol

    known = {topic.name for topic in TOPICS} | {part for topic in TOPICS for part in topic.parts}
    known |= {f"{topic.domain} team" for topic in TOPICS}
    asked = " ".join(one.text for one in protocol()).lower()
    with (ROOT / "data/graph/demo.csv").open(encoding="utf-8") as file:
        subjects = {row["subject"] for row in csv.DictReader(file)}
    assert {subject for subject in subjects - known if subject.lower() not in asked} == set()
