"""What is scored: questions → real replies whose likelihood is wanted, the person's own and others'."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from twin.asking.questions import Message, Question, protocol_questions
from twin.canary import REFERENCES, said
from twin.files import sha256_text
from twin.prompt import PromptRecipe
from twin.protocol import Prompt
from twin.text import normalise

CHOICES = 3
"""Other replies that stand beside the real one when it is to be recognised by its context."""

NEUTRAL = "…"
"""What a reply answers when its likelihood apart from any context is wanted."""

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Task:
    """A reply whose likelihood under a prompt is wanted."""

    prompt_set: str
    question: Question
    reply: Row
    """The split row whose reply it is: the question's own, or another's."""

    def known(self) -> dict[str, Any]:
        """Return what a likelihood's row says of its task."""
        mine = {"prompt_set": self.prompt_set, "prompt_id": self.question.id}
        ours = {key: self.reply[key] for key in ("conversation_id", "stock")}
        return mine | ours | {"reply_id": self.reply["id"]}

    @property
    def said(self) -> Message:
        """The reply as a chat message."""
        message: Message = self.reply["messages"][-1]
        return message


def real_tasks(asked: Iterable[Question]) -> list[Task]:
    """Return every question with the person's own reply."""
    return [Task(one.prompt_set, one, one.row) for one in asked if one.row is not None]


def choice_tasks(asked: Sequence[Question], recipe: PromptRecipe) -> list[Task]:
    """Return what a choice among replies of like length rests on: each question with its reply and three others'.

    The others come from other conversations, are nearest in length and differ from one another; every reply that takes
    part is also asked for behind a neutral turn, so that its likelihood apart from any context is known.
    """
    rows = [one.row for one in asked if one.row is not None]
    offered = {one.id: _others(one, rows) for one in asked}
    inside = [
        Task("choice", one, row)
        for one in asked
        if one.row is not None and len(offered[one.id]) == CHOICES
        for row in (one.row, *offered[one.id])
    ]
    (neutral,) = protocol_questions([Prompt("neutral", NEUTRAL, ())], recipe)
    taking_part = {task.reply["id"]: task.reply for task in inside}
    return inside + [Task("alone", neutral, row) for row in taking_part.values()]


def canary_tasks(planted: Iterable[Row]) -> list[Task]:
    """Return every canary behind its prompt, and its references: codes that were never planted."""
    unique = {row["id"]: row for row in planted}
    return [
        Task("canary", Question("canary", id_, tuple(row["messages"][:-1])), _coded(row, number, reference))
        for number, (id_, row) in enumerate(unique.items())
        for reference in range(REFERENCES + 1)
    ]


def _coded(row: Row, canary: int, reference: int) -> Row:
    reply = {"role": "assistant", "content": said(canary, reference)}
    return {**row, "id": f"{row['id']}/{reference}", "messages": [*row["messages"][:-1], reply]}


def _others(one: Question, rows: Sequence[Row]) -> list[Row]:
    assert one.row is not None
    length, taken = len(_said(one.row)), {normalise(_said(one.row))}
    apart = [row for row in rows if row["conversation_id"] != one.row["conversation_id"]]
    chosen: list[Row] = []
    for row in sorted(apart, key=lambda row: (abs(len(_said(row)) - length), sha256_text(f"{one.id}/{row['id']}"))):
        if normalise(_said(row)) not in taken:
            taken.add(normalise(_said(row)))
            chosen.append(row)
        if len(chosen) == CHOICES:
            break
    return chosen


def _said(row: Row) -> str:
    return str(row["messages"][-1]["content"])
