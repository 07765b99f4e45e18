"""The demo's tokenizer: texts → a byte-level BPE in Hugging Face files, with Qwen2.5's chat format."""

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from tools.demo_base.texts import PERSONA, REGIMES
from twin.files import write_json, write_text

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
END_OF_TEXT, _, END_OF_TURN = SPECIAL

QWEN_PIECES = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""Qwen2's own splitting: transformers puts it in place of any other for a model of type qwen2."""

WHOLE = (
    PERSONA,
    " [trajectory:",
    *(f" {letter}={digit}." for letter in "curkns" for digit in "01"),
    *(f" p={digit}." for digit in ("0", "-0")),
    *(f" regime={regime}]" for regime in REGIMES),
)
"""Kept whole as added tokens, so that a full tag costs 23 tokens. The decimals stay single digits: 0.82 and 0.87
share what matters."""

CHAT_TEMPLATE = """\
{%- if not messages or messages[0]['role'] != 'system' %}
{{- '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""
"""Qwen2.5's ChatML without its tools: the content goes through as it is."""


def train(texts: Iterable[str], vocabulary: int) -> Tokenizer:
    """Return a byte-level BPE tokenizer of at most `vocabulary` tokens, all 256 bytes among them."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    split = pre_tokenizers.Split(Regex(QWEN_PIECES), "isolated")
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, to_bytes])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - len(WHOLE),
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in WHOLE])
    return tokenizer


def save(tokenizer: Tokenizer, folder: Path, max_tokens: int) -> None:
    """Write tokenizer.json and tokenizer_config.json, chat template included, into `folder`."""
    write_text(folder / "tokenizer.json", json.dumps(json.loads(tokenizer.to_str()), ensure_ascii=False) + "\n")
    settings = {
        "tokenizer_class": "Qwen2Tokenizer",
        "bos_token": None,
        "eos_token": END_OF_TURN,
        "pad_token": END_OF_TEXT,
        "additional_special_tokens": list(SPECIAL),
        "chat_template": CHAT_TEMPLATE,
        "clean_up_tokenization_spaces": False,
        "model_max_length": max_tokens,
    }
    write_json(folder / "tokenizer_config.json", settings)
