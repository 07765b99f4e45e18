"""`twin graph`: load facts, ask for them, count them, serve them."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twin.errors import ConfigError
from twin.files import canonical_json

if TYPE_CHECKING:
    from twin.graph import Graph

graph = typer.Typer(name="graph", help="The facts that a live reply may use.", no_args_is_help=True)

DEFAULT_FILE = Path(".work/graph.sqlite")
PORT = 8001
Url = Annotated[str | None, typer.Option(help="A graph kernel; else GRAPH_KERNEL_URL; else the file.")]
File = Annotated[Path, typer.Option(help="The graph in a file, made when missing.")]
Aliases = Annotated[Path | None, typer.Option(help="YAML of names and what they are called; else GRAPH_ALIASES.")]


def _open(url: str | None, file: Path, aliases: Path | None) -> "Graph":
    from twin.graph import open_graph

    return open_graph(os.environ, url, file, aliases)


@graph.command()
def load(
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="CSV or JSONL: subject, predicate, object, …")],
    url: Url = None,
    file: File = DEFAULT_FILE,
    aliases: Aliases = None,
) -> None:
    """Store the facts of files, all or none; the same fact again raises its confidence, never lowers it."""
    from twin.graph.load import load as loaded

    into = _open(url, file, aliases)
    try:
        done = loaded(into, files)
    finally:
        into.close()
    parts = [f"{done.stored.added:,} facts added, {done.stored.updated:,} known before"]
    parts += [f"{count:,} lines {reason}" for reason, count in sorted(done.passed_over.items())]
    parts += [f"{count:,} values of {name} ignored" for name, count in sorted(done.ignored.items())]
    typer.echo("; ".join(parts))


@graph.command()
def query(
    entity: Annotated[str | None, typer.Argument(help="Walk from here; without it, list the facts that fit.")] = None,
    *,
    subject: Annotated[str | None, typer.Option()] = None,
    predicate: Annotated[str | None, typer.Option()] = None,
    object_: Annotated[str | None, typer.Option("--object")] = None,
    min_confidence: Annotated[float | None, typer.Option()] = None,
    limit: Annotated[int, typer.Option(min=0, help="At most so many facts or paths.")] = 50,
    hops: Annotated[int, typer.Option(min=0, help="How far to walk from ENTITY.")] = 1,
    url: Url = None,
    file: File = DEFAULT_FILE,
    aliases: Aliases = None,
) -> None:
    """Print facts, or with ENTITY the paths from it in both directions, one JSON value a line."""
    if entity is not None and (subject, object_) != (None, None):
        raise ConfigError("twin graph query: ENTITY is where a walk starts; leave --subject and --object out.")
    asked = _open(url, file, aliases)
    try:
        if entity is None:
            found = asked.query(subject, predicate, object_, min_confidence=min_confidence, limit=limit)
            rows, total = [asdict(fact) for fact in found.triples], found.total
        else:
            walked = asked.traverse(
                entity,
                direction="both",
                predicates=None if predicate is None else [predicate],
                max_hops=hops,
                max_results=limit,
                min_confidence=min_confidence,
                strict=True,
            )
            rows, total = [asdict(path) for path in walked.paths], len(walked.paths)
    finally:
        asked.close()
    for row in rows:
        typer.echo(canonical_json(row))
    if total > len(rows):
        typer.echo(f"{total - len(rows):,} more; raise --limit (500 at most) or ask for less", err=True)


@graph.command()
def stats(url: Url = None, file: File = DEFAULT_FILE, aliases: Aliases = None) -> None:
    """Print the size of the graph as JSON."""
    asked = _open(url, file, aliases)
    try:
        typer.echo(canonical_json(asdict(asked.stats())))
    finally:
        asked.close()


@graph.command()
def serve(
    host: Annotated[
        str, typer.Option(help="Whoever reaches it may read and delete: there are no passwords.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = PORT,
    file: File = DEFAULT_FILE,
    aliases: Aliases = None,
) -> None:
    """Serve the graph in a file by the graph kernel's REST contract, until Ctrl-C."""
    try:
        import uvicorn

        from twin.graph.server import create_app
    except ModuleNotFoundError as error:
        raise ConfigError(f"serving needs packages ({error.name}): pip install 'cognitive-twin[serve]'.") from None
    from twin.graph.embedded import EmbeddedGraph
    from twin.graph.names import Names

    table = aliases or (Path(os.environ["GRAPH_ALIASES"]) if os.environ.get("GRAPH_ALIASES") else None)
    served = EmbeddedGraph(file, Names.read(table) if table else Names())
    try:
        uvicorn.run(create_app(served), host=host, port=port, ws="none", lifespan="off", access_log=False)
    finally:
        served.close()
