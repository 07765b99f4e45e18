"""What a message names: its phrases and a graph → entities, by their exact names or, if wanted, by the nearest.

Names and phrases are embedded on the thread that calls: a model's arrays belong to the thread that loaded it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from twin.graph import Graph
from twin.graph.names import LONGEST_PHRASE, lookup_key, words
from twin.prompt import Embed
from twin.text import EDGES

MOST_WORDS = 400
"""Of a message in which entities are looked for: half at its beginning, half at its end."""
LONGEST_WORD = 80
ALIAS_CHARACTERS = 2000
"""Of a message that is sent to the graph for its aliases; it travels in an address."""
MOST_NAMES: Final = 20_000
"""Whose vectors are kept: 20 MB of 256 dimensions."""
MOST_PHRASES: Final = 32
"""Of a message that are compared with all names."""

_FUNCTION = """
a about after all also am an and any are as at be been before but by can could did do does for from go had has have he
her here him his how i if in into is it its just let me more my no not now of off on or our out over she should so some
than that the their them then there these they this to too under until up us was we were what when where which who why
will with would yes you your
"""
FUNCTION_WORDS = frozenset(_FUNCTION.split())
"""Words that begin and end no name, so that `the` is never an entity; a name like The Who needs an alias."""


@dataclass(frozen=True)
class Named:
    """The entities that a message names, and its phrases that lie beside their names."""

    found: tuple[str, ...]
    others: tuple[tuple[range, str], ...]


class Nearest:
    """The names of a graph as they were when they were read, each with its direction."""

    def __init__(self, names: Sequence[str], embed: Embed, least: float) -> None:
        """Embed the names; a phrase is like one from a cosine of `least` on."""
        self._names, self._embed, self._least = names, embed, least
        self._names_N_D = _directions(embed, names) if names else None

    def to(self, phrases: Sequence[str]) -> list[tuple[float, str] | None]:
        """Return how near the nearest name to each phrase is, and which; None where none is near enough.

        A name with another number is another entity, however like the two are written.
        """
        if self._names_N_D is None or not phrases:
            return [None] * len(phrases)
        cosines_P_N = _directions(self._embed, phrases) @ self._names_N_D.T
        best = [(float(row.max()), self._names[int(row.argmax())]) for row in cosines_P_N]
        return [
            one if one[0] >= self._least and _digits(one[1]) == _digits(phrase) else None
            for one, phrase in zip(best, phrases, strict=True)
        ]


def _directions(embed: Embed, names: Sequence[str]) -> NDArray[np.float32]:
    states_N_D = np.asarray(embed([lookup_key(name) for name in names]), dtype=np.float32)
    norms_N_1 = np.linalg.norm(states_N_D, axis=1, keepdims=True)
    return np.asarray(states_N_D / np.where(norms_N_1 > 0, norms_N_1, 1), dtype=np.float32)


def _digits(name: str) -> str:
    return "".join(character for character in name if character.isdigit())


def entities(message: str, graph: Graph, most: int) -> tuple[str, ...]:
    """Return the entities that a message names, by the graph's aliases, then by its vocabulary, longest names first.

    The vocabulary is not read: phrases of up to four words are looked up in it, so that its size does not matter.
    """
    return named(message, graph, most).found


def named(message: str, graph: Graph, most: int) -> Named:
    """Return the entities of `entities`, and what of the message is left for `with_nearest`."""
    said = _words(message)
    spans = list(_phrases(said))
    aliases = graph.aliases(" ".join(said)[:ALIAS_CHARACTERS]) if said else ()
    called = {match.original.lower(): match.canonical for match in aliases}
    names = {phrase: called.get(phrase.lower(), phrase) for _, phrase in sorted(spans, key=_telling)}
    known = graph.known(list(dict.fromkeys([*called.values(), *names.values()])))
    found = dict.fromkeys(known[name] for name in called.values() if name in known)
    taken: set[int] = set()
    for places, phrase in spans:
        if names[phrase] in known and taken.isdisjoint(places):
            taken.update(places)
            found.setdefault(known[names[phrase]])
    others = (span for span in spans if taken.isdisjoint(span[0]))
    return Named(tuple(found)[:most], tuple(sorted(others, key=_telling)))


def with_nearest(exact: Named, nearest: Nearest, most: int) -> tuple[str, ...]:
    """Return the entities that are named, then those that other phrases are most like, one for each word."""
    if len(exact.found) >= most:
        return exact.found
    others = exact.others[:MOST_PHRASES]
    like = zip(nearest.to([phrase for _, phrase in others]), others, strict=True)
    ranked = sorted(((*near, places) for near, (places, _) in like if near), key=lambda one: -one[0])
    found, taken = dict.fromkeys(exact.found), set[int]()
    for _, name, places in ranked:
        if taken.isdisjoint(places):
            taken.update(places)
            found.setdefault(name)
    return tuple(found)[:most]


def _telling(span: tuple[range, str]) -> tuple[bool, int]:
    # A graph that looks up a few phrases only gets those that most names are like, from the end, where questions stand.
    places, _ = span
    return len(places) > 2, -places.start


def _words(message: str) -> list[str]:
    # Half of a surrogate pair and NUL are in no graph, and no database takes them.
    plain = message.replace("\0", " ").encode("utf-8", "replace").decode("utf-8")
    said = [_bare(word) for word in words(plain)]
    kept = [word for word in said if 0 < len(word) <= LONGEST_WORD]
    return kept if len(kept) <= MOST_WORDS else [*kept[: MOST_WORDS // 2], *kept[-MOST_WORDS // 2 :]]


def _bare(word: str) -> str:
    return word.strip(EDGES).removesuffix("'s").removesuffix("’s")


def _phrases(said: Sequence[str]) -> list[tuple[range, str]]:
    """Return phrases that may be names, with the places of their words."""
    plain = [word.lower() in FUNCTION_WORDS for word in said]
    return [
        (range(first, first + size), " ".join(said[first : first + size]))
        for size in range(min(LONGEST_PHRASE, len(said)), 0, -1)
        for first in range(len(said) - size + 1)
        if not plain[first] and not plain[first + size - 1]
    ]
