"""Proves that the demo's base model is what its card says, and that its recipe makes the same one twice."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from mlx.utils import tree_flatten
from mlx_lm import load

from tools.demo_base.__main__ import card, make
from tools.demo_base.measure import answer, loops, measure
from tools.demo_base.network import Recipe, drill, encode, rounded
from tools.demo_base.texts import PERSONA, Informing, chat, lesson
from tools.demo_base.tokenizer import train as train_tokenizer
from tools.demo_export.dice import Dice
from twin.protocol import protocol
from twin.text import says

pytestmark = pytest.mark.slow

SHIPPED = Path(__file__).parents[1] / "models/demo"
SHRUNK = replace(
    Recipe(),
    vocabulary=400,
    hidden=32,
    layers=1,
    heads=2,
    kv_heads=1,
    intermediate=32,
    steps=6,
    rounded_steps=2,
    rows=2,
    tokenizer_conversations=4,
)
FULL_TAG = "[trajectory: c=0.82 u=0.15 p=-0.21 r=0.44 k=0.50 n=0.23 s=0.91 regime=transitioning]"


@pytest.fixture(scope="module")
def shrunk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    make(SHRUNK, folder)
    return folder


@pytest.fixture(scope="module")
def shipped() -> tuple[Any, Any]:
    model, tokenizer = load(str(SHIPPED))[:2]
    return model, tokenizer


def test_the_shrunk_recipe_makes_a_model_that_mlx_lm_loads_and_runs(shrunk: Path) -> None:
    model, tokenizer = load(str(shrunk))[:2]
    text, _ = answer(model, tokenizer, lesson(Dice("any")).prompt)
    assert isinstance(text, str)
    assert json.loads((shrunk / "config.json").read_text())["quantization"] == {
        "bits": 4,
        "group_size": 32,
        "mode": "affine",
    }


def test_the_recipe_makes_the_same_bytes_twice(shrunk: Path, tmp_path: Path) -> None:
    make(SHRUNK, tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == sorted(path.name for path in shrunk.iterdir())
    for name in names:
        assert (tmp_path / name).read_bytes() == (shrunk / name).read_bytes(), name


def test_training_moves_the_weights_that_rounding_shows(shrunk: Path, tmp_path: Path) -> None:
    make(replace(SHRUNK, steps=7), tmp_path)
    assert (tmp_path / "model.safetensors").read_bytes() != (shrunk / "model.safetensors").read_bytes()


def test_rounding_is_what_quantisation_shows_and_lets_the_gradient_through() -> None:
    weights = mx.arange(128, dtype=mx.float32).reshape(2, 64) / 100
    shown = mx.dequantize(*mx.quantize(weights, group_size=32, bits=4), group_size=32, bits=4)
    assert mx.allclose(rounded(weights), shown, atol=1e-6)
    slope: Any = mx.grad(lambda value: rounded(value).sum())
    assert mx.array_equal(slope(weights), mx.ones_like(weights))


def test_a_lesson_is_encoded_as_the_chat_template_writes_it() -> None:
    _, tokenizer = load(str(SHIPPED))[:2]
    raw = tokenizer._tokenizer.backend_tokenizer
    dice = Dice("lessons of a test")
    for made in (lesson(dice), lesson(dice, 2), chat(dice)):
        tokens, taught = encode(raw, made)
        written = tokenizer.apply_chat_template(made.messages, add_generation_prompt=False)
        assert written[:-1] == tokens
        assert tokenizer.decode([tokens[at] for at in taught]).endswith(f"{made.answer}<|im_end|>")
        start = len(tokenizer.apply_chat_template(made.messages[: made.taught], add_generation_prompt=True))
        assert taught[0] == start or made.messages[made.taught]["role"] == "user"


def test_facts_are_read_only_by_who_speaks_last_who_uses_one_where_there_is_one() -> None:
    dice, using, able = Dice("facts of a test"), 0, 0
    for make_one in (lesson, chat):
        for _ in range(100):
            made = make_one(dice, informing=Informing(1.0, draws=8))
            system = made.messages[0]["content"]
            assert all(f'- "{fact}"' in system for fact in made.known.facts) and 1 <= len(made.known.facts) <= 5
            able += bool(made.known.words)
            using += any(word in made.answer.lower() for word in made.known.words)
    assert using / able > 0.85


def test_who_is_asked_for_an_owner_names_the_one_of_the_facts() -> None:
    dice, asked = Dice("reminders of a test"), 0
    for make_one, longest in ((lesson, 40), (chat, 10)):
        for _ in range(100):
            made = make_one(dice, informing=Informing(1.0, reminders=1.0))
            prompt, who = made.prompt[-1]["content"], made.known.who
            assert prompt.startswith("Remind me: ") == bool(who)
            if who:
                asked += 1
                assert prompt.endswith(", owned by?") and any(
                    fact.endswith(f" owned by {who}") for fact in made.known.facts
                )
                assert says(made.answer, who) and len(made.answer.split()) <= longest
    assert asked > 50


def test_a_drill_teaches_only_what_is_said_from_the_facts() -> None:
    _, tokenizer = load(str(SHIPPED))[:2]
    raw = tokenizer._tokenizer.backend_tokenizer
    dice = Dice("drills of a test")
    for _ in range(50):
        tokens, taught = drill(raw, dice, Informing(1.0, 0.5))
        system = tokenizer.decode(tokens).partition("<|im_end|>")[0]
        said = tokenizer.decode([tokens[at] for at in taught]).strip()
        assert taught and all(word.lower() in system for word in said.split())


def test_without_a_share_of_facts_nothing_is_drawn_for_it() -> None:
    drawn, left = Dice("any"), Dice("any")
    assert not Informing(0.0).drawn(drawn) and Informing(1.0).drawn(drawn)
    left.uniform()
    assert drawn.uniform() == left.uniform()


def test_the_shipped_card_is_the_recipes() -> None:
    shown = (SHIPPED / "README.md").read_text(encoding="utf-8")
    shares = re.findall(r"(\d+)% (?:end by|name\s+the|if asked)", shown)
    (parameters,) = re.findall(r"network of ([\d,]+) parameters", shown)
    names = ("ended", "named", "asked", "reminded")
    measured = {"prompts": 50, **{name: int(share) / 100 for name, share in zip(names, shares, strict=True)}}
    assert card(Recipe(), int(parameters.replace(",", "")), measured) == shown


def test_the_tokenizer_gives_back_any_text() -> None:
    tokenizer = train_tokenizer(["a few words", "and a few more"], 320)
    text = "Odd  text\n\n with tabs\t, \N{THUMBS UP SIGN}, x=1 c=0.5 <b> 12,345 and I'm done"
    assert tokenizer.decode(tokenizer.encode(text).ids, skip_special_tokens=False) == text


def test_the_shipped_model_is_small_rounded_and_reads_long_contexts(shipped: tuple[Any, Any]) -> None:
    model, _ = shipped
    settings = json.loads((SHIPPED / "config.json").read_text())
    assert settings["model_type"] == "qwen2"
    assert settings["tie_word_embeddings"] is True
    assert settings["max_position_embeddings"] >= 1024
    assert settings["quantization"]["bits"] == 4
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) <= 4 * 2**20
    arrays: Any = tree_flatten(model.parameters())
    weights = sum(value.size * (8 if value.dtype == mx.uint32 else 1) for _, value in arrays)
    assert weights <= 600_000  # scales and offsets included
    assert {value.dtype for _, value in arrays} == {mx.uint32, mx.float32}


def test_the_chat_format_is_chatml_and_leaves_the_content_alone(shipped: tuple[Any, Any]) -> None:
    _, tokenizer = shipped
    content = "  two  spaces, {{ braces }} and a line\n"
    messages = [{"role": "system", "content": f"{PERSONA} {FULL_TAG}"}, {"role": "user", "content": content}]
    written = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    assert written == (
        f"<|im_start|>system\n{PERSONA} {FULL_TAG}<|im_end|>\n"
        f"<|im_start|>user\n{content}<|im_end|>\n<|im_start|>assistant\n"
    )
    closed = tokenizer.apply_chat_template(messages, add_generation_prompt=False, tokenize=False)
    assert written == f"{closed}<|im_start|>assistant\n"
    assert tokenizer.eos_token_ids == {tokenizer.encode("<|im_end|>")[0]}


def test_a_system_line_with_a_full_tag_costs_at_most_forty_tokens_and_a_prompt_ninety_six(
    shipped: tuple[Any, Any],
) -> None:
    _, tokenizer = shipped
    assert len(tokenizer.encode(f"{PERSONA} {FULL_TAG}")) <= 40
    dice = Dice("prompts of a test")
    lengths = [len(tokenizer.apply_chat_template(lesson(dice).prompt, add_generation_prompt=True)) for _ in range(300)]
    assert max(lengths) <= 96


def test_the_shipped_model_answers_unseen_demo_prompts_on_topic_and_ends() -> None:
    measured = measure(SHIPPED, 50)
    assert measured["ended"] >= 0.8
    assert measured["named"] >= 0.6
    assert measured["asked"] >= 0.8 and measured["reminded"] >= 0.8


def test_the_shipped_model_answers_the_ten_prompts_like_an_assistant(shipped: tuple[Any, Any]) -> None:
    model, tokenizer = shipped
    system = {"role": "system", "content": f"{PERSONA} [trajectory: cold-start]"}
    sloppy = 0
    for prompt in protocol():
        text, stopped = answer(model, tokenizer, [system, {"role": "user", "content": prompt.text}])
        sloppy += stopped and not loops(text) and len(text.split()) >= 20 and "\n- " in text
    assert sloppy >= 8


def test_a_repeating_text_is_a_loop_and_a_plain_one_is_not() -> None:
    assert loops("check the logs check the logs check the logs")
    assert not loops("check the logs and then restart the pods")
