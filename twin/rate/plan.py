"""Which item shows what where: a secret key and the questions → items, the same ones every time.

Items come in blocks of ten questions with two repeats and a catch item, so that a session that ends with any block has
its share of each. Sides are those of `twin.ratings.left_items`; repeats swap them.
"""

import hashlib
import hmac
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from twin.rate.material import Key
from twin.ratings import left_items

BLOCK: Final = 10
"""Questions of a block."""
REPEATS, CATCHES = 5, 10
"""One repeat for so many questions, one catch item for so many."""
APART: Final = 6
"""Items between a question and its repeat at the least, where the session is long enough."""
T = TypeVar("T")


@dataclass(frozen=True)
class Item:
    """What one item shows; its number is its place in the session."""

    question: Key
    first_left: bool
    """The arm whose name sorts first lies on the left."""
    repeat_of: int | None = None
    catch: bool = False
    closes: bool = False
    """It is the last one of its block."""


@dataclass(frozen=True)
class _Slots:
    """The items of one block, by what they are."""

    mains: tuple[int, ...]
    repeats: tuple[int, ...]
    catches: tuple[int, ...]


@dataclass
class _Layout:
    """Deals the items of block after block."""

    key: str
    left: frozenset[int]
    items: list[Item] = field(default_factory=list)
    sides: dict[str, bool] = field(default_factory=lambda: {"repeat": True, "catch": True})

    def slots(self, mains: int, repeats: int, catches: int) -> _Slots:
        start, end = len(self.items), len(self.items) + mains + repeats + catches
        free = ranked(self.key, f"slots {start}", range(start, end))
        late = [slot for slot in free if slot > APART]
        late = late if len(late) >= repeats else [*range(end - 1, end - 1 - repeats, -1)]
        again = [self._take("repeat", late, free) for _ in range(repeats)]
        caught = [self._take("catch", list(free), free) for _ in range(catches)]
        return _Slots(tuple(sorted(free)), tuple(again), tuple(caught))

    def _take(self, what: str, choice: list[int], free: list[int]) -> int:
        """Take a slot, left and right in turn, so that the sides of the questions stay even."""
        wanted, self.sides[what] = self.sides[what], not self.sides[what]
        slot = min((slot for slot in choice if slot in free), key=lambda slot: (slot in self.left) is not wanted)
        free.remove(slot)
        return slot

    def original(self, slot: int) -> int:
        """Choose the question that is repeated at `slot`: one that was shown once, not just before."""
        again = {item.repeat_of for item in self.items}
        once = [
            number
            for number, item in enumerate(self.items)
            if item.repeat_of is None and not item.catch and number not in again
        ]
        return min(ranked(self.key, f"repeat {slot}", once), key=lambda number: slot - number < APART)


def counts(questions: int) -> tuple[int, int]:
    """Return how many repeats and catch items so many questions have: a fifth and a tenth, one of each at least."""
    return max(1, questions // REPEATS), max(1, questions // CATCHES)


def plan(key: str, questions: Iterable[Key], catches: Iterable[Key], most: int) -> list[Item]:
    """Return the items of a session.

    Args:
        key: the session's secret salt, in hex.
        questions: what may be asked.
        catches: what catch items can be made of; used again if they are few.
        most: questions asked at most.
    """
    asked = ranked(key, "questions", questions)[:most]
    caught = ranked(key, "catches", catches)
    repeats, catch_items = counts(len(asked))
    total = len(asked) + repeats + catch_items
    layout = _Layout(key, left_items(key, total))
    repeated = given = 0
    for start in range(0, len(asked), BLOCK):
        end = min(start + BLOCK, len(asked))
        last = end == len(asked)
        due = repeats if last else end // REPEATS, catch_items if last else end // CATCHES
        slots = layout.slots(end - start, due[0] - repeated, due[1] - given)
        _fill(layout, slots, asked[start:end], [caught[n % len(caught)] for n in range(given, due[1])])
        repeated, given = due
    return layout.items


def _fill(layout: _Layout, slots: _Slots, asked: Sequence[Key], caught: Sequence[Key]) -> None:
    mains, catches = dict(zip(slots.mains, asked, strict=True)), dict(zip(slots.catches, caught, strict=True))
    numbers = sorted([*slots.mains, *slots.repeats, *slots.catches])
    for number in numbers:
        side, closes = number in layout.left, number == numbers[-1]
        if number in mains:
            item = Item(mains[number], side, closes=closes)
        elif number in catches:
            item = Item(catches[number], side, catch=True, closes=closes)
        else:
            first = layout.original(number)
            one = layout.items[first]
            item = Item(one.question, not one.first_left, repeat_of=first, closes=closes)
        layout.items.append(item)


def ranked(key: str, what: str, things: Iterable[T], name: Callable[[T], str] = repr) -> list[T]:
    """Return the things in an order that only the key knows."""
    salt = bytes.fromhex(key)
    return sorted(things, key=lambda thing: hmac.digest(salt, f"{what}: {name(thing)}".encode(), hashlib.sha256))
