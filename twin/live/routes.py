"""Which adapter answers: the entities of a message and what the graph says of them → an adapter's name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from twin.context import Context
from twin.errors import ConfigError

ROUTED: Final = "twin"
"""The name of the model that chooses its adapter itself."""
DEFAULT: Final = "default"
"""The adapter that answers where no route fits."""


@dataclass(frozen=True)
class Route:
    """An adapter, and the entities that lead to it: by name, by a fact about them, or both. `*` stands for anything."""

    adapter: str
    entity: str = "*"
    predicate: str | None = None
    object: str = "*"

    def leads(self, context: Context) -> bool:
        """Return whether one of a context's entities fits."""
        if self.predicate is None:
            return any(fnmatchcase(entity, self.entity) for entity in context.entities)
        return any(
            predicate == self.predicate and fnmatchcase(entity, self.entity) and fnmatchcase(target, self.object)
            for entity, predicate, target in context.kinds
        )


def read_routes(values: Sequence[Mapping[str, str]], adapters: Sequence[str], place: Path | None = None) -> list[Route]:
    """Check the routes of the settings.

    Raises:
        ConfigError: a route has an unknown key, leads to no adapter, or from nothing.
    """
    routes = []
    for number, value in enumerate(values):
        name = f"{place}: voices.routes[{number}]" if place else f"voices.routes[{number}]"
        unknown = sorted(set(value) - {"adapter", "entity", "predicate", "object"})
        if unknown or "adapter" not in value:
            raise ConfigError(
                f"{name} has {', '.join(unknown) or 'no adapter'}. It has: adapter, entity, predicate, object."
            )
        if value["adapter"] not in adapters:
            raise ConfigError(f"{name} leads to {value['adapter']!r}; voices.adapters has {', '.join(adapters)}.")
        if not ({"entity", "predicate"} & set(value)) or ("object" in value and "predicate" not in value):
            raise ConfigError(f"{name} says of no entity that it leads here. Give entity, or predicate and object.")
        routes.append(Route(**value))
    return routes


def predicates(routes: Sequence[Route]) -> tuple[str, ...]:
    """Return the predicates that routes ask the graph for, each once."""
    return tuple(dict.fromkeys(route.predicate for route in routes if route.predicate is not None))


def routed(context: Context, routes: Sequence[Route]) -> str | None:
    """Return the adapter of the first route that fits; None where none does."""
    return next((route.adapter for route in routes if route.leads(context)), None)
