"""What a live reply is judged by: the questions of cal, and the twin's again with what a graph knows of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stages.generate.reminders import Reminder, reminders
from twin.asking.questions import Question
from twin.context import NOTE, about, worded
from twin.errors import ConfigError
from twin.graph import Edge, EmbeddedGraph, Graph
from twin.graph.load import load
from twin.prompt import PromptRecipe, with_facts

WITH_FACTS = "F"
FOLDER = Path("data/graph")


@dataclass(frozen=True)
class Informed:
    """A question with facts in its prompt."""

    question: Question
    edges: tuple[Edge, ...]

    def known(self) -> dict[str, Any]:
        """Return what a reply's row says of the facts it was given."""
        return {"facts": [plain(edge) for edge in self.edges]}


@dataclass(frozen=True)
class Told:
    """What arm F is asked."""

    informed: Sequence[Informed] = ()
    """The run's own questions of which the graph knows something."""
    reminders: Sequence[Reminder] = ()
    """Asked of X too, without facts."""
    reminded: Sequence[Informed] = ()
    """The reminders, with what the graph knows, if it does."""


NOTHING_TOLD = Told()


def plain(edge: Edge) -> list[Any]:
    """Return a fact as it lies in a row."""
    return [edge.subject, edge.predicate, edge.object, edge.confidence]


def told(asked: Sequence[Question], graph: Graph, recipe: PromptRecipe) -> Told:
    """Return what a graph knows of the questions, and questions about that.

    Raises:
        GraphError: the graph did not answer, or not in a way that can be used.
    """
    informed = [one for one in (_informed(question, graph) for question in asked) if one.edges]
    only_known = reminders([one.edges for one in informed], recipe)
    return Told(informed, only_known, [_informed(one.question, graph) for one in only_known])


def _informed(question: Question, graph: Graph) -> Informed:
    edges = about(question.messages[-1]["content"], graph, NOTE).edges
    facts = list(dict.fromkeys(worded(edge, NOTE.fact_characters) for edge in edges))
    return Informed(replace(question, messages=tuple(with_facts(question.messages, facts))), edges)


def told_by(file: str | None, asked: Sequence[Question], recipe: PromptRecipe) -> Told:
    """Return what a file of facts tells; nothing without a file.

    Raises:
        ConfigError: the file lies elsewhere, where a change of it would go unseen.
        DataError: its facts are not usable.
    """
    if file is None:
        return NOTHING_TOLD
    if not Path(file).resolve().is_relative_to(FOLDER.resolve()):
        raise ConfigError(f"generate.graph is {file}; facts that a run depends on lie in {FOLDER}. Put the file there.")
    graph = EmbeddedGraph()
    try:
        load(graph, [Path(file)])
        return told(asked, graph, recipe)
    finally:
        graph.close()


def questions_of(some: Iterable[Informed]) -> list[Question]:
    """Return the questions alone."""
    return [one.question for one in some]
