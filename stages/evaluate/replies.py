"""A reply with what is asked of it: rows of the stored files → values the rules and metrics read."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from stages.evaluate.words import QUOTES, sentences, words
from twin.protocol import Prompt
from twin.text import normalise

REAL = "R"


@dataclass(frozen=True)
class Reply:
    """One reply of one arm to one prompt."""

    prompt_set: str
    prompt_id: str
    conversation_id: str
    arm: str
    text: str
    prompt: str
    """What the reply answers: the partner's last turn."""
    stopped: bool = True
    """False if it was cut at the token limit."""
    stock: bool = False
    """The real reply to this prompt is a stock phrase."""
    anchors: tuple[str, ...] = ()
    """Admissible words; empty where any topic is admissible."""
    half: str = ""

    @cached_property
    def words(self) -> list[str]:
        """Words in lower case."""
        return words(self.text)

    @cached_property
    def sentences(self) -> list[str]:
        """Sentences and lines with a word in them."""
        return sentences(self.text)

    @cached_property
    def plain(self) -> str:
        """The text normalised, for equality."""
        return normalise(self.text)

    @cached_property
    def lower(self) -> str:
        """The text in lower case with plain quotes, for patterns."""
        return self.text.translate(QUOTES).lower()

    @cached_property
    def on_topic(self) -> bool:
        """True if any topic is admissible or an anchor occurs."""
        return not self.anchors or _holds(self.anchors, self.lower)


def admissible(prompt: Prompt, lower: str) -> bool:
    """Tell whether a text in lower case holds an admissible word for the prompt."""
    return _holds(prompt.anchors, lower)


def _holds(anchors: tuple[str, ...], lower: str) -> bool:
    return bool(_anchored(anchors).search(lower))


@lru_cache(maxsize=64)
def _anchored(anchors: tuple[str, ...]) -> re.Pattern[str]:
    parts = (re.escape(anchor.removesuffix("*")) + (r"\w*" if anchor.endswith("*") else "") for anchor in anchors)
    return re.compile(rf"(?<!\w)(?:{'|'.join(parts)})(?!\w)")


def real_replies(rows: Iterable[Mapping[str, Any]]) -> list[Reply]:
    """Read the person's replies from rows of a split, in their order."""
    return [
        Reply(
            prompt_set=row["split"],
            prompt_id=row["id"],
            conversation_id=row["conversation_id"],
            arm=REAL,
            text=row["messages"][-1]["content"],
            prompt=row["messages"][-2]["content"],
            stock=row["stock"],
            half=row.get("half", ""),
        )
        for row in rows
    ]


def model_replies(rows: Iterable[Mapping[str, Any]], real: Sequence[Reply], protocol: Sequence[Prompt]) -> list[Reply]:
    """Join generated replies to their prompts, in their order."""
    asked = {(one.prompt_set, one.prompt_id): one for one in [*real, *(fixed(prompt, "", "") for prompt in protocol)]}
    return [_model_reply(row, asked[row["prompt_set"], row["prompt_id"]]) for row in rows]


def _model_reply(row: Mapping[str, Any], asked: Reply) -> Reply:
    return Reply(
        prompt_set=asked.prompt_set,
        prompt_id=asked.prompt_id,
        conversation_id=asked.conversation_id,
        arm=row["arm"],
        text=row["text"],
        prompt=asked.prompt,
        stopped=row["stopped"],
        stock=asked.stock,
        anchors=asked.anchors,
        half=asked.half,
    )


def fixed(prompt: Prompt, arm: str, text: str) -> Reply:
    """Return a reply to one of the ten prompts, each of which is a conversation of its own."""
    return Reply("protocol", prompt.id, f"protocol/{prompt.id}", arm, text, prompt.text, anchors=prompt.anchors)


def halves(replies: Sequence[Reply], seed: int) -> tuple[list[Reply], list[Reply]]:
    """Return two random halves of the replies that share no conversation."""
    names = sorted({reply.conversation_id for reply in replies})
    order = np.random.default_rng(seed).permutation(len(names))
    first = {names[place] for place in order[: len(names) // 2]}
    ours = [reply for reply in replies if reply.conversation_id in first]
    return ours, [reply for reply in replies if reply.conversation_id not in first]
