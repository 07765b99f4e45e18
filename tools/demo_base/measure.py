"""How good a demo base is: a model folder → shares of greedy answers with a proper end, their topic, and a fact."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx_lm import load
from mlx_lm.generate import generate_step

from tools.demo_base.texts import Informing, Message, lesson
from tools.demo_export.dice import Dice
from twin.text import normalise, says

MAX_TOKENS = 64
UNSEEN = "unseen prompts of the demo"


def measure(folder: Path, count: int = 50) -> dict[str, float]:
    """Answer `count` unseen demo prompts; return the shares that end without a loop and that name the topic.

    As many prompts with facts are answered too, and as many that ask for the owner; of those whose facts have one, the
    shares are returned that name the owner.
    """
    model, tokenizer = load(str(folder))[:2]
    dice = Dice(UNSEEN)
    ended = named = 0
    for _ in range(count):
        made = lesson(dice)
        text, stopped = answer(model, tokenizer, made.prompt)
        ended += stopped and not loops(text)
        named += normalise(made.topic) in normalise(text)
    measured = {"prompts": count, "ended": ended / count, "named": named / count}
    for name, reminders in (("asked", 0.0), ("reminded", 1.0)):
        told = [lesson(dice, informing=Informing(1.0, reminders)) for _ in range(count)]
        owned = [made for made in told if made.known.who]
        right = sum(says(answer(model, tokenizer, made.prompt)[0], made.known.who) for made in owned)
        measured[name] = right / len(owned)
    return measured


def answer(model: Any, tokenizer: Any, messages: list[Message]) -> tuple[str, bool]:
    """Return the greedy answer and whether it ended by itself within `MAX_TOKENS`."""
    prompt = mx.array(tokenizer.apply_chat_template(messages, add_generation_prompt=True))
    tokens: list[int] = []
    for token, _ in generate_step(prompt, model, max_tokens=MAX_TOKENS):
        if int(token) in tokenizer.eos_token_ids:
            return tokenizer.decode(tokens), True
        tokens.append(int(token))
    return tokenizer.decode(tokens), False


def loops(text: str) -> bool:
    """Say whether fewer than 60 % of the word pairs of a text are different ones."""
    words = text.split()
    pairs = list(pairwise(words))
    return len(words) >= 6 and len(set(pairs)) < 0.6 * len(pairs)
