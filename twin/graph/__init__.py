"""Facts that change daily, beside a voice that does not: a graph of facts, in a file or behind the kernel's REST.

`open_graph` chooses; both kinds satisfy `Graph`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from twin.graph.embedded import EmbeddedGraph
from twin.graph.interface import Graph
from twin.graph.names import Names
from twin.graph.values import AliasMatch, Edge, Fact, Found, Ready, Stats, Stored, Triple, Walk

__all__ = [
    "AliasMatch",
    "Edge",
    "EmbeddedGraph",
    "Fact",
    "Found",
    "Graph",
    "Names",
    "Ready",
    "Stats",
    "Stored",
    "Triple",
    "Walk",
    "open_graph",
]

URL_NAME: Final = "GRAPH_KERNEL_URL"
ALIASES_NAME: Final = "GRAPH_ALIASES"
FILE: Final = Path(".work/graph.sqlite")


def open_graph(
    environ: Mapping[str, str], url: str | None = None, file: Path = FILE, aliases: Path | None = None
) -> Graph:
    """Open the graph at `url` or GRAPH_KERNEL_URL; without either, the one in `file`, which is made when missing.

    `aliases`, or GRAPH_ALIASES, is the table of names; there is none by default.

    Raises:
        ConfigError: the address or the table is not usable, or the extra `graph` is not installed.
        DataError: `file` is no graph.
        StorageError: the disk refused.
    """
    table = aliases or (Path(environ[ALIASES_NAME]) if environ.get(ALIASES_NAME) else None)
    names = Names.read(table) if table else Names()
    address = url or environ.get(URL_NAME)
    if not address:
        return EmbeddedGraph(file, names)
    from twin.graph.client import GraphClient

    return GraphClient(address, names)
