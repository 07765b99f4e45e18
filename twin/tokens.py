"""Which tokens are learned and scored: chat messages → tokens, of which the reply and its end are supervised.

The prompt is rendered and tokenised by itself, as it is when the model answers; the reply's tokens follow.
Nothing else is ever supervised: no context, no padding, not the newline a template adds behind the stop token.
A base whose template knows no system role is shown the system line at the head of the first user turn.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from jinja2.exceptions import TemplateError

from twin.errors import DataError, ModelError

Message = Mapping[str, str]

# Some templates write today's date into the system line: what was learned today would be asked tomorrow under another
# prompt. transformers takes no function from outside, so one in Jinja hides its own; the day is Llama 3's default.
DAY = datetime(2024, 7, 26, tzinfo=UTC)
FIXED_DAY = (
    "{% macro strftime_now(format) %}{{ format"
    + "".join(f" | replace('%{letter}', '{DAY.strftime('%' + letter)}')" for letter in "AaBbdeHIjMmpSyY")
    + " }}{% endmacro +%}"
)


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


def prompt_text(messages: Sequence[Message], tokenizer: Any) -> str:
    """Return the text a model is given before it answers `messages`.

    Raises:
        ModelError: the chat template refuses the messages, or leaves the system line out wherever it stands.
    """
    return _render(messages, tokenizer, reply_follows=True)


def prompt_tokens(messages: Sequence[Message], tokenizer: Any) -> list[int]:
    """Return the tokens of `prompt_text`."""
    return _tokens(prompt_text(messages, tokenizer), tokenizer)


def encode(messages: Sequence[Message], tokenizer: Any, name: str) -> Example:
    """Tokenise `messages`, whose last is the reply, whole.

    Raises:
        ModelError: the chat template changes the prompt once the reply is there, changes the reply, adds words to it,
            or does not end it.
    """
    prompt = prompt_text(messages[:-1], tokenizer)
    full = _render(messages, tokenizer, reply_follows=False)
    if not full.startswith(prompt):
        raise ModelError(
            f"example {name}: the chat template renders the prompt differently once the reply follows, so the reply's "
            "tokens cannot be told apart. Use a base whose template keeps the prompt as it is. "
            f"Template: {_template(tokenizer)}"
        )
    before = _tokens(prompt, tokenizer)
    reply = _reply_tokens(full[len(prompt) :], messages[-1]["content"].strip(), tokenizer, name)
    return Example(name, tuple(before + reply), len(before))


def _reply_tokens(rendered: str, content: str, tokenizer: Any, name: str) -> list[int]:
    """Return the tokens of `rendered`, which starts with the reply, up to the stop token behind its content."""
    stop_tokens = tokenizer.eos_token_ids
    tokens = _tokens(rendered, tokenizer)
    ends = [place for place, token in enumerate(tokens) if token in stop_tokens]
    start = rendered.find(content)
    past = start + len(content)
    if len(ends) > 1:  # the person may have typed what is a stop token to this base
        ends = ends[sum(token in stop_tokens for token in _tokens(rendered[:past], tokenizer)) :]
    if not ends:
        raise ModelError(
            f"example {name}: the chat template ends the reply with none of the stop tokens {sorted(stop_tokens)}, so "
            "stopping could never be learned. Correct eos_token_id in the base's generation_config.json or "
            f"config.json. Template: {_template(tokenizer)}"
        )
    stop = tokenizer.decode([tokens[ends[0]]], skip_special_tokens=False)
    added = (rendered[:start] + rendered[past:].partition(stop)[0]).strip()
    if start < 0 or added:
        what = f"puts {added[:60]!r} around" if start >= 0 else "changes"
        raise ModelError(
            f"example {name}: the chat template {what} the reply, and the model would learn to say that. "
            f"Use a base whose template shows a reply as it is. Template: {_template(tokenizer)}"
        )
    return tokens[: ends[0] + 1]


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
    problems = []
    for shown in (list(messages), *_folded(messages)):
        try:
            text = _apply(shown, tokenizer, reply_follows)
        except TemplateError as error:
            problems.append(str(error))
            continue
        if _shows_system_line(text, messages):
            return text
        problems.append("it leaves the system line out")
    roles = ", ".join(message["role"] for message in messages)
    raise ModelError(
        f"the base's chat template refuses a conversation of {roles}: {'; '.join(dict.fromkeys(problems))}. "
        f"Use a base whose template takes a system line followed by turns. Template: {_template(tokenizer)}"
    )


def _apply(messages: list[Message], tokenizer: Any, reply_follows: bool) -> str:
    # A base that can think aloud is told not to: its template would put an empty thought before every reply.
    options: dict[str, Any] = {"enable_thinking": False}
    template = tokenizer.chat_template
    if isinstance(template, str) and "strftime_now" in template:
        options["chat_template"] = FIXED_DAY + template
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=reply_follows, **options))


def _folded(messages: Sequence[Message]) -> list[list[Message]]:
    """Return `messages` with the system line in front of the first user turn, as a turn of its own if it must be.

    None where there is no system line, or no user turn.
    """
    roles = [message["role"] for message in messages]
    if "user" not in roles or roles[0] != "system":
        return []
    line, rest = messages[0]["content"], list(messages[1:])
    if roles[1] == "user":
        line, rest = f"{line}\n\n{rest[0]['content']}", rest[1:]
    return [[{"role": "user", "content": line}, *rest]]


def _shows_system_line(text: str, messages: Sequence[Message]) -> bool:
    if messages[0]["role"] != "system":
        return True
    line = messages[0]["content"].strip()
    quoted = sum(message["content"].count(line) for message in messages[1:]) if line else -1
    return text.count(line) > quoted


def _tokens(text: str, tokenizer: Any) -> list[int]:
    # The template writes what a text begins with; the tokenizer would write it again.
    return list(tokenizer.encode(text, add_special_tokens=False))


def _template(tokenizer: Any) -> str:
    return repr(str(getattr(tokenizer, "chat_template", None) or "built into mlx-lm")[:400])
