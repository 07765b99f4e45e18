"""What a live reply is judged by: the questions of cal, and the twin's again with what a graph knows of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from twin.asking.questions import Question
from twin.context import NOTE, about, worded
from twin.errors import ConfigError
from twin.graph import Edge, EmbeddedGraph, Graph
from twin.graph.load import load
from twin.prompt import with_facts

WITH_FACTS = "F"
FOLDER = Path("data/graph")


@dataclass(frozen=True)
class Informed:
    """A question with facts in its prompt."""

    question: Question
    edges: tuple[Edge, ...]

    def known(self) -> dict[str, Any]:
        """Return what a reply's row says of the facts it was given."""
        return {"facts": [[edge.subject, edge.predicate, edge.object, edge.confidence] for edge in self.edges]}


def informed(asked: Sequence[Question], graph: Graph) -> list[Informed]:
    """Return the questions of which the graph knows something, with that in their prompts."""
    made = []
    for one in asked:
        edges = about(one.messages[-1]["content"], graph, NOTE).edges
        facts = list(dict.fromkeys(worded(edge, NOTE.fact_characters) for edge in edges))
        if facts:
            made.append(Informed(replace(one, messages=tuple(with_facts(one.messages, facts))), edges))
    return made


def with_known(asked: Sequence[Question], file: str | None) -> list[Informed]:
    """Return the questions as `informed` by a file of facts; none without a file.

    Raises:
        ConfigError: the file lies elsewhere, where a change of it would go unseen.
        DataError: its facts are not usable.
    """
    if file is None:
        return []
    if not Path(file).resolve().is_relative_to(FOLDER.resolve()):
        raise ConfigError(f"generate.graph is {file}; facts that a run depends on lie in {FOLDER}. Put the file there.")
    graph = EmbeddedGraph()
    try:
        load(graph, [Path(file)])
        return informed(asked, graph)
    finally:
        graph.close()


def questions_of(some: Iterable[Informed]) -> list[Question]:
    """Return the questions alone."""
    return [one.question for one in some]
