"""Which tokens are learned and scored: chat messages → tokens, of which the reply and its end are supervised.

The prompt is rendered and tokenised by itself, as it is when the model answers; the reply's tokens follow.
Nothing else is ever supervised: no context, no padding, not the newline a template adds behind the stop token.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2.exceptions import TemplateError

from twin.errors import DataError, ModelError

Message = Mapping[str, str]


@dataclass(frozen=True)
class Example:
    """One tokenised example; `tokens[prompt_tokens:]` is supervised and ends with the stop token."""

    id: str
    tokens: tuple[int, ...]
    prompt_tokens: int
    dropped_turns: int = 0

    @property
    def supervised(self) -> int:
        """Number of supervised tokens, at least one."""
        return len(self.tokens) - self.prompt_tokens


@dataclass(frozen=True)
class Encoded:
    """A split, tokenised; replies that do not fit are named, never cut."""

    examples: tuple[Example, ...]
    too_long: tuple[str, ...]

    @property
    def dropped_turns(self) -> int:
        """Context turns left out so that the rest fits."""
        return sum(example.dropped_turns for example in self.examples)


def prompt_tokens(messages: Sequence[Message], tokenizer: Any) -> list[int]:
    """Return the tokens a model is given before it answers `messages`.

    Raises:
        ModelError: the chat template refuses the messages.
    """
    return list(tokenizer.encode(_render(messages, tokenizer, reply_follows=True), add_special_tokens=False))


def encode(messages: Sequence[Message], tokenizer: Any, name: str) -> Example:
    """Tokenise `messages`, whose last is the reply, whole.

    Raises:
        ModelError: the chat template changes the prompt once the reply is there, or does not end the reply.
    """
    prompt = _render(messages[:-1], tokenizer, reply_follows=True)
    full = _render(messages, tokenizer, reply_follows=False)
    if not full.startswith(prompt):
        raise ModelError(
            f"example {name}: the chat template renders the prompt differently once the reply follows, so the reply's "
            "tokens cannot be told apart. Use a base whose template keeps the prompt as it is. "
            f"Template: {_template(tokenizer)}"
        )
    before = list(tokenizer.encode(prompt, add_special_tokens=False))
    after = list(tokenizer.encode(full[len(prompt) :], add_special_tokens=False))
    ends = [place for place, token in enumerate(after) if token in tokenizer.eos_token_ids]
    if not ends:
        raise ModelError(
            f"example {name}: the chat template ends the reply with none of the stop tokens "
            f"{sorted(tokenizer.eos_token_ids)}, so stopping could never be learned. "
            f"Correct eos_token_id in the base's config.json. Template: {_template(tokenizer)}"
        )
    return Example(name, tuple(before + after[: ends[-1] + 1]), len(before))


def fit(messages: Sequence[Message], tokenizer: Any, name: str, max_tokens: int) -> Example | None:
    """Tokenise `messages`, leaving out the oldest context turns until at most `max_tokens` remain.

    The system line and the reply always stay; None if they alone are too long.
    """
    head = [message for message in messages[:1] if message["role"] == "system"]
    context = list(messages[len(head) : -1])
    for dropped in range(len(context) + 1):
        example = encode([*head, *context[dropped:], messages[-1]], tokenizer, name)
        if len(example.tokens) <= max_tokens:
            return Example(name, example.tokens, example.prompt_tokens, dropped)
    return None


def encode_split(rows: Iterable[Mapping[str, Any]], tokenizer: Any, max_tokens: int, place: str) -> Encoded:
    """Tokenise the rows of a split that fit into `max_tokens`.

    Raises:
        DataError: the split is empty, or more than 1 % of its replies alone are too long.
    """
    encoded = [(row["id"], fit(row["messages"], tokenizer, row["id"], max_tokens)) for row in rows]
    examples = tuple(example for _, example in encoded if example is not None)
    too_long = tuple(name for name, example in encoded if example is None)
    if len(too_long) > len(encoded) / 100:
        raise DataError(
            f"{place}: {len(too_long)} of {len(encoded)} replies alone exceed train.max_tokens = {max_tokens} "
            f"({', '.join(too_long[:5])}{', …' if len(too_long) > 5 else ''}); at most 1 % may. "
            "Raise train.max_tokens, or lower split.reply_characters_max."
        )
    if not examples:
        raise DataError(f"{place} has no examples. Look at metrics/split.json for where they went.")
    return Encoded(examples, too_long)


def _render(messages: Sequence[Message], tokenizer: Any, *, reply_follows: bool) -> str:
    try:
        text = tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=reply_follows)
    except TemplateError as error:
        roles = ", ".join(message["role"] for message in messages)
        raise ModelError(
            f"the base's chat template refuses a conversation of {roles}: {error}. "
            "Use a base whose template takes a system line followed by turns."
        ) from error
    return str(text)


def _template(tokenizer: Any) -> str:
    return repr(str(getattr(tokenizer, "chat_template", None) or "built into mlx-lm")[:400])
