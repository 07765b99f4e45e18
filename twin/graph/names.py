"""A name as someone wrote it → the one name the graph knows it by.

A table of aliases, which is a configuration file and empty unless one is given, goes first:

    graph-kernel:            # the name in the graph
      - GK                   # what people write; case, `-`, `_`, `'`, `:` and `§` make no difference
      - the graph kernel

Source: service/normalize.rs of the graph kernel. Where its table lets the later of two entries win, ours is refused.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import yaml

from twin.errors import ConfigError
from twin.files import read_text
from twin.graph.values import AliasMatch

WHITE: Final = "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"
"""Unicode's White_Space, which Rust trims; str.strip() would take U+001C to U+001F as well."""
_SPACES: Final = re.compile(f"[{WHITE}]+")
_AS_SPACE: Final = str.maketrans(dict.fromkeys("-_':§", " "))
_AS_HYPHEN: Final = str.maketrans({" ": "-", "_": "-"})
LONGEST_PHRASE: Final = 4
"""Words in a row that are looked up as one name."""


def lookup_key(name: str) -> str:
    """Return what the spellings of one name share, by which the table is read."""
    return " ".join(words(name.lower().translate(_AS_SPACE)))


def words(text: str) -> list[str]:
    """Split at white space, as Rust does."""
    return [word for word in _SPACES.split(text) if word]


def hyphenated(name: str) -> str:
    """Return the canonical form of a name that is in no table; inner tabs, quotes and colons stay."""
    return name.strip(WHITE).lower().translate(_AS_HYPHEN)


def relation(predicate: str) -> str:
    """Return a predicate as it is stored: in lower case, and nothing else."""
    return predicate.lower()


@dataclass(frozen=True)
class Names:
    """A table of aliases; without one, only spelling is levelled."""

    variants: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Canonical name → what it is called besides, as listed."""
    _by_key: Mapping[str, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_key", _by_key(self.variants))

    @classmethod
    def read(cls, path: Path) -> "Names":
        """Read a table from a YAML file.

        Raises:
            ConfigError: it is not a mapping of names to lists of names, or a name stands for two entities.
        """
        try:
            table = yaml.safe_load(read_text(path))
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise ConfigError(f"{path}:{line}: not YAML ({error.problem}). Write `name: [alias, …]`.") from error
        try:
            return cls(_table({} if table is None else table))
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from error

    def canonical(self, name: str) -> str:
        """Return the name the graph knows `name` by; blank names become empty."""
        return self._by_key.get(lookup_key(name)) or hyphenated(name)

    def known(self, name: str) -> bool:
        """Return whether the table has `name`."""
        return lookup_key(name) in self._by_key

    def matches(self, text: str) -> Iterator[AliasMatch]:
        """Yield every listed name of each entity that `text` names: four words first, then fewer, left to right.

        Nothing is yielded once only: a phrase inside a longer one, and the spelling that was typed, come again.
        """
        said = words(text)
        for size in range(min(LONGEST_PHRASE, len(said)), 0, -1):
            for first in range(len(said) - size + 1):
                phrase = " ".join(said[first : first + size])
                if self.known(phrase):
                    yield from self._called(phrase)

    def _called(self, phrase: str) -> Iterator[AliasMatch]:
        canonical = self.canonical(phrase)
        for variant in self.variants[canonical]:
            yield AliasMatch(phrase, variant, canonical)
        if canonical != phrase.lower():
            yield AliasMatch(phrase, canonical, canonical)


def _by_key(variants: Mapping[str, Sequence[str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for canonical, listed in variants.items():
        if not canonical or hyphenated(canonical) != canonical:
            raise ConfigError(
                f"{canonical!r} is no canonical name: it would be stored as {hyphenated(canonical)!r}. Write it so."
            )
        for name in (canonical, *listed):
            key = lookup_key(name)
            if not key:
                raise ConfigError(f"{canonical} has the blank alias {name!r}. Leave it out.")
            if found.setdefault(key, canonical) != canonical:
                raise ConfigError(f"{name!r} stands for {found[key]} and for {canonical}. Leave it with one of them.")
    return found


def _table(table: object) -> dict[str, tuple[str, ...]]:
    if not isinstance(table, dict):
        raise ConfigError(f"the table is {type(table).__name__}, not a mapping. Write `name: [alias, …]`.")
    for name, listed in table.items():
        if not isinstance(name, str) or not isinstance(listed, list) or not all(isinstance(a, str) for a in listed):
            raise ConfigError(
                f"{name!r} has {listed!r}; a name has a list of names. Quote what YAML takes for a number."
            )
    return {name: tuple(listed) for name, listed in table.items()}
