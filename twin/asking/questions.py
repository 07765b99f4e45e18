"""What is asked: split rows and the ten fixed prompts → questions, and the few-shot pairs of arm B1.

Every choice is a fixed function of ids and texts: hashes spread it over the conversations without a seed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, groupby, zip_longest
from statistics import quantiles
from typing import Any, NoReturn

from twin.conversation import Turn
from twin.errors import DataError
from twin.files import canonical_json, sha256_text
from twin.prompt import PromptRecipe, prompt
from twin.protocol import Prompt

KEPT = ("conversation_id", "stock", "half")
"""What a reply's row keeps of its split row; only cal has halves."""

Message = dict[str, str]
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Question:
    """One prompt that every arm of its set answers; all but the fixed prompts have a real reply."""

    prompt_set: str
    id: str
    messages: tuple[Message, ...]
    """System line, then the context; the last is the partner's turn."""
    row: Row | None = None

    @property
    def reply(self) -> Message:
        """The person's own answer, as the chat message it would be."""
        assert self.row is not None, "the fixed prompts have no real reply"
        message: Message = self.row["messages"][-1]
        return message

    def known(self) -> dict[str, Any]:
        """Return what a reply's row says of its question."""
        common = {"prompt_set": self.prompt_set, "prompt_id": self.id, "prompt": self.messages[-1]["content"]}
        if self.row is None:
            return common | {"conversation_id": None}
        real = {"reply": self.reply["content"]} | {key: self.row[key] for key in KEPT if key in self.row}
        return common | real


def protocol_questions(prompts: Iterable[Prompt], recipe: PromptRecipe) -> list[Question]:
    """Return the fixed prompts, each a partner's first words: a cold start."""
    return [first_words("protocol", one.id, one.text, recipe) for one in prompts]


def first_words(prompt_set: str, name: str, text: str, recipe: PromptRecipe) -> Question:
    """Return what a partner says first: a cold start."""
    turn = Turn(name, "partner", text, datetime(1970, 1, 1, tzinfo=UTC))  # no time enters a prompt
    return Question(prompt_set, name, tuple(prompt([turn], recipe, _no_states).messages))


def _no_states(texts: Sequence[str]) -> NoReturn:
    raise AssertionError("a cold start has no trajectory to embed")


def questions(name: str, rows: Iterable[Row]) -> list[Question]:
    """Return a question per row of a split."""
    return [Question(name, row["id"], tuple(row["messages"][:-1]), row) for row in rows]


def spread(rows: Sequence[Row], count: int | None) -> list[Row]:
    """Choose `count` rows, one of each conversation before a second of any, in the order of `rows`; None is all."""
    if count is None or count >= len(rows):
        return list(rows)
    by_conversation = sorted(rows, key=lambda row: row["conversation_id"])
    groups = [sorted(group, key=_hash) for _, group in groupby(by_conversation, key=lambda row: row["conversation_id"])]
    rounds = chain.from_iterable(zip_longest(*sorted(groups, key=lambda group: _hash(group[0]))))
    chosen = {row["id"] for row in [row for row in rounds if row is not None][:count]}
    return [row for row in rows if row["id"] in chosen]


def few_shot(rows: Sequence[Row], count: int) -> list[Message]:
    """Choose `count` (partner's turn, reply) pairs of train for arm B1, as alternating messages.

    No stock phrases, one pair of a conversation, both lengths within the middle half of train's, in the order of the
    ids' hashes; where too few are of middle length, others follow.

    Raises:
        DataError: train has too few conversations for that.
    """
    plain = sorted((row for row in rows if not row["stock"]), key=_hash)
    usual = _usual(plain)
    first: dict[str, Row] = {}
    for row in sorted(plain, key=lambda row: not usual(row)):
        first.setdefault(row["conversation_id"], row)
    chosen = list(first.values())[:count]
    if len(chosen) < count:
        raise DataError(
            f"data/split/train.jsonl has {len(chosen)} conversations with a reply that is no stock phrase; "
            f"generate.few_shot asks for {count}. Lower it, or bring more conversations."
        )
    return [message for row in chosen for message in row["messages"][-2:]]


def _usual(rows: Sequence[Row]) -> Any:
    """Return a test for rows whose question and reply are of middle length."""
    if len(rows) < 4:
        return lambda row: True
    lengths = [[len(row["messages"][place]["content"]) for row in rows] for place in (-2, -1)]
    ranges = [quantiles(column, n=4, method="inclusive") for column in lengths]

    def usual(row: Row) -> bool:
        pair = [len(message["content"]) for message in row["messages"][-2:]]
        return all(low <= length <= high for length, (low, _, high) in zip(pair, ranges, strict=True))

    return usual


def with_examples(messages: Sequence[Message], pairs: Sequence[Message]) -> tuple[Message, ...]:
    """Return the messages with few-shot pairs between the system line and the context."""
    return (*messages[:1], *pairs, *messages[1:])


def messages_sha256(messages: Sequence[Message]) -> str:
    """Return the hash that shows what an arm was asked."""
    return sha256_text(canonical_json(list(messages)))


def _hash(row: Row) -> str:
    return sha256_text(row["id"])
