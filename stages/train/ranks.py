"""The processes that share a run: each takes its part of the micro-batches, and their sums are added."""

from collections.abc import Sequence
from typing import Any, TypeVar

Item = TypeVar("Item")


class Ranks:
    """This process alone."""

    rank = 0
    size = 1

    def share(self, items: Sequence[Item]) -> list[tuple[int, Item]]:
        """Return this rank's part of the items, each with its number among all of them."""
        return list(enumerate(items))[self.rank :: self.size]

    def total(self, tree: Any) -> Any:
        """Return the sum of all ranks' trees of arrays."""
        return tree
