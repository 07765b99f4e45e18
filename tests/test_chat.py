"""Live and training prompts are one: what `twin chat` shows the model equals the training row, token for token."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.augmenting import augment
from tests.test_prompt import CONFIG, EMBED
from twin.cli.chat import Chat
from twin.conversation import Turn
from twin.errors import DataError, ModelError
from twin.model import load_base
from twin.prompt import PromptRecipe
from twin.tokens import prompt_tokens
from twin.turns import Conversation

ROOT = Path(__file__).parents[1]


class Recorder:
    """Answers from a script and keeps what it was shown."""

    def __init__(self, replies: Sequence[str]) -> None:
        self.replies = list(replies)
        self.shown: list[list[int]] = []
        self.forgotten = 0

    def stream(self, tokens: Sequence[int], _: int) -> Iterator[str]:
        self.shown.append(list(tokens))
        yield from self.replies.pop(0).partition(" ")

    def forget(self) -> None:
        self.forgotten += 1


class Layers:
    state = "on"

    def on(self) -> None:
        self.state = "on"

    def off(self) -> None:
        self.state = "off"


@pytest.fixture(scope="module")
def base() -> Any:
    return load_base(ROOT / "models/demo")


def chat_with(base: Any, replies: Sequence[str]) -> tuple[Chat, Recorder]:
    speaker: Any = Recorder(replies)
    layers: Any = Layers()
    return Chat(PromptRecipe.from_config(CONFIG), EMBED, base, layers, speaker, 64), speaker


def test_a_live_prompt_equals_the_training_prompt_token_for_token(base: Any, turns_of: Any) -> None:
    compared = 0
    for number in range(40):
        turns: list[Turn] = turns_of(number)
        rows, _ = augment([Conversation("c", turns)], CONFIG)
        said = [turn.content for turn in turns if turn.role == "person"]
        chat, speaker = chat_with(base, said)
        for turn in turns:
            if turn.role == "partner":
                assert "".join(chat.answer(turn.content)) == said[len(speaker.shown) - 1]
        assert speaker.shown == [prompt_tokens(row["messages"][:-1], base.tokenizer) for row in rows]
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
    chat, speaker = chat_with(base, ["ship it", "no"])
    assert "Nothing has been answered" in chat.command("/prompt")
    list(chat.answer("The build is green."))
    shown = chat.command("/prompt")
    assert "[trajectory: cold-start]" in shown
    assert shown.endswith("<|im_start|>assistant\n")
    assert list(base.tokenizer.encode(shown, add_special_tokens=False)) == speaker.shown[-1]
    layers: Any = chat.layers
    assert ("base" in chat.command("/base"), layers.state, chat.voice) == (True, "off", "base")
    assert ("twin" in chat.command("/base"), layers.state, speaker.forgotten) == (True, "on", 2)
    chat.command("/new")
    with pytest.raises(DataError, match="there is no turn"):
        chat.dialogue.prompt()
    assert "/nope is not a command" in chat.command("/nope")


def test_a_chat_without_an_adapter_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"holds no adapter\. Train one with `dvc repro`"):
        Chat.load(tmp_path, None, None, 8)
