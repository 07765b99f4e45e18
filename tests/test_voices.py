"""Adapters beside one base are swapped exactly, chosen by the graph, and what is kept of prompts changes no token."""

import json
import shutil
import threading
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import openai
import pytest

from tests.conftest import make_rows
from tests.serving import Served, serving
from tests.variants import logits, make_adapter
from twin.config.adapter import AdapterConfig, Kind
from twin.context import Context
from twin.errors import ConfigError, ModelError
from twin.graph import EmbeddedGraph, Triple
from twin.live import Behind, Options
from twin.live.load import assemble, load_twin, load_voices
from twin.live.routes import Route, read_routes, routed
from twin.live.settings import Settings
from twin.live.twin import LiveTwin
from twin.live.voices import Voices, beside
from twin.model import adapt, attach, leave_thread, load_base, trainable
from twin.reply import Speaker
from twin.sampling import Drawn
from twin.tokens import prompt_tokens
from twin.training.save import write_adapter


def adapter(folder: Path, base: Path, config: AdapterConfig, seed: int) -> Path:
    """Write an adapter of another kind, rank and place than `make_adapter`'s."""
    make_adapter(folder, base, config.kind)
    model = load_base(base).model
    written = adapt(model, config, seed=seed)
    weights = trainable(model)
    for number, (name, array) in enumerate(sorted(weights.items())):
        if name.endswith("lora_b"):
            weights[name] = mx.random.normal(array.shape, key=mx.random.key(100 * seed + number)) * 0.5
    recipe = json.loads((folder / "recipe.json").read_text()) | {"run": {"id": f"run-{folder.name}"}}
    shutil.rmtree(folder)
    write_adapter(folder, weights, written, recipe, lambda part: None)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("voices")
    configs = {
        "lora": AdapterConfig(Kind.lora, ["q_proj", "down_proj"], None, 4, 2.0, 0.0),
        "dora": AdapterConfig(Kind.dora, ["v_proj", "o_proj", "up_proj"], None, 2, 2.0, 0.0),
        "other": AdapterConfig(Kind.lora, ["q_proj", "k_proj"], None, 8, 2.0, 0.0),
    }
    return {name: adapter(place / name, tiny_base, config, seed) for seed, (name, config) in enumerate(configs.items())}


def loaded(tiny_base: Path, folders: dict[str, Path], kept_tokens: int = 4096) -> tuple[Any, Voices]:
    base = load_base(tiny_base)
    voices = beside(base, {name: (f"run-{name}", folder) for name, folder in folders.items()})
    return base, Voices(base, voices, kept_tokens)


def test_a_swapped_adapter_is_the_adapter_alone_to_the_last_bit(tiny_base: Path, folders: dict[str, Path]) -> None:
    alone = {}
    for name, folder in folders.items():
        base = load_base(tiny_base)
        attach(base, folder)
        alone[name] = logits(base.model)
    plain = logits(load_base(tiny_base).model)
    base, voices = loaded(tiny_base, folders)
    assert voices.on == "lora"
    for name in ("lora", "dora", "other", "dora", "lora", "lora", "other", "lora"):
        assert voices.swap(name) >= 0
        assert np.array_equal(logits(base.model), alone[name])
    assert len({array.tobytes() for array in (*alone.values(), plain)}) == 4
    voices.swap("dora")
    voices._voices["dora"].layers.off()
    assert np.array_equal(logits(base.model), plain)


def test_swapping_reads_no_file(tmp_path: Path, tiny_base: Path, folders: dict[str, Path]) -> None:
    copies = {name: Path(shutil.copytree(folder, tmp_path / name)) for name, folder in folders.items()}
    base, voices = loaded(tiny_base, copies)
    shutil.rmtree(tmp_path)
    first = logits(base.model)
    voices.swap("dora")
    voices.swap("lora")
    assert np.array_equal(logits(base.model), first)


def conversations(base: Any, count: int, turns: int) -> list[tuple[int, list[int]]]:
    """Return the prompts of conversations that go on in turn, with a constant system line."""
    rows = make_rows(count * turns, seed=9)
    prompts = []
    for turn in range(1, turns + 1):
        for number in range(count):
            messages = [{"role": "system", "content": "You are Sam."}]
            for row in rows[number * turns : number * turns + turn]:
                messages += row["messages"][1:]
            prompts.append((number, prompt_tokens(messages[:-1], base.tokenizer)))
    return prompts


@pytest.mark.parametrize(("kept_tokens", "temperature"), [(0, 0.0), (600, 0.9), (8192, 0.0)])
def test_what_is_kept_changes_no_token(
    tiny_base: Path, folders: dict[str, Path], kept_tokens: int, temperature: float
) -> None:
    base, voices = loaded(tiny_base, folders, kept_tokens)
    names, saved = list(folders), 0
    for place, (number, prompt) in enumerate(conversations(base, 3, 4)):
        name = names[number]
        options = Options(12, temperature, top_p=0.9 if temperature else 1.0, seed=place)
        said = list(voices.steps(prompt, options, name))
        saved += voices.kept_tokens
        fresh = Speaker(base)
        choose = {"choose": Drawn(temperature, [place], 0.9)} if temperature else {}
        expected = list(fresh.steps(prompt, 12, **choose))
        assert [(step.text, step.stop) for step in said] == [(step.text, step.stop) for step in expected]
        np.testing.assert_allclose([step.nats for step in said], [step.nats for step in expected], atol=1e-4)
        assert voices.held_tokens <= max(kept_tokens, 0) + 512
    if kept_tokens > 1000:
        assert saved > 300


def test_one_conversation_does_not_cut_what_is_kept_of_another(tiny_base: Path, folders: dict[str, Path]) -> None:
    _, voices = loaded(tiny_base, {"lora": folders["lora"]})
    first, second = [5, *range(10, 60)], [5, *range(60, 110)]
    for prompt, kept in ((first, 0), (second, 1), (first, 50), (second, 50), ([*second, 7, 8], 51)):
        list(voices.steps(prompt, Options(2), "lora"))
        assert voices.kept_tokens == kept, prompt


def test_the_longest_unused_prompt_is_forgotten_first(tiny_base: Path, folders: dict[str, Path]) -> None:
    _, voices = loaded(tiny_base, {"lora": folders["lora"]}, kept_tokens=512)
    prompts = [[first, *range(10, 60)] for first in (5, 6, 7, 8)]
    for prompt in prompts:
        list(voices.steps(prompt, Options(2), "lora"))
    kept = []
    for prompt in (prompts[3], prompts[2], prompts[0]):
        list(voices.steps(prompt, Options(2), "lora"))
        kept.append(voices.kept_tokens)
    assert kept == [50, 50, 0]


def test_a_reply_left_early_leaves_nothing_wrong_behind(tiny_base: Path, folders: dict[str, Path]) -> None:
    base, voices = loaded(tiny_base, {"lora": folders["lora"]})
    _, prompt = conversations(base, 1, 3)[-1]
    whole = list(Speaker(base).steps(prompt, 12))
    for left in (1, 2, 5):
        steps = voices.steps(prompt, Options(12), "lora")
        assert [next(steps) for _ in range(left)] == whole[:left]
        steps.close()
        assert [step.text for step in voices.steps(prompt, Options(12), "lora")] == [step.text for step in whole]


def context(*entities: str, kinds: Any = ()) -> Context:
    shown: Any = None
    return Context(shown, entities, (), "ok", kinds)


def test_routes_lead_by_name_or_by_what_the_graph_says_and_the_first_wins() -> None:
    routes = [
        Route("work", predicate="belongs_to", object="infra*"),
        Route("home", entity="garden*"),
        Route("late", entity="*"),
    ]
    infra = context("staging", kinds=(("staging", "belongs_to", "infra-team"),))
    assert routed(infra, routes) == "work"
    assert routed(context("garden-shed", "staging"), routes) == "home"
    assert routed(context("staging", kinds=(("staging", "owned_by", "infra-team"),)), routes) == "late"
    assert routed(context(), routes) is None
    assert routed(context("shed"), routes[:2]) is None


@pytest.mark.parametrize(
    ("route", "match"),
    [
        ({"entity": "x"}, "has no adapter"),
        ({"adapter": "default", "entities": "x"}, "has entities. It has: adapter"),
        ({"adapter": "gone", "entity": "x"}, "leads to 'gone'; voices.adapters has default"),
        ({"adapter": "default"}, "says of no entity"),
        ({"adapter": "default", "entity": "x", "object": "y"}, "says of no entity"),
    ],
)
def test_a_route_that_leads_nowhere_is_refused(tmp_path: Path, route: dict[str, str], match: str) -> None:
    (tmp_path / "live.yaml").write_text(json.dumps({"voices": {"routes": [route]}}))
    with pytest.raises(ConfigError, match=rf"live\.yaml: voices\.routes\[0\] {match}"):
        Settings.load(tmp_path / "live.yaml")
    assert read_routes([], ("default",)) == []


@pytest.mark.parametrize("name", ["twin", "default"])
def test_an_adapter_does_not_take_the_name_of_the_routes_or_of_the_default(tmp_path: Path, name: str) -> None:
    (tmp_path / "live.yaml").write_text(json.dumps({"voices": {"adapters": {name: "models/work"}}}))
    with pytest.raises(ConfigError, match=rf"live\.yaml: voices\.adapters has '{name}'"):
        Settings.load(tmp_path / "live.yaml")


def settings(tmp_path: Path, folders: dict[str, Path], nearest: float | None = None) -> Settings:
    file = tmp_path / "live.yaml"
    routes = [
        {"adapter": "dora", "predicate": "belongs_to", "object": "infra*"},
        {"adapter": "other", "entity": "auth*"},
    ]
    adapters = {name: str(folders[name]) for name in ("dora", "other")}
    voices = {"adapters": adapters, "routes": routes, "kept_tokens": 1024}
    file.write_text(json.dumps({"voices": voices, "facts": {"nearest": nearest}}))
    return Settings.load(file)


def routed_twin(tmp_path: Path, folders: dict[str, Path], nearest: float | None = None) -> LiveTwin:
    told = settings(tmp_path, folders, nearest)
    recipe, engine = load_voices(folders["lora"], None, told.voices)
    graph = EmbeddedGraph()
    graph.add_all(
        [Triple("staging", "belongs_to", "infra-team", 0.9), Triple("auth-module", "owned_by", "jonas", 0.9),
         Triple("staging", "belongs_to", "garden", 0.1)]
    )  # fmt: skip
    return assemble(recipe, engine, embedder=None, graph=graph, settings=told, evaluation=tmp_path / "none")


@pytest.mark.parametrize("nearest", [None, 0.75])
def test_a_name_that_is_only_like_one_is_found_over_http_where_that_is_wanted(
    tmp_path: Path, folders: dict[str, Path], nearest: float | None
) -> None:
    messages: Any = [{"role": "user", "content": "who has the auth modules"}]
    wanted = ("other", ["auth module owned by jonas"]) if nearest else ("default", [])
    with (
        serving(lambda: routed_twin(tmp_path, folders, nearest), leave=leave_thread) as served,
        served.client() as client,
    ):
        for _ in range(2):
            reply: Any = client.chat.completions.create(model="twin", messages=messages, max_tokens=4)
            assert (reply.twin["adapter"], reply.twin["facts"], reply.twin["graph"]) == (*wanted, "ok")


def test_the_graph_chooses_who_answers_over_http_and_a_model_s_name_overrules_it(
    tmp_path: Path, folders: dict[str, Path]
) -> None:
    def ask(client: Any, text: str, **more: Any) -> Any:
        messages = [{"role": "user", "content": text}]
        return client.chat.completions.create(**({"model": "twin", "messages": messages, "max_tokens": 8} | more))

    with serving(lambda: routed_twin(tmp_path, folders), leave=leave_thread) as served, served.client() as client:
        assert [model.id for model in client.models.list()] == ["twin", "default", "dora", "other"]
        said = {}
        for text, adapter in (("is staging up", "dora"), ("who has the auth module", "other"), ("hello", "default")):
            reply = ask(client, text)
            run = "run-lora" if adapter == "default" else f"run-{adapter}"
            assert (reply.twin["adapter"], reply.twin["run_id"]) == (adapter, run)
            said[text] = reply.choices[0].message.content
        assert ask(client, "is staging up", model="other").twin["adapter"] == "other"
        assert ask(client, "is staging up", model="default").twin["run_id"] == "run-lora"
        alone = ask(client, "is staging up", extra_body={"twin": {"facts": False}})
        assert (alone.twin["adapter"], alone.twin["graph"], alone.twin["facts"]) == ("default", "off", [])
        for text, once in said.items():
            again = ask(client, text)
            assert again.choices[0].message.content == once
            assert again.usage.prompt_tokens_details.cached_tokens > 0
        warm = {ask(client, "hello", temperature=1.5, seed=4).choices[0].message.content for _ in range(2)}
        other = ask(client, "hello", temperature=1.5, seed=5).choices[0].message.content
        assert len(warm) == 1 and other not in warm
        whole = ask(client, "hello", max_tokens=12).choices[0].message.content
        stop = whole[3:5]
        cut = ask(client, "hello", max_tokens=12, stop=stop)
        assert (cut.choices[0].message.content, cut.choices[0].finish_reason) == (whole[: whole.index(stop)], "stop")
        with pytest.raises(openai.BadRequestError, match="maximum context length is 512 tokens"):
            ask(client, "ship " * 400)


def test_a_cancelled_reply_ends_at_the_next_token(tmp_path: Path, folders: dict[str, Path]) -> None:
    twin, cancelled, pieces = routed_twin(tmp_path, folders), threading.Event(), []
    for piece in twin.answer([{"role": "user", "content": "hello"}], Options(200), cancelled):
        pieces.append(piece)
        cancelled.set()
    assert len(pieces) == 1 and not isinstance(pieces[0], Behind)


@pytest.mark.parametrize("part", ["base", "prompt"])
def test_an_adapter_of_another_base_or_prompt_is_refused(tmp_path: Path, folders: dict[str, Path], part: str) -> None:
    odd = Path(shutil.copytree(folders["dora"], tmp_path / "odd"))
    recipe = json.loads((odd / "recipe.json").read_text())
    recipe[part] = recipe[part] | ({"id": "elsewhere"} if part == "base" else {"persona": "You are Ann."})
    (odd / "recipe.json").write_text(json.dumps(recipe))
    told = settings(tmp_path, folders | {"dora": odd})
    with pytest.raises(ModelError, match=f"'dora' has another {part} than"):
        load_twin(folders["lora"], graph="none", settings=told)


def test_many_clients_who_read_slowly_or_leave_lose_nothing_and_memory_stays(
    tmp_path: Path, folders: dict[str, Path]
) -> None:
    told: list[str] = []
    memory: list[int] = []
    never = threading.Event()

    def one(client: Any, number: int) -> str:
        messages = [{"role": "user", "content": f"is staging up {number}"}]
        try:
            # A stream that is only dropped is closed by the garbage collector. Where that runs inside httpcore's lock,
            # which closing takes too, the client waits for itself for ever.
            with client.chat.completions.create(model="twin", messages=messages, max_tokens=6, stream=True) as stream:
                for chunk in stream:
                    if number % 4 == 1:
                        return "left"
                    if chunk.choices[0].finish_reason:
                        return "replied"
                    if number % 4 == 3:
                        never.wait(0.01)  # a slow reader
        except openai.RateLimitError:
            return "told to come back"
        except Exception as error:  # a thread's error would otherwise only be missing from the count
            return f"{number} failed: {error!r}, because of {error.__cause__!r}"
        return "lost"

    def work(served: Served, numbers: range) -> None:
        with served.client() as client:
            for number in numbers:
                told.append(one(client, number))

    with serving(lambda: routed_twin(tmp_path, folders), leave=leave_thread) as served:
        for half in (0, 16):
            threads = [threading.Thread(target=work, args=(served, range(half + n, half + 16, 4))) for n in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(60)
                assert not thread.is_alive()
            memory.append(mx.get_active_memory())
    assert set(told) <= {"replied", "left", "told to come back"}
    assert len(told) == 32
    assert told.count("replied") >= 8
    assert memory[1] - memory[0] < 1 << 20
