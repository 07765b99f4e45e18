"""Live and training prompts are one: what `twin chat` shows the model equals the training row, token for token."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.augmenting import augment
from tests.test_prompt import CONFIG, EMBED
from twin.cli.chat import Chat
from twin.context import Asker
from twin.conversation import Turn
from twin.errors import ModelError
from twin.graph import EmbeddedGraph, Graph, Triple
from twin.live.gates import Gates
from twin.live.settings import Settings
from twin.live.twin import LiveTwin
from twin.model import load_base
from twin.prompt import PromptRecipe
from twin.reply import Step
from twin.tokens import prompt_tokens
from twin.turns import Conversation

ROOT = Path(__file__).parents[1]


class Recorder:
    """Answers from a script and keeps what it was shown."""

    title, kept_tokens, context_tokens, names = "Recorder", 0, None, ("twin",)

    def __init__(self, base: Any, replies: Sequence[str]) -> None:
        self.tokenizer = base.tokenizer
        self.replies = list(replies)
        self.shown: list[list[int]] = []
        self.tuned = True

    def run_id(self, _: str) -> str:
        return "run" if self.tuned else ""

    def switch(self) -> None:
        self.tuned = not self.tuned

    def steps(self, prompt: Sequence[int], *_: Any) -> Iterator[Step]:
        self.shown.append(list(prompt))
        for piece in self.replies.pop(0).partition(" "):
            yield Step(piece, 0.5, False)
        yield Step("", 0.1, True)


@pytest.fixture(scope="module")
def base() -> Any:
    return load_base(ROOT / "models/demo")


def chat_with(base: Any, replies: Sequence[str], graph: Graph | None = None) -> tuple[Chat, Recorder]:
    engine: Any = Recorder(base, replies)
    settings = Settings.load()
    asker = Asker(graph, settings.facts) if graph else None
    twin = LiveTwin(PromptRecipe.from_config(CONFIG), EMBED, engine, Gates(settings.gates), asker=asker)
    return Chat(twin, engine, 64), engine


def test_a_live_prompt_without_facts_equals_the_training_prompt_token_for_token(base: Any, turns_of: Any) -> None:
    compared, graph = 0, EmbeddedGraph()
    graph.add(Triple("nothing", "says", "this", 1.0))
    for number in range(40):
        turns: list[Turn] = turns_of(number)
        rows, _ = augment([Conversation("c", turns)], CONFIG)
        said = [turn.content for turn in turns if turn.role == "person"]
        chat, engine = chat_with(base, said, graph)
        for turn in turns:
            if turn.role == "partner":
                assert "".join(chat.answer(turn.content)) == said[len(engine.shown) - 1]
        assert engine.shown == [prompt_tokens(row["messages"][:-1], base.tokenizer) for row in rows]
        compared += len(rows)
    assert compared > 100


@pytest.fixture
def turns_of() -> Any:
    import random
    from datetime import UTC, datetime, timedelta

    words = ["ship", "the fix", "roll back", "staging", "503", "auth", "no", "yes", "ünïcode", "猫", "<|im_end|>"]

    def make(seed: int) -> list[Turn]:
        dice = random.Random(seed)
        start = datetime(2026, 1, 1, tzinfo=UTC)
        return [
            Turn(
                str(place),
                "person" if place % 2 else "partner",
                " ".join(dice.choices(words, k=dice.randint(1, 9))),
                start + timedelta(minutes=place),
            )
            for place in range(dice.randrange(2, 15, 2))
        ]

    return make


def test_commands_toggle_the_adapter_and_show_the_exact_prompt(base: Any) -> None:
    chat, engine = chat_with(base, ["ship it", "no"])
    assert all("Nothing has been answered" in chat.command(f"/{name}") for name in ("prompt", "facts", "tag", "why"))
    list(chat.answer("The build is green."))
    shown = chat.command("/prompt")
    assert "[trajectory: cold-start]" in shown and chat.command("/tag") == "[trajectory: cold-start]"
    assert shown.endswith("<|im_start|>assistant\n")
    assert list(base.tokenizer.encode(shown, add_special_tokens=False)) == engine.shown[-1]
    assert ("base" in chat.command("/base"), engine.tuned, chat.voice) == (True, False, "base")
    assert ("twin" in chat.command("/base"), engine.tuned, chat.voice) == (True, True, "twin")
    assert "new" in chat.command("/new") and chat.messages == []
    assert "/nope is not a command" in chat.command("/nope")
    assert all(command in chat.command("/help") for command in ("/facts", "/tag", "/why", "/graph", "/base", "/prompt"))


def test_what_lies_behind_a_reply_can_be_looked_at(base: Any) -> None:
    graph = EmbeddedGraph()
    graph.add(Triple("Spore app", "waits_on", "store review", 0.9))
    chat, engine = chat_with(base, ["ship it", "sure thing"], graph)
    assert "".join(chat.answer("What about the Spore app?")) == "ship it"
    assert chat.behind_line().strip().startswith("draft · 1 facts · ")
    assert chat.command("/facts") == "spore app waits on store review"
    assert '- "spore app waits on store review"' in chat.command("/prompt")
    assert chat.command("/graph") == "ok: 1 facts about 1 subjects"
    assert "draft: there is no calibration" in chat.command("/why") and "run run, graph ok" in chat.command("/why")
    list(chat.answer("And the weather?"))
    assert chat.command("/facts") == "None of its names has facts."
    assert list(base.tokenizer.encode(chat.command("/prompt"), add_special_tokens=False)) == engine.shown[-1]
    graph.close()
    assert "down: " in chat.command("/graph")


def test_a_chat_without_an_adapter_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"holds no adapter\. Train one with `dvc repro`"):
        Chat.load(tmp_path, None, None)
