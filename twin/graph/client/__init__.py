"""A graph behind the REST contract: the interface over HTTP, for `await` and, on a loop of its own, without.

Nothing is remembered between calls, so a failure is never taken for an answer later.
"""

from twin.graph.client.asynchronous import AsyncGraphClient
from twin.graph.client.blocking import GraphClient

__all__ = ["AsyncGraphClient", "GraphClient"]
