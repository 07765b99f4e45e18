"""Who is the person: raw roles, or authors of a group chat → person, partner or drop."""

from collections import Counter
from collections.abc import Iterable, Mapping

from twin.config.ingest import IngestConfig, Speaker
from twin.config.load import PARAMS
from twin.errors import ConfigError
from twin.export.cells import WHITE_SPACE
from twin.export.roles import counts_text, override
from twin.scrub import shown

ANYBODY = "*"
"""In a map: whoever is not named."""


class Speakers:
    """Maps rows to speakers, and checks afterwards that the map fitted the data.

    By role; with `ingest.authors`, by author. Names are compared in lower case.
    """

    def __init__(self, config: IngestConfig) -> None:
        """Raises ConfigError: a name stands twice in a map."""
        self._roles = _folded(config.roles, "roles")
        self._authors = _folded(config.authors, "authors")
        self.roles: Counter[str] = Counter()
        """Rows seen, by role."""
        self.authors: Counter[str] = Counter()
        """Rows seen, by author in lower case; `none` where there is none."""

    def speaker(self, role: str, author: str | None) -> Speaker | None:
        """Return who speaks, None if the map does not say; counts the row."""
        self.roles[role] += 1
        name = author.lower() if author else "none"
        self.authors[name] += 1
        if self._authors:
            return self._authors.get(name, self._authors.get(ANYBODY))
        return self._roles.get(role, self._roles.get(ANYBODY))

    def check(self) -> None:
        """Check that the map names a person, a partner and everyone in the data.

        Raises:
            ConfigError: it does not.
        """
        if self._authors:
            _check("authors", "author", self._authors, self.authors)
        else:
            _check("roles", "role", self._roles, self.roles)

    def hint(self, speaker: Speaker) -> str:
        """Word the override that names the likeliest `speaker`."""
        if self._authors:
            return f"name one under authors: in a file of conf/ingest/source/ ({counts_text(self.authors)})"
        return _hint(dict(self.roles.most_common()), self._roles, speaker)


def _folded(named: Mapping[str, Speaker], key: str) -> dict[str, Speaker]:
    speakers: dict[str, Speaker] = {}
    for name, speaker in named.items():
        if speakers.setdefault(name.strip(WHITE_SPACE).lower(), speaker) is not speaker:
            raise ConfigError(
                f"{PARAMS}: ingest.{key} names {shown(name)} twice; {key} are compared in lower case. Keep one."
            )
    return speakers


def _check(key: str, word: str, speakers: Mapping[str, Speaker], counts: Mapping[str, int]) -> None:
    there = f"Rows per {word}: {counts_text(counts)}."
    for wanted in (Speaker.person, Speaker.partner):
        if wanted not in speakers.values():
            raise ConfigError(
                f"{PARAMS}: ingest.{key} names no {wanted.value}. {there} Name one: "
                f"{_hint(counts, speakers, wanted, key)}."
            )
    unknown = sorted(name for name in counts if name not in speakers) if ANYBODY not in speakers else []
    if unknown:
        raise ConfigError(
            f"{PARAMS}: ingest.{key} does not say what {counts_text({name: counts[name] for name in unknown})} is. "
            f"{there} Say person, partner or drop: {_hint(unknown, speakers, Speaker.partner, key)}."
        )


def _hint(names: Iterable[str], speakers: Mapping[str, Speaker], speaker: Speaker, key: str = "roles") -> str:
    # A name without a meaning is the likelier one, then one that is left out; another speaker's comes last.
    order = (None, Speaker.drop, *(other for other in Speaker if other not in (Speaker.drop, speaker)), speaker)
    name = min(names, key=lambda name: order.index(speakers.get(name)))
    return override(name, speaker.value, known=name in speakers, key=key)
