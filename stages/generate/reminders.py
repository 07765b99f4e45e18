"""Questions that only a graph answers: facts → "Remind me: auth module, owned by?" as a partner's first words."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from twin.asking.questions import Question, first_words
from twin.context import spoken
from twin.graph import Edge
from twin.prompt import PromptRecipe
from twin.text import says

REMINDER: Final = "Remind me: {subject}, {predicate}?"
MOST: Final = 60


@dataclass(frozen=True)
class Reminder:
    """A question, and the fact whose object is the answer."""

    question: Question
    fact: Edge


def reminder(fact: Edge) -> str:
    """Return the question that the object of a fact answers."""
    subject, predicate, _ = spoken(fact)
    return REMINDER.format(subject=subject, predicate=predicate)


def reminders(known: Iterable[Sequence[Edge]], recipe: PromptRecipe) -> list[Reminder]:
    """Ask for a fact of each group, `MOST` in all: its first that no other group was asked for.

    Left out are facts whose question says the answer, and those of which the group has another answer.
    """
    asked: dict[str, Reminder] = {}
    for edges in known:
        texts = [reminder(edge) for edge in edges]
        free = [
            (text, edge)
            for text, edge in zip(texts, edges, strict=True)
            if text not in asked and texts.count(text) == 1 and not says(text, edge.object)
        ]
        if free and len(asked) < MOST:
            text, edge = free[0]
            asked[text] = Reminder(first_words("reminder", text, text, recipe), edge)
    return list(asked.values())
