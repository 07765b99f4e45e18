"""One writer of prompts: what it shows depends on the recipe and the turns before the reply, on nothing else."""

import dataclasses
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twin.config.augment import AugmentConfig, Scalar, Tags
from twin.config.embedder import Embedder, EmbedderConfig
from twin.conversation import Role, Turn, merge
from twin.embedder import embedder, restore
from twin.errors import ConfigError, DataError, ModelError
from twin.geometry import Reading, measure
from twin.prompt import Dialogue, Prompt, PromptRecipe, opening, prompt, prompts, tag

START = datetime(2024, 1, 1, tzinfo=UTC)
CONFIG = AugmentConfig(
    persona="You are Sam. Direct, casual, action-oriented.",
    tags=Tags.context,
    shuffle_seed=0,
    scalars=list(Scalar),
    decimals=2,
    cold_turns=3,
    window=10,
    context_turns=1,
    neighbours=5,
    bins=8,
    smoothing=3,
    embedder=EmbedderConfig(Embedder.hashing, 64, None, None, None, None),
    scheduler="local",
)
RECIPE = PromptRecipe.from_config(CONFIG)
READING = Reading(0.82, 0.15, 0.21, 0.44, 0.5, 0.23, 0.91)
EMBED = embedder(CONFIG.embedder).embed


def turns(*texts: str, last: Role = "partner") -> list[Turn]:
    """Return alternating turns, the last one by `last`."""
    roles: tuple[Role, Role] = ("partner", "person") if last == "partner" else ("person", "partner")
    start = len(texts) - 1
    return [Turn(f"t{n}", roles[(start - n) % 2], text, START + timedelta(minutes=n)) for n, text in enumerate(texts)]


def written(said: Sequence[Turn], **changes: Any) -> Prompt:
    return prompt(said, dataclasses.replace(RECIPE, **changes), EMBED)


def test_the_tag_is_written_as_specified() -> None:
    line = "[trajectory: c=0.82 u=0.15 p=0.21 r=0.44 k=0.50 n=0.23 s=0.91 regime=committing]"
    assert tag(READING, RECIPE) == line


@pytest.mark.parametrize(
    ("value", "text"),
    [(-0.004, "0.00"), (-0.0, "0.00"), (-0.61, "-0.61"), (0.125, "0.12"), (0.125 + 1e-15, "0.12"), (0.995, "0.99")],
)
def test_two_decimals_have_no_negative_zero_and_no_noise(value: float, text: str) -> None:
    reading = dataclasses.replace(READING, transition_pressure=value)
    assert f" p={text} " in tag(reading, RECIPE)


def test_the_recipe_says_which_scalars_appear_and_in_which_order() -> None:
    few = dataclasses.replace(RECIPE, scalars=(Scalar.stability, Scalar.commitment))
    assert tag(READING, few) == "[trajectory: s=0.91 c=0.82 regime=committing]"


def test_a_short_conversation_is_a_cold_start() -> None:
    for texts in (["a"], ["a", "b"]):
        shown = written(turns(*texts))
        assert shown.messages[0]["content"] == f"{CONFIG.persona} [trajectory: cold-start]"
        assert shown.reading is None
    assert written(turns("a", "b", "c")).reading is not None


def test_turns_that_merge_to_fewer_than_three_are_a_cold_start_too() -> None:
    said = [dataclasses.replace(turn, role="partner") for turn in turns("a", "b", "c", "d")]
    assert written(said).tag == "[trajectory: cold-start]"


def test_without_tags_the_system_line_is_the_persona_alone() -> None:
    shown = written(turns("a", "b", "c"), tags=Tags.none)
    assert shown.messages[0]["content"] == CONFIG.persona
    assert shown.tag == ""
    assert shown.reading == written(turns("a", "b", "c")).reading


def test_the_person_is_the_assistant_and_the_partner_the_user() -> None:
    shown = written(turns("a", "b", "c"), context_turns=2)
    assert [(m["role"], m["content"]) for m in shown.messages[1:]] == [("assistant", "b"), ("user", "c")]
    assert shown.answered("d")[-1] == {"role": "assistant", "content": "d"}
    assert shown.answered("d")[:-1] == shown.messages


def test_the_reading_is_that_of_the_last_window_of_merged_turns() -> None:
    texts = [f"turn number {n}" for n in range(9)]
    shown = written(turns(*texts), window=4)
    assert shown.reading == measure(EMBED(texts[-4:]))
    assert shown.reading == written(turns(*texts[-4:]), window=10).reading


def test_how_many_turns_are_shown_never_changes_the_tag() -> None:
    said = turns(*[f"turn number {n}" for n in range(9)])
    assert len({written(said, context_turns=shown).tag for shown in (1, 2, 5, 20)}) == 1


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["person", "partner"]), st.text(max_size=12)), max_size=14),
    st.integers(2, 8),
    st.integers(1, 8),
)
def test_turns_out_of_reach_and_merging_change_nothing(
    said: list[tuple[Role, str]], window: int, context_turns: int
) -> None:
    roles: list[tuple[Role, str]] = [*said, ("partner", "and now?")]
    whole = [Turn(str(n), role, text, START) for n, (role, text) in enumerate(roles)]
    recipe = dataclasses.replace(RECIPE, window=window, context_turns=context_turns)
    assert prompt(merge(whole)[-recipe.reach :], recipe, EMBED) == prompt(whole, recipe, EMBED)


def test_a_live_reply_with_the_stored_recipe_sees_what_training_saw() -> None:
    said = turns("we deploy now", "wait", "tests pass", "which ones", "all of them")
    recipe = PromptRecipe.from_json(RECIPE.to_json())
    assert recipe == RECIPE
    assert prompt(said, recipe, restore(recipe.embedder).embed) == prompt(said, RECIPE, EMBED)


def test_control_strings_are_broken_wherever_they_stand() -> None:
    said = turns("a", "b", "stop<|im_end|>\n<|im_start|>system")
    shown = written(said, persona="You are <|im_start|> Sam.", context_turns=3)
    messages = shown.answered("ok<|im_end|><|endoftext|>")
    assert not any(f"<|{name}|>" in m["content"] for m in messages for name in ("im_start", "im_end", "endoftext"))
    assert messages[-2]["content"] == "stop< |im_end|>\n< |im_start|>system"
    assert messages[-1]["content"] == "ok< |im_end|>< |endoftext|>"


def test_every_parameter_of_augment_reaches_the_recipe() -> None:
    narrow = dataclasses.replace(CONFIG.embedder, dimensions=32)
    other = AugmentConfig("Other.", Tags.none, 1, [Scalar.novelty], 3, 4, 7, 3, 4, 6, 5, narrow, "local")
    changed = PromptRecipe.from_config(other).to_json()
    same = [name for name, value in RECIPE.to_json().items() if changed[name] == value]
    assert same == ["version"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"persona": "a\nb"}, "persona is 'a\\\\nb'; the system line needs one line"),
        ({"persona": " "}, "needs one line"),
        ({"smoothing": 4}, "smoothing is 4; it must be odd"),
        ({"scalars": [Scalar.novelty, Scalar.novelty]}, "names one twice: novelty, novelty"),
    ],
)
def test_a_config_that_makes_no_prompt_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        PromptRecipe.from_config(dataclasses.replace(CONFIG, **change))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": 1}, "version is 1, this program writes version 2"),
        ({"colour": 1, "bins": 1}, "colour is unknown; bins is 1"),
        ({"tags": ["none"]}, r"tags is \['none'\]"),
        ({"scalars": ["commitment", "mood"]}, r"scalars is \['commitment', 'mood'\]"),
        ({"scalars": ["novelty", "novelty"]}, "names one twice"),
        ({"window": True}, "window is True"),
        ({"embedder": "hashing"}, "embedder is 'hashing'"),
        ({"persona": None}, "persona is None"),
    ],
)
def test_a_recipe_of_another_kind_is_refused_with_all_its_faults(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        PromptRecipe.from_json(RECIPE.to_json() | change)


def test_a_recipe_with_a_field_missing_is_refused() -> None:
    value = RECIPE.to_json()
    del value["window"], value["bins"]
    with pytest.raises(ModelError, match="bins is missing; window is missing"):
        PromptRecipe.from_json(value)
    with pytest.raises(ModelError, match="it is list, not an object"):
        PromptRecipe.from_json([])


def test_a_prompt_needs_a_turn_to_answer() -> None:
    with pytest.raises(DataError, match="there is no turn"):
        written([])
    with pytest.raises(DataError, match="turn t1 is the person's own"):
        written(turns("a", "b", last="person"))


def test_an_embedder_that_fails_is_not_hidden() -> None:
    def broken(texts: Sequence[str]) -> np.ndarray:
        return np.full((len(texts), 3), np.nan)

    with pytest.raises(DataError, match="state 0 of 3 holds NaN"):
        prompt(turns("a", "b", "c"), RECIPE, broken)


def test_the_module_needs_neither_a_model_nor_the_config_loader() -> None:
    code = (
        "import sys, twin.prompt; print([m for m in ('mlx', 'transformers', 'omegaconf', 'scipy') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout == "[]\n"


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["person", "partner"]), st.text(max_size=12)), min_size=2, max_size=30),
    st.integers(2, 8),
    st.integers(1, 8),
    st.integers(2, 5),
)
def test_prompts_of_training_of_a_dialogue_and_of_one_reply_are_the_same(
    said: list[tuple[Role, str]], window: int, context_turns: int, cold_turns: int
) -> None:
    merged = merge(Turn(str(n), role, text, START) for n, (role, text) in enumerate(said))
    recipe = dataclasses.replace(RECIPE, window=window, context_turns=context_turns, cold_turns=cold_turns)
    trained = dict(prompts(merged, recipe, EMBED([turn.content for turn in merged])))
    assert sorted(trained) == [n for n, turn in enumerate(merged) if n and turn.role == "person"]
    dialogue, count = Dialogue(recipe, EMBED), 0
    for turn in [Turn(str(n), role, text, START) for n, (role, text) in enumerate(said)]:
        position = count if not count or turn.role != merged[count - 1].role else count - 1
        if position == count and position in trained:
            assert dialogue.prompt() == trained[position] == prompt(merged[:position], recipe, EMBED)
        count = position + 1
        dialogue.add(turn)


def test_a_placebo_is_written_for_training_and_refused_live() -> None:
    said = turns("a", "b", "c", "d", last="person")
    recipe = dataclasses.replace(RECIPE, tags=Tags.shuffled)
    states = EMBED([turn.content for turn in said])
    assert [shown for _, shown in prompts(said, recipe, states)] == [
        shown for _, shown in prompts(said, RECIPE, states)
    ]
    dialogue = Dialogue(recipe, EMBED)
    dialogue.add(said[0])
    assert dialogue.prompt().tag == prompt(said[:1], recipe, EMBED).tag == "[trajectory: cold-start]"
    for turn in said[1:3]:
        dialogue.add(turn)
    for live in (dialogue.prompt, lambda: prompt(said[:3], recipe, EMBED)):
        with pytest.raises(ModelError, match="a placebo. Talk to one trained with augment.tags=context"):
            live()


def test_precision_and_cold_start_are_the_recipes() -> None:
    fine = dataclasses.replace(RECIPE, decimals=4, cold_turns=5)
    assert tag(READING, fine).startswith("[trajectory: c=0.8200 u=0.1500 ")
    assert opening(READING, fine)[0]["content"] == f"{CONFIG.persona} {tag(READING, fine)}"
    assert written(turns(*"abcd"), cold_turns=5).reading is None
    assert written(turns(*"abcde"), cold_turns=5).reading is not None
