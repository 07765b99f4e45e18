"""What a live reply is shown: the conversation and a graph → the one prompt, with the facts that its last turn names.

Facts are data of others. Whatever the graph does, there is a prompt in bounded time; without facts it is that of a
training row, token for token.
"""

import logging
import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, TypeVar

from twin.config.fields import Bounds
from twin.conversation import Turn
from twin.entities import MOST_NAMES, Nearest, entities, named, with_nearest
from twin.errors import TwinError
from twin.graph import Edge, Graph
from twin.graph.reward import path_reward
from twin.prompt import Embed, Prompt, PromptRecipe, prompt

T = TypeVar("T")
logger = logging.getLogger(__name__)
WALKED_PATHS = 50
"""Looked at from each entity before the best are kept."""
REASON_CHARACTERS = 240
MOST_DOMAINS = 20
"""Of one entity by one predicate."""

OFF = "off"
OK = "ok"
DOWN = "down: "


@dataclass(frozen=True)
class Limits:
    """How much is asked of a graph and shown of it."""

    entities: Annotated[int, Bounds(ge=0)]
    """Of the last turn that are looked up."""
    triples: Annotated[int, Bounds(ge=0)]
    """Facts kept of each."""
    facts: Annotated[int, Bounds(ge=0, le=50)]
    """Shown in all."""
    hops: Annotated[int, Bounds(ge=0, le=5)]
    min_confidence: Annotated[float, Bounds(ge=0, le=1)]
    fact_characters: Annotated[int, Bounds(ge=10, le=2000)]
    wait_s: Annotated[float, Bounds(gt=0, le=60)]
    """For everything the graph is asked for one reply."""
    nearest: Annotated[float | None, Bounds(gt=0, le=1)]
    """Least cosine similarity from which a phrase that is no entity's name stands for the nearest one; None: never."""


NOTE = Limits(entities=3, triples=5, facts=5, hops=2, min_confidence=0.7, fact_characters=160, wait_s=2.0, nearest=None)
"""What the research note asks for (question 9); length, wait and exact names are ours."""


Kind = tuple[str, str, str]
"""Entity, predicate and object of a fact that says to what domain an entity belongs."""


@dataclass(frozen=True)
class Known:
    """What a graph knows about a message."""

    entities: tuple[str, ...] = ()
    edges: tuple[Edge, ...] = ()
    graph: str = OFF
    """`ok`, `off`, or `down: ` and why."""
    kinds: tuple[Kind, ...] = ()


Ask = Callable[[str], Known]


@dataclass(frozen=True)
class Context:
    """A prompt and what went into it."""

    prompt: Prompt
    entities: tuple[str, ...]
    facts: tuple[str, ...]
    graph: str
    kinds: tuple[Kind, ...] = ()


def build_context(
    turns_before: Sequence[Turn],
    recipe: PromptRecipe,
    embed: Embed,
    ask: Ask | None = None,
    fact_characters: int = NOTE.fact_characters,
) -> Context:
    """Write the prompt for the reply to `turns_before`, with what is known about its last turn.

    Args:
        turns_before: as for `twin.prompt.prompt`; older turns than `recipe.reach` need not be passed.
        recipe: the adapter's.
        embed: as the embedder the recipe names.
        ask: what is known of a message, such as `Asker.ask`; None asks no graph.
        fact_characters: where a fact is cut.

    Raises:
        DataError: nothing was said before the reply, or the person spoke last.
        ModelError: the recipe is a placebo's.
    """
    known = ask(turns_before[-1].content) if ask and turns_before else Known()
    facts = tuple(dict.fromkeys(worded(edge, fact_characters) for edge in known.edges))
    return Context(prompt(turns_before, recipe, embed, facts), known.entities, facts, known.graph, known.kinds)


def worded(edge: Edge, characters: int) -> str:
    """Return a fact in words, cut to so many characters."""
    text = " ".join(spoken(edge))
    return text if len(text) <= characters else f"{text[: characters - 1]}…"


def spoken(edge: Edge) -> tuple[str, str, str]:
    """Return the words of subject, predicate and object; hyphens between letters were spaces before the graph."""
    return _spaced(edge.subject), _spaced(edge.predicate.replace("_", " ")), _spaced(edge.object)


def _spaced(name: str) -> str:
    return _HYPHEN.sub(" ", name)


_HYPHEN = re.compile(r"(?<=[^\W\d_])-(?=[^\W\d_])")


class Asker:
    """Asks one graph about messages, each time in a thread of its own, and waits no longer than it may.

    While an answer is still owed the graph is not asked again: a stalled one costs one wait, not one a message.
    """

    def __init__(self, graph: Graph, limits: Limits, kinds: Sequence[str] = ()) -> None:
        """Take a graph, what may be asked of it, and the predicates that name an entity's domain."""
        self._graph = graph
        self._limits = limits
        self._kinds = kinds
        self._owed: threading.Thread | None = None
        self._nearest: Nearest | None = None
        self._without = ""

    def learn(self, embed: Embed) -> None:
        """Read and embed the graph's names once, if a message's may be like one of them only; else log why not."""
        if self._limits.nearest is None:
            return
        names = self._within(lambda: self._graph.vocabulary(MOST_NAMES))
        if isinstance(names, str):
            self._without = f"names are matched exactly only ({names.removeprefix(DOWN)})"
            logger.warning("%s", self._without)
        else:
            self._nearest = Nearest(names, embed, self._limits.nearest)

    def ask(self, message: str) -> Known:
        """Return what is known of a message; a graph that fails or stalls is down, and nothing is raised."""
        if self._nearest is not None:
            return self._ask_nearest(message, self._nearest)
        answer = self._within(lambda: about(message, self._graph, self._limits, self._kinds))
        return Known(graph=answer) if isinstance(answer, str) else answer

    def _ask_nearest(self, message: str, nearest: Nearest) -> Known:
        # Phrases are embedded between two questions and not within one: the embedder is of the thread that asks.
        started_s = time.monotonic()
        exact = self._within(lambda: named(message, self._graph, self._limits.entities))
        if isinstance(exact, str):
            return Known(graph=exact)
        found = with_nearest(exact, nearest, self._limits.entities)
        left_s = max(0.0, self._limits.wait_s - (time.monotonic() - started_s))
        answer = self._within(lambda: told_of(found, self._graph, self._limits, self._kinds), left_s)
        return Known(graph=answer) if isinstance(answer, str) else answer

    def size(self) -> str:
        """Return how many facts there are, or why that is not known."""
        answer = self._within(self._graph.stats)
        if isinstance(answer, str):
            return answer
        told = f"{OK}: {answer.total_triples:,} facts about {answer.unique_subjects:,} subjects"
        return f"{told}; {self._without}" if self._without else told

    def _within(self, question: Callable[[], T], left_s: float | None = None) -> T | str:
        """Return the answer to a question, or why there is none in time."""
        if self._owed is not None and self._owed.is_alive():
            return f"{DOWN}it still owes an earlier answer"
        answers: list[T | str | BaseException] = []
        self._owed = threading.Thread(
            target=lambda: answers.append(_answer(question)), name="graph question", daemon=True
        )
        self._owed.start()
        self._owed.join(self._limits.wait_s if left_s is None else left_s)
        if not answers:
            return f"{DOWN}no answer within {self._limits.wait_s:g} s"
        (answer,) = answers
        if isinstance(answer, BaseException):
            raise answer
        return answer


def _answer(question: Callable[[], T]) -> T | str | BaseException:
    try:
        return question()
    except TwinError as error:
        return f"{DOWN}{' '.join(str(error).split())[:REASON_CHARACTERS]}"
    except BaseException as error:  # handed to the thread that asked
        return error


def about(message: str, graph: Graph, limits: Limits, kinds: Sequence[str] = ()) -> Known:
    """Return what a graph knows about the entities that a message names, and their domains by the predicates `kinds`.

    Raises:
        GraphError: the graph did not answer, or not in a way that can be used.
    """
    return told_of(entities(message, graph, limits.entities), graph, limits, kinds)


def told_of(found: tuple[str, ...], graph: Graph, limits: Limits, kinds: Sequence[str] = ()) -> Known:
    """Return what a graph knows about entities, and their domains by the predicates `kinds`.

    Raises:
        GraphError: as `about`.
    """
    best: dict[tuple[str, str, str], tuple[float, Edge]] = {}
    for entity in found:
        for reward, edge in _surest(entity, graph, limits):
            fact = (edge.subject, edge.predicate, edge.object)
            if fact not in best or best[fact][0] < reward:
                best[fact] = (reward, edge)
    ranked = sorted(best.values(), key=lambda one: (-one[0], -one[1].confidence))
    told = [
        (entity, predicate, fact.object)
        for entity in found
        for predicate in kinds
        for fact in graph.query(entity, predicate, min_confidence=limits.min_confidence, limit=MOST_DOMAINS).triples
    ]
    return Known(found, tuple(edge for _, edge in ranked[: limits.facts]), OK, tuple(told))


def _surest(entity: str, graph: Graph, limits: Limits) -> list[tuple[float, Edge]]:
    """Return the last edges of the paths with the best rewards: near and sure before far and doubtful."""
    walked = graph.traverse(
        entity,
        direction="both",
        max_hops=limits.hops,
        max_results=WALKED_PATHS,
        min_confidence=limits.min_confidence,
        strict=True,
    )
    # The kernel checks no confidence on one of its routes: above 1 it says nothing.
    paths = [path for path in walked.paths if all(edge.confidence <= 1 for edge in path.edges)]
    ranked = sorted(((path_reward(path), path.edges[-1]) for path in paths), key=lambda one: -one[0])
    return ranked[: limits.triples]
