"""One contract, wherever the graph is: a file, our server by both clients, and a real kernel when its URL is given.

Facts on a real kernel are written under names of this test alone, and deleted after it.
"""

import os
import random
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.graph_double import Waiting, served
from twin.errors import DataError, GraphError
from twin.graph import EmbeddedGraph, Graph, Names, Triple
from twin.graph.client import AsyncGraphClient, GraphClient
from twin.graph.values import Edge

TABLE = Names({"graph-kernel": ("GK", "the graph kernel"), "ios": ("iOS app",)})
MARK = "twincontracttest"


@pytest.fixture(params=["embedded", "client", "async client", "kernel"])
def graph(request: pytest.FixtureRequest) -> Iterator[Any]:
    if request.param == "kernel":
        if "GRAPH_KERNEL_URL" not in os.environ:
            pytest.skip("GRAPH_KERNEL_URL names no graph kernel")
        made = GraphClient(os.environ["GRAPH_KERNEL_URL"])
        yield made
        for fact in made.query(limit=500).triples:
            if MARK in fact.subject or MARK in fact.object:
                made.delete(id=fact.id)
        made.close()
        return
    store = EmbeddedGraph(names=TABLE)
    if request.param == "embedded":
        yield store
    else:
        with served(store) as url:
            made: Any = GraphClient(url, TABLE) if request.param == "client" else Waiting(AsyncGraphClient(url, TABLE))
            yield made
            made.close()
    store.close()


def named(name: str) -> str:
    return f"{MARK}-{name}"


def test_names_and_predicates_have_one_form_in_writing_asking_and_deleting(graph: Graph) -> None:
    graph.add(Triple(f" {MARK} My_App ", "Built_With", named("Swift UI"), 0.9, "note"))
    (fact,) = graph.query(named("MY APP"), "BUILT_with", named("swift_ui")).triples
    assert (fact.subject, fact.predicate, fact.object) == (named("my-app"), "built_with", named("swift-ui"))
    assert (fact.confidence, fact.source) == (0.9, "note") and fact.created_at
    assert graph.delete(subject=named("my app"), predicate="BUILT_WITH") == 1
    assert graph.query(named("my-app")).total == 0


def test_the_same_fact_again_keeps_id_and_higher_confidence_and_takes_the_source(graph: Graph) -> None:
    first = graph.add(Triple(named("a"), "p", named("b"), 0.8, "old"))
    (before,) = graph.query(named("a")).triples
    second = graph.add_all([Triple(named("A"), "P", named("B"), 0.3, "new")])
    (after,) = graph.query(named("a")).triples
    assert (first.added, first.updated, second.added, second.updated) == (1, 0, 0, 1)
    assert (after.id, after.created_at, after.confidence, after.source) == (before.id, before.created_at, 0.8, "new")


def test_a_query_counts_all_and_returns_the_surest(graph: Graph) -> None:
    graph.add_all([Triple(named("hub"), "p", named(f"n{n}"), n / 10) for n in range(9)])
    found = graph.query(named("hub"), min_confidence=0.3, limit=2)
    assert found.total == 6 and [fact.confidence for fact in found.triples] == [0.8, 0.7]
    assert graph.query(named("hub"), limit=0).triples == () and graph.query(named("hub"), limit=0).total == 9


def test_no_more_than_five_hundred_facts_come_at_once(graph: Graph) -> None:
    graph.add_all([Triple(named("hub"), "p", named(f"n{n}"), 0.5) for n in range(501)])
    found = graph.query(named("hub"), limit=10_000)
    assert (len(found.triples), found.total) == (500, 501)
    graph.delete(subject=named("hub"))


@pytest.mark.parametrize(
    ("triple", "problem"),
    [
        (Triple(" ", "p", "b"), "the subject is empty"),
        (Triple("a", "", "b"), "the predicate is empty"),
        (Triple("a", "p", "b", 7), "the confidence is 7"),
        (Triple("a", "p", "b", float("nan")), "the confidence is nan"),
        (Triple("a", "p", "b\0"), "the object holds a NUL"),
        (Triple("a", "p", "b\ud800"), "the object holds half of a surrogate pair"),
    ],
)
def test_one_bad_fact_keeps_all_out(graph: Graph, triple: Triple, problem: str) -> None:
    with pytest.raises(DataError, match=f"triple 1: {problem}"):
        graph.add_all([Triple(named("a"), "p", named("b")), triple])
    assert graph.query(named("a")).total == 0


def test_names_of_entities_are_known_whichever_end_of_a_fact_they_are(graph: Graph) -> None:
    graph.add(Triple(named("a thing"), "p", named("other"), 0.1))
    asked = [named("A_Thing"), named("OTHER"), named("nothing"), "", named("a thing")]
    assert graph.known(asked) == {
        named("A_Thing"): named("a-thing"),
        named("a thing"): named("a-thing"),
        named("OTHER"): named("other"),
    }
    assert graph.known([]) == {}
    assert graph.known([*(named(f"no{n}") for n in range(23)), named("other")]) == {named("other"): named("other")}


def test_what_cannot_be_asked_is_refused_before_it_is_sent(graph: Graph) -> None:
    with pytest.raises(DataError, match="nothing says what to delete"):
        graph.delete()
    with pytest.raises(DataError, match='direction is "up"'):
        graph.traverse("a", direction="up")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="limit is -1"):
        graph.query(limit=-1)
    with pytest.raises(DataError, match="max_hops is -1"):
        graph.traverse("a", max_hops=-1)


def test_a_walk_goes_both_ways_and_keeps_the_edges_as_stored(graph: Graph) -> None:
    graph.add_all([Triple(named("a"), "p", named("b"), 0.9), Triple(named("c"), "q", named("b"), 0.7)])
    one, two = graph.traverse(named("A"), direction="both").paths
    assert one.entities == (named("a"), named("b"))
    assert two.entities == (named("a"), named("b"), named("c")) and (two.hops, two.min_confidence) == (2, 0.7)
    assert two.edges[1] == Edge(named("c"), "q", named("b"), 0.7)
    assert len(graph.traverse(named("a")).paths) == 1
    assert len(graph.traverse(named("b"), direction="incoming").paths) == 2


def test_filters_fall_after_the_hundred_surest_edges(graph: Graph) -> None:
    noise = [Triple(named("hub"), "noise", named(f"n{n}"), 0.9) for n in range(100)]
    graph.add_all([*noise, Triple(named("hub"), "wanted", named("w"), 0.5)])
    assert graph.traverse(named("hub"), predicates=["WANTED"]).paths == ()
    graph.delete(subject=named("hub"), object=named("n3"))
    (path,) = graph.traverse(named("hub"), predicates=["WANTED"]).paths
    assert path.entities[-1] == named("w")
    graph.delete(subject=named("hub"))


def test_a_hub_brings_more_paths_than_asked_unless_strict(graph: Graph) -> None:
    graph.add_all([Triple(named("hub"), "p", named(f"n{n}"), 0.5 + n / 1000) for n in range(30)])
    walked = graph.traverse(named("hub"), max_results=5)
    assert len(walked.paths) == 30 and walked.stats.entities_visited == 31 and walked.stats.edges_traversed == 30
    assert graph.traverse(named("hub"), max_results=5, strict=True).paths == walked.paths[:5]
    assert graph.traverse(named("hub"), max_results=0).paths == graph.traverse(named("hub"), max_hops=0).paths == ()


def test_an_unknown_start_is_visited_and_leads_nowhere(graph: Graph) -> None:
    walked = graph.traverse(named("nobody"))
    assert walked.paths == () and (walked.stats.entities_visited, walked.stats.edges_traversed) == (1, 0)


def test_a_graph_that_answers_is_ready_and_knows_its_size(graph: Graph) -> None:
    before = graph.stats()
    graph.add_all([Triple(named("a"), "p", named("b")), Triple(named("a"), "q", named("b"))])
    after = graph.stats()
    assert graph.ready().ready and graph.ready().database and graph.ready().details is None
    assert after.total_triples == before.total_triples + 2 and after.unique_subjects == before.unique_subjects + 1


class Oracle:
    """Facts in a dict; the walk after the description of the kernel's, by ids and lists."""

    def __init__(self) -> None:
        self.facts: dict[tuple[str, str, str], tuple[int, float]] = {}
        self.next = 1

    def add(self, fact: tuple[str, str, str], confidence: float) -> None:
        number, known = self.facts.get(fact, (self.next, -1.0))
        self.next += fact not in self.facts
        self.facts[fact] = (number, max(known, confidence))

    def rows(self, keep: Any) -> list[tuple[str, str, str, float]]:
        kept = [(-c, number, fact) for fact, (number, c) in self.facts.items() if keep(fact, c)]
        return [(*fact, -c) for c, _, fact in sorted(kept)]

    def walk(self, asked: tuple[str, Any, str, int, int, Any]) -> list[Any]:
        start, predicates, direction, hops, results, least = asked
        queue, seen, paths = deque([([start], [])]), {start}, []
        while queue:
            entities, edges = queue.popleft()
            here = entities[-1]
            if len(edges) >= hops or len(paths) >= results:
                break
            touching = {
                "outgoing": lambda f, _, e=here: f[0] == e,
                "incoming": lambda f, _, e=here: f[2] == e,
                "both": lambda f, _, e=here: e in (f[0], f[2]),
            }[direction]
            for row in self.rows(touching)[:100]:
                subject, predicate, target, confidence = row
                other = target if here == subject else subject
                fits = (predicates is None or predicate in predicates) and (least is None or confidence >= least)
                if fits and other not in seen:
                    seen.add(other)
                    paths.append(([*entities, other], [*edges, row]))
                    if len(paths) < results:
                        queue.append(paths[-1])
        return paths


def test_all_names_are_listed_once_or_refused_with_their_count(graph: Graph) -> None:
    graph.add_all(
        [Triple(named("B"), "p", named("A")), Triple(named("a"), "p", named("é x")), Triple(named("B"), "q", "z")]
    )
    listed = [name for name in graph.vocabulary(1000) if MARK in name]
    assert listed == [named("a"), named("b"), named("é-x")]
    with pytest.raises(GraphError, match=r"names \d+ entities; at most 3 are listed"):
        graph.vocabulary(3)


def test_over_http_the_names_of_more_than_500_facts_cannot_be_listed() -> None:
    store = EmbeddedGraph()
    store.add_all([Triple(f"n{n}", "p", "hub") for n in range(501)])
    assert len(store.vocabulary(1000)) == 502
    with served(store) as url, closing(GraphClient(url)) as client:
        with pytest.raises(GraphError, match="has 501 facts; over HTTP the names of 500 can be listed"):
            client.vocabulary(1000)
        store.delete(subject="n0")
        assert client.vocabulary(1000) == store.vocabulary(1000)
    store.close()


ENTITY = st.sampled_from("abcdef")
PREDICATE = st.sampled_from("pq")
CONFIDENCE = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])
FACT = st.tuples(ENTITY, PREDICATE, ENTITY)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.one_of(st.tuples(FACT, CONFIDENCE), FACT), max_size=40),
    st.tuples(st.none() | ENTITY, st.none() | PREDICATE, st.none() | ENTITY, st.none() | CONFIDENCE, st.integers(0, 9)),
    st.tuples(
        ENTITY,
        st.none() | st.lists(PREDICATE, max_size=2),
        st.sampled_from(["outgoing", "incoming", "both"]),
        st.integers(0, 4),
        st.integers(0, 6),
        st.none() | CONFIDENCE,
    ),
)
def test_a_graph_does_what_a_dict_does(changes: list[Any], asked: Any, walked: Any) -> None:
    graph, oracle = EmbeddedGraph(), Oracle()
    for change in changes:
        if len(change) == 2:
            oracle.add(*change)
            graph.add(Triple(*change[0], change[1]))
        else:
            gone = oracle.facts.pop(change, None) is not None
            assert graph.delete(subject=change[0], predicate=change[1], object=change[2]) == gone
    subject, predicate, target, least, limit = asked
    wanted = oracle.rows(
        lambda f, c: all(w in (None, v) for w, v in zip(asked[:3], f, strict=True)) and (least is None or c >= least)
    )
    found = graph.query(subject, predicate, target, min_confidence=least, limit=limit)
    assert [(f.subject, f.predicate, f.object, f.confidence) for f in found.triples] == wanted[:limit]
    assert found.total == len(wanted)
    start, predicates, direction, hops, results, sure = walked
    paths = graph.traverse(
        start,
        predicates=predicates,
        direction=direction,
        max_hops=hops,
        max_results=results,
        min_confidence=sure,
    ).paths
    shown = [(list(p.entities), [(e.subject, e.predicate, e.object, e.confidence) for e in p.edges]) for p in paths]
    assert shown == oracle.walk(walked)
    graph.close()


def test_a_hub_of_hundreds_is_walked_as_a_dict_is() -> None:
    rng, graph, oracle = random.Random(0), EmbeddedGraph(), Oracle()
    triples = []
    for _ in range(900):
        fact = (rng.choice(["hub", f"n{rng.randrange(300)}"]), "p", rng.choice(["hub", f"n{rng.randrange(300)}"]))
        confidence = rng.randrange(5) / 4
        oracle.add(fact, confidence)
        triples.append(Triple(*fact, confidence))
    graph.add_all(triples)
    for start in ("hub", "n1", "n7"):
        for direction in ("outgoing", "incoming", "both"):
            paths = graph.traverse(start, direction=direction).paths  # type: ignore[arg-type]
            expected = oracle.walk((start, None, direction, 3, 100, None))
            assert [list(path.entities) for path in paths] == [entities for entities, _ in expected]
    graph.close()
