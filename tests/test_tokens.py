"""Supervised tokens are the reply's content and its stop token, found without guessing, and nothing is cut."""

import pytest

from tests.conftest import TEMPLATE, make_rows, make_tokenizer
from twin.errors import DataError, ModelError
from twin.model import load_base
from twin.tokens import encode, encode_split, fit, prompt_tokens

CONTEXT = [
    {"role": "system", "content": "You are Sam."},
    {"role": "user", "content": "the first question about the deploy"},
    {"role": "assistant", "content": "later"},
    {"role": "user", "content": "the second question about the cache"},
]
REPLY = {"role": "assistant", "content": "ship it now"}


@pytest.fixture(scope="module")
def tokenizer(tiny_base):
    return load_base(tiny_base).tokenizer


def with_template(folder, template):
    from mlx_lm.tokenizer_utils import load

    folder.mkdir()
    make_tokenizer(folder, template)
    return load(folder)


def test_the_reply_and_its_stop_token_are_supervised_and_nothing_else(tokenizer):
    example = encode([*CONTEXT, REPLY], tokenizer, "x")
    supervised = list(example.tokens[example.prompt_tokens :])
    assert tokenizer.decode(supervised) == "ship it now<|im_end|>"
    assert supervised[-1] == tokenizer.eos_token_id
    assert len(supervised) == example.supervised


def test_a_training_row_shows_the_tokens_that_generation_is_given(tokenizer):
    example = encode([*CONTEXT, REPLY], tokenizer, "x")
    assert list(example.tokens[: example.prompt_tokens]) == prompt_tokens(CONTEXT, tokenizer)


def test_a_reply_that_starts_with_a_newline_does_not_merge_into_the_prompt(tokenizer):
    example = encode([*CONTEXT, {"role": "assistant", "content": "\n\nship"}], tokenizer, "x")
    assert list(example.tokens[: example.prompt_tokens]) == prompt_tokens(CONTEXT, tokenizer)
    assert tokenizer.decode(list(example.tokens[example.prompt_tokens :])) == "\n\nship<|im_end|>"


def test_earlier_replies_in_the_context_are_not_supervised(tokenizer):
    example = encode([*CONTEXT, REPLY], tokenizer, "x")
    assert "later" not in tokenizer.decode(list(example.tokens[example.prompt_tokens :]))
    assert "later" in tokenizer.decode(list(example.tokens[: example.prompt_tokens]))


def test_the_oldest_context_turns_go_first_and_whole(tokenizer):
    whole = encode([*CONTEXT, REPLY], tokenizer, "x")
    for dropped in range(1, 4):
        shorter = encode([CONTEXT[0], *CONTEXT[1 + dropped :], REPLY], tokenizer, "x")
        fitted = fit([*CONTEXT, REPLY], tokenizer, "x", len(shorter.tokens))
        assert (fitted.tokens, fitted.dropped_turns) == (shorter.tokens, dropped)
    assert fit([*CONTEXT, REPLY], tokenizer, "x", len(whole.tokens)).dropped_turns == 0


def test_a_reply_that_alone_is_too_long_is_named_not_cut(tokenizer):
    rows = make_rows(200)
    rows[7]["messages"][-1] = {"role": "assistant", "content": "merge " * 80}
    encoded = encode_split(rows, tokenizer, 160, "train.jsonl")
    assert encoded.too_long == (rows[7]["id"],)
    assert len(encoded.examples) == 199


def test_more_than_one_percent_of_too_long_replies_is_an_error(tokenizer):
    rows = make_rows(100)
    for row in rows[:2]:
        row["messages"][-1] = {"role": "assistant", "content": "merge " * 80}
    with pytest.raises(DataError, match=r"train\.jsonl: 2 of 100 replies .* = 160 \(r0-000, r0-001\)"):
        encode_split(rows, tokenizer, 160, "train.jsonl")


def test_an_empty_split_is_an_error(tokenizer):
    with pytest.raises(DataError, match=r"valid\.jsonl has no examples"):
        encode_split([], tokenizer, 160, "valid.jsonl")


def test_a_template_that_rewrites_the_prompt_is_refused(tmp_path):
    rewriting = "{{ messages | length }}" + TEMPLATE
    with pytest.raises(ModelError, match=r"example x: the chat template renders the prompt differently .* Template: "):
        encode([*CONTEXT, REPLY], with_template(tmp_path / "t", rewriting), "x")


def test_a_template_that_never_stops_is_refused(tmp_path):
    endless = TEMPLATE.replace("<|im_end|>", "")
    with pytest.raises(ModelError, match="example x: the chat template ends the reply with none of the stop tokens"):
        encode([*CONTEXT, REPLY], with_template(tmp_path / "t", endless), "x")


def test_a_template_without_a_system_role_is_refused(tmp_path):
    strict = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + TEMPLATE
    with pytest.raises(ModelError, match="refuses a conversation of system, user, assistant, user: no system role"):
        encode([*CONTEXT, REPLY], with_template(tmp_path / "t", strict), "x")
