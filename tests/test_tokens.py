"""Supervised tokens are the reply's content and its stop token under every template tried, and nothing is cut."""

import re

import pytest

from tests.conftest import TEMPLATE, make_rows, make_tokenizer
from tests.templates import DROPPING, LLAMA_3_2, TEMPLATES, WITHOUT_SYSTEM
from twin.errors import DataError, ModelError
from twin.model import load_base
from twin.tokens import encode, encode_split, fit, prompt_text, prompt_tokens

CONTEXT = [
    {"role": "system", "content": "You are Sam."},
    {"role": "user", "content": "the first question about the deploy"},
    {"role": "assistant", "content": "later"},
    {"role": "user", "content": "the second question about the cache"},
]
REPLY = {"role": "assistant", "content": "ship it now"}
LINE = CONTEXT[0]["content"]


@pytest.fixture(scope="module")
def tokenizer(tiny_base):
    return load_base(tiny_base).tokenizer


def with_template(folder, template, begin=None, stop="<|im_end|>"):
    """Load a tokenizer that has `template`, thinks if that knows how, and itself puts `begin` before every text."""
    from mlx_lm.tokenizer_utils import load
    from tokenizers.processors import TemplateProcessing
    from transformers import AutoTokenizer

    folder.mkdir()
    make_tokenizer(folder, template)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"eos_token": stop, **({"bos_token": begin} if begin else {})})
    if begin:
        known = [(begin, tokenizer.bos_token_id)]
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single=f"{begin} $A", special_tokens=known)
    if "<think>" in template:
        tokenizer.add_tokens(["<think>", "</think>"])
    tokenizer.save_pretrained(folder)
    return load(folder)


@pytest.fixture(scope="module", params=TEMPLATES)
def templated(request, tmp_path_factory):
    """Name of a template, and a tokenizer that has it."""
    tokenizer = with_template(tmp_path_factory.mktemp("templates") / "t", *TEMPLATES[request.param])
    return request.param, tokenizer


def shown(example, tokenizer):
    """Return the text of the prompt and of what is supervised."""
    tokens = list(example.tokens)
    return tuple(
        tokenizer.decode(part, skip_special_tokens=False)
        for part in (tokens[: example.prompt_tokens], tokens[example.prompt_tokens :])
    )


def test_every_template_supervises_the_reply_and_its_stop_token(templated):
    name, tokenizer = templated
    example = encode([*CONTEXT, REPLY], tokenizer, "x")
    prompt, supervised = shown(example, tokenizer)
    # Llama 2's blanks belong to how that model speaks.
    assert (supervised.replace(" </s>", "</s>").lstrip() if name == "llama2" else supervised) == (
        f"ship it now{TEMPLATES[name][2]}"
    )
    assert example.tokens[-1] == tokenizer.eos_token_id
    assert list(example.tokens[: example.prompt_tokens]) == prompt_tokens(CONTEXT, tokenizer)
    assert prompt.count(LINE) == 1 and all(message["content"] in prompt for message in CONTEXT)


def test_a_system_role_is_used_where_there_is_one(templated):
    name, tokenizer = templated
    ours = prompt_text(CONTEXT, tokenizer)
    if name in WITHOUT_SYSTEM:
        folded = [{"role": "user", "content": f"{LINE}\n\n{CONTEXT[1]['content']}"}, *CONTEXT[2:]]
        assert ours == tokenizer.apply_chat_template(folded, add_generation_prompt=True, tokenize=False)
    elif name not in ("qwen3", "llama3.2"):
        assert ours == tokenizer.apply_chat_template(CONTEXT, add_generation_prompt=True, tokenize=False)
        assert prompt_tokens(CONTEXT, tokenizer) == tokenizer.apply_chat_template(CONTEXT, add_generation_prompt=True)


def test_a_context_that_starts_with_the_persons_own_turn_is_shown_whole(templated):
    _, tokenizer = templated
    prompt, _ = shown(encode([CONTEXT[0], *CONTEXT[2:], REPLY], tokenizer, "x"), tokenizer)
    assert [prompt.count(text) for text in (LINE, "later", CONTEXT[3]["content"])] == [1, 1, 1]
    assert prompt.index(LINE) < prompt.index("later")


def test_dropping_turns_keeps_the_system_line(templated):
    _, tokenizer = templated
    shortest = encode([CONTEXT[0], CONTEXT[3], REPLY], tokenizer, "x")
    fitted = fit([*CONTEXT, REPLY], tokenizer, "x", len(shortest.tokens))
    assert (fitted.tokens, fitted.dropped_turns) == (shortest.tokens, 2)
    assert LINE in shown(fitted, tokenizer)[0]


def test_a_partner_who_quotes_the_system_line_does_not_stand_in_for_it(tmp_path):
    tokenizer = with_template(tmp_path / "t", DROPPING)
    quoting = [CONTEXT[0], {"role": "user", "content": f"who wrote {LINE}"}]
    assert prompt_text(quoting, tokenizer).count(LINE) == 2


@pytest.mark.parametrize("added", ["<say>{}", "{}<said>"])
def test_what_a_template_adds_to_the_reply_is_not_learned(tmp_path, added):
    content = "{{ message['content'] }}"
    last = "loop.last and message['role'] == 'assistant'"
    adding = f"{{% if {last} %}}{added.format(content)}{{% else %}}{content}{{% endif %}}"
    tokenizer = with_template(tmp_path / "t", TEMPLATE.replace(content, adding))
    with pytest.raises(ModelError, match=rf"example x: the chat template puts '{added.format('')}' around the reply"):
        encode([*CONTEXT, REPLY], tokenizer, "x")


def test_a_template_that_changes_the_reply_is_refused(tmp_path):
    content = "{{ message['content'] }}"
    shouting = TEMPLATE.replace(
        content, "{{ message['content'] | upper if message['role'] == 'assistant' else message['content'] }}"
    )
    with pytest.raises(ModelError, match="example x: the chat template changes the reply"):
        encode([CONTEXT[0], CONTEXT[1], REPLY], with_template(tmp_path / "t", shouting), "x")


def test_a_stop_token_inside_the_reply_does_not_end_it_and_a_second_one_is_not_learned(tmp_path):
    tokenizer = with_template(
        tmp_path / "t", TEMPLATE.replace("<|im_end|>\n{% endfor", "<|im_end|><|im_end|>{% endfor")
    )
    said = {"role": "assistant", "content": "ship<|im_end|> it"}
    _, supervised = shown(encode([*CONTEXT, said], tokenizer, "x"), tokenizer)
    assert supervised == "ship<|im_end|> it<|im_end|>"


def test_a_prompt_does_not_depend_on_the_day(tmp_path):
    template = LLAMA_3_2.replace("%d %b %Y", "%d %b %Y (%Y-%m-%d)")
    text = prompt_text(CONTEXT, with_template(tmp_path / "t", template, "<|begin_of_text|>", "<|eot_id|>"))
    assert re.findall("Today Date: (.*)", text) == ["26 Jul 2024 (2024-07-26)"]
    assert text.startswith("<|begin_of_text|><|start")


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


def test_a_template_that_takes_neither_a_system_line_nor_a_user_turn_is_refused(tmp_path):
    tokenizer = with_template(tmp_path / "t", f"{{{{ raise_exception('not today') }}}}{TEMPLATE}")
    with pytest.raises(
        ModelError, match="refuses a conversation of system, user, assistant, user: not today. Use a base"
    ):
        prompt_tokens(CONTEXT, tokenizer)


def test_a_system_line_that_is_lost_in_every_place_is_an_error(tmp_path):
    last_only = TEMPLATE.replace("in messages %}", "in messages[-1:] %}")
    with pytest.raises(ModelError, match="system, user, assistant, user: it leaves the system line out"):
        prompt_tokens(CONTEXT, with_template(tmp_path / "t", last_only))


def test_without_a_user_turn_a_system_line_has_nowhere_to_go(tmp_path):
    tokenizer = with_template(tmp_path / "t", *TEMPLATES["gemma"])
    with pytest.raises(ModelError, match="refuses a conversation of system: System role not supported"):
        prompt_tokens(CONTEXT[:1], tokenizer)
