"""A graph that stalls, breaks off, answers HTML or lies brings one clear error; files are loaded whole or not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from tests.graph_double import Liar, http, served
from twin.cli import app
from twin.errors import ConfigError, DataError, GraphError
from twin.graph import EmbeddedGraph, Names, Triple
from twin.graph.client import GraphClient
from twin.graph.connection import Patience
from twin.graph.load import load

EMPTY = b'{"triples":[],"total":0}'
LOOP = (
    b'{"paths":[{"entities":["a","b","a"],"edges":[{"subject":"a","predicate":"p","object":"b","confidence":1},'
    b'{"subject":"b","predicate":"p","object":"a","confidence":1}],"hops":2,"min_confidence":1}],'
    b'"stats":{"entities_visited":2,"edges_traversed":2,"elapsed_ms":0}}'
)
TWICE = [Triple("a", "p", "b")] * 2
Ask = Callable[[GraphClient], Any]


def query(graph: GraphClient) -> Any:
    return graph.query("a")


@pytest.mark.parametrize(
    ("answer", "ask", "message", "tries"),
    [
        (http(b"<html>login</html>", kind="text/html"), query, "answered 200 with text/html, which is no JSON", 2),
        (http(b'{"triples":[],"total":3}'), query, "total is 3 where 0 facts came", 2),
        (http(b'{"triples":{},"total":0}'), query, "triples is dict, not a list", 2),
        (http(b"[]"), query, "the answer is list, not an object", 2),
        (http(LOOP), lambda graph: graph.traverse("a"), "path 0 is a loop", 2),
        (http(b"bad", "422 X", "text/plain"), query, 'answered 422 "bad"', 1),
        (http(b'{"error":"Query failed","code":"DB_ERROR"}', "500 X"), query, 'answered 500 "DB_ERROR" "Query fai', 2),
        (http(b"", "302 Found"), query, "answered 302 nothing", 1),
        (b"", query, "the connection failed", 2),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", query, "the connection failed", 2),
        (http(b'{"added":1,"updated":0,"total":1}'), lambda g: g.add_all(TWICE), "2 were sent", 1),
        (http(b"", "503 X"), lambda graph: graph.add(Triple("a", "p", "b")), "answered 503 nothing", 1),
        (http(b"", "503 X"), lambda graph: graph.delete(id=1), "answered 503 nothing", 1),
    ],
)  # fmt: skip
def test_a_bad_answer_is_one_error_and_only_reads_are_sent_again(
    answer: bytes, ask: Ask, message: str, tries: int
) -> None:
    liar = Liar(answer)
    with liar.at() as url:
        graph = GraphClient(url)
        with pytest.raises(GraphError, match=message):
            ask(graph)
        assert len(liar.requests) == tries
        assert not graph.ready().ready
        graph.close()


def test_a_failure_is_not_remembered() -> None:
    liar = Liar(http(b"", "503 X"), http(b"", "503 X"), http(EMPTY))
    with liar.at() as url:
        graph = GraphClient(url)
        with pytest.raises(GraphError, match="503"):
            graph.query("a")
        assert graph.query("a").total == 0
        graph.close()


def test_an_answer_that_drips_has_an_end() -> None:
    with Liar(drip=True).at() as url:
        graph = GraphClient(url, patience=Patience(total_s=0.1))
        with pytest.raises(GraphError, match="no whole answer in time"):
            graph.query("a")
        graph.close()


def test_nobody_there_is_not_ready_and_an_address_is_checked() -> None:
    graph = GraphClient("http://127.0.0.1:9")
    assert "the connection failed" in str(graph.ready().details)
    graph.close()
    for wrong in ("ftp://x", "http://u:secret@x", "x", "http://x:no"):
        with pytest.raises(ConfigError, match="must be like http") as caught:
            GraphClient(wrong)
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "text"),
    [
        ("POST", "/api/knowledge", {"content": b"{}"}, 415, "Expected request with"),
        ("POST", "/api/knowledge", {"json": {}}, 422, "Failed to deserialize the JSON body"),
        ("POST", "/api/knowledge", {"content": b"{", "headers": {"Content-Type": "application/json"}}, 400,
         "Failed to parse the request body"),
        ("POST", "/api/knowledge/traverse", {"json": {"start": "a", "max_hops": -1}}, 422, "Failed to deserialize"),
        ("POST", "/api/knowledge/batch", {"json": ["x" * 2_097_152]}, 413, "Failed to buffer the request body"),
        ("GET", "/api/knowledge?limit=x", {}, 400, "Failed to deserialize query string"),
        ("GET", "/api/knowledge/aliases", {}, 400, "Failed to deserialize query string"),
        ("DELETE", "/api/knowledge", {"json": {}}, 400, '"code":"MISSING_FILTER"'),
        ("POST", "/api/knowledge/batch", {"json": [{"subject": "", "predicate": "p", "object": "b"}]}, 400,
         '"code":"VALIDATION_ERROR"'),
        ("GET", "/nothing", {}, 404, ""),
        ("PUT", "/api/knowledge", {}, 405, ""),
        ("POST", "/api/knowledge", {"json": {"subject": "", "predicate": "P", "object": "B", "confidence": 7}}, 200,
         '"added":1'),
    ],
)  # fmt: skip
def test_our_server_answers_as_the_kernel_does(
    method: str, path: str, options: dict[str, Any], status: int, text: str
) -> None:
    graph = EmbeddedGraph()
    with served(graph) as url:
        answer = httpx.request(method, url + path, **options)
        assert (answer.status_code, answer.text[: len(text)] == text or text in answer.text) == (status, True)
        assert bool(answer.text) == bool(text)
        if status == 405:
            assert answer.headers["allow"] == "DELETE,GET,POST"
    graph.close()


def test_aliases_come_longest_phrase_first() -> None:
    names = Names({"graph-kernel": ("GK", "the graph kernel"), "kernel": ("k",)})
    found = [(one.original, one.alias) for one in names.matches("see The Graph kernel")]
    whole = [(said, alias) for said in ("The Graph kernel", "Graph kernel") for alias in
             ("GK", "the graph kernel", "graph-kernel")]  # fmt: skip
    assert found == [*whole, ("kernel", "k")]
    canonical = [names.canonical(name) for name in ("gk", "a  b", "O'Brien", "a:b", "Graph_Kernel", "ios_app", " \x1c")]
    assert canonical == ["graph-kernel", "a--b", "o'brien", "a:b", "graph-kernel", "ios-app", "\x1c"]
    with pytest.raises(ConfigError, match="stands for a and for b"):
        Names({"a": ("x",), "b": ("X",)})


def test_a_file_is_loaded_whole_or_not_at_all(tmp_path: Path) -> None:
    graph, table, lines = EmbeddedGraph(), tmp_path / "facts.csv", tmp_path / "more.jsonl"
    table.write_text('subject,predicate,object,confidence,note\na,p,"b\nc",0.9,x\n\na,p,"b\nc",,\n')
    lines.write_text('{"subject":"d","predicate":"q","object":"e"}\n[1]\n{"subject":"f","confidence":"high"}\n')
    with pytest.raises(DataError, match=r"more.jsonl:2: list, not an object · .*more.jsonl:3: predicate is missing"):
        load(graph, [table, lines])
    assert graph.stats().total_triples == 0
    done = load(graph, [table])
    assert (done.stored.added, done.stored.updated) == (1, 1)
    assert done.passed_over == {"blank": 1, "repeated": 1} and done.ignored == {"note": 1}
    table.write_text("subject,predicate,object\na,p,b\na,p\n")
    with pytest.raises(DataError, match=r"facts.csv:3: 2 cells where the header has 3"):
        load(graph, [table])
    graph.close()


def test_the_command_loads_asks_and_counts(tmp_path: Path) -> None:
    facts, file = tmp_path / "facts.jsonl", str(tmp_path / "graph.sqlite")
    facts.write_text('{"subject":"My App","predicate":"Uses","object":"MLX","confidence":0.9}\n')
    runner = CliRunner(env={"GRAPH_KERNEL_URL": "", "GRAPH_ALIASES": ""})
    assert "1 facts added, 0 known" in runner.invoke(app, ["graph", "load", str(facts), "--file", file]).output
    assert '"my-app","mlx"' in runner.invoke(app, ["graph", "query", "my app", "--file", file]).output
    assert '"total_triples":1' in runner.invoke(app, ["graph", "stats", "--file", file]).output
    other = tmp_path / "text.sqlite"
    other.write_text("no database, but long enough to have a header " * 9)
    with pytest.raises(DataError, match="is not an SQLite file"):
        EmbeddedGraph(other)
