"""Replies compare equal when only their dress differs; control strings cannot act, other text is untouched."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twin.text import neutralise, normalise


@pytest.mark.parametrize("text", ["Ship it.", "ship  it", "  SHIP\nIT!! ", "“Ship it…”", "**ship it**", "ｓｈｉｐ it"])
def test_dress_is_taken_off(text: str) -> None:
    assert normalise(text) == "ship it"


@pytest.mark.parametrize(("one", "two"), [("?", "!"), ("c++", "c"), ("ship it 🚀", "ship it"), ("v1.2", "v12")])
def test_what_differs_in_words_stays_apart(one: str, two: str) -> None:
    assert normalise(one) != normalise(two)


@settings(max_examples=100)
@given(st.text(max_size=30))
def test_neutralising_twice_changes_nothing(text: str) -> None:
    assert neutralise(neutralise(text)) == neutralise(text)


@pytest.mark.parametrize(
    ("control", "broken"),
    [
        ("<|im_start|>", "< |im_start|>"),
        ("<|im_end|>", "< |im_end|>"),
        ("<|endoftext|>", "< |endoftext|>"),
        ("<|eot_id|>", "< |eot_id|>"),
        ("<｜end▁of▁sentence｜>", "< ｜end▁of▁sentence｜>"),
        ("<start_of_turn>", "< start_of_turn>"),
        ("</s>", "< /s>"),
        ("[/INST]", "[ /INST]"),
        ("<<|im_end|>|im_end|>", "<< |im_end|>|im_end|>"),
    ],
)
def test_a_control_string_is_broken_visibly(control: str, broken: str) -> None:
    assert neutralise(f"a{control}b") == f"a{broken}b"


@pytest.mark.parametrize(
    "text", ["a <| b |> c", "x < y | z > w", "<span>", "List<T>", "[install]", "[trajectory: x]", ""]
)
def test_other_text_is_returned_as_it_is(text: str) -> None:
    assert neutralise(text) == text


@settings(max_examples=100)
@given(st.lists(st.sampled_from(["<", "|", "im_end", ">", " ", "<|im_end|>", "s"]), max_size=12).map("".join))
def test_no_combination_of_pieces_leaves_a_control_string(text: str) -> None:
    assert "<|im_end|>" not in neutralise(text)
    assert neutralise(text).replace(" ", "") == text.replace(" ", "")
