"""A campaign's file: YAML → rows and rules, in a small closed vocabulary.

A row runs a configuration (`set`), picks a winner among earlier rows (`pick`) or compares one with others (`compare`).
"""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from twin.errors import ConfigError

FOLDER = Path(__file__).parent
METRICS = ("likelihood", "rubric_test", "protocol10")
"""What may judge; `likelihood` is bits per token, per byte where tokenizers differ."""
SECTIONS = ("model", "adapter", "optimizer", "train", "augment", "align", "memory")
"""What a row may carry over from the one it continues."""
UNDECIDED = ("earliest", "fewest_parameters")
STOPS = ("not_learned_by", "worse_than", "equivalent_to")
FAILURES = ("halt", "go_on")


@dataclass(frozen=True)
class Rung:
    """What a row runs instead when memory runs out."""

    name: str
    set: tuple[str, ...]


@dataclass(frozen=True)
class Stop:
    """A rule that takes a finished row out of the race."""

    rule: str
    row: str | None = None
    """What the row is compared with."""
    update: int | None = None
    by: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """One line of the queue."""

    name: str
    says: str
    """The line as the queue's author wrote it."""
    set: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    """Of `train.seed`; several make a claim about the recipe, none keeps the configured one."""
    continues: str | None = None
    keep: tuple[str, ...] = ()
    on_memory: tuple[Rung, ...] = ()
    stop_if: tuple[Stop, ...] = ()
    hours: float | None = None
    """Wall time that each of its runs may take; then the row is stopped, not the queue."""
    pick: tuple[str, ...] = ()
    compare: str | None = None
    against: tuple[str, ...] = ()
    by: tuple[str, ...] = ()
    undecided: str = UNDECIDED[0]

    @property
    def runs(self) -> bool:
        """Whether the row trains."""
        return not self.pick and self.compare is None

    @property
    def rungs(self) -> tuple[Rung, ...]:
        """What is tried, in order."""
        return (Rung("", ()), *self.on_memory)


@dataclass(frozen=True)
class Campaign:
    """A whole queue."""

    name: str
    about: str
    rows: tuple[Row, ...]
    set: tuple[str, ...] = ()
    """Of every row."""
    on_failure: str = FAILURES[0]
    watts: float | None = None
    """Declared draw while it runs; energy is this times wall time, an estimate."""


def shipped() -> list[str]:
    """Return the names of the campaigns beside the command."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def read(name: str) -> Campaign:
    """Read a campaign by its name, or from a file of one's own.

    Raises:
        ConfigError: there is none, or its file breaks the vocabulary; the message names file, row, key and value.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else FOLDER / f"{name}.yaml"
    if not path.exists():
        raise ConfigError(f"{name} is no campaign; there are {', '.join(shipped())}. A file of yours ends in .yaml.")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {' '.join(str(error).split())}.") from error
    return _Reader(path).campaign(values)


def parse(values: object, path: Path) -> Campaign:
    """Turn plain values into a campaign named as the file `path`.

    Raises:
        ConfigError: as `read`.
    """
    return _Reader(path).campaign(values)


KEYS = {
    "campaign": ("about", "rows", "set", "on_failure", "watts"),
    "run": ("name", "says", "set", "seeds", "continues", "keep", "on_memory", "stop_if", "hours"),
    "pick": ("name", "says", "pick", "by", "undecided"),
    "compare": ("name", "says", "compare", "against", "by"),
}


class _Reader:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: dict[str, Row] = {}

    def campaign(self, values: object) -> Campaign:
        given = self._mapping("", values, KEYS["campaign"])
        rows = given.get("rows")
        if not isinstance(rows, list) or not rows:
            raise self._error("", "rows", rows, "a list of rows, one at least")
        for number, row in enumerate(rows, 1):
            made = self._row(f"row {number}", row)
            self._seen[made.name] = made
        return Campaign(
            self._path.stem,
            self._text("", "about", given.get("about")),
            tuple(self._seen.values()),
            self._texts("", "set", given.get("set", [])),
            self._one_of("", "on_failure", given.get("on_failure", FAILURES[0]), FAILURES),
            self._positive("", "watts", given.get("watts")),
        )

    def _row(self, place: str, values: object) -> Row:
        kind = next((kind for kind in ("pick", "compare") if isinstance(values, Mapping) and kind in values), "run")
        given = self._mapping(place, values, KEYS[kind])
        name = self._text(place, "name", given.get("name"))
        if name in self._seen:
            raise self._error(place, "name", name, "a name of its own")
        if not name.replace("_", "a").isalnum() or not name.isascii():
            raise self._error(place, "name", name, "letters, digits and _")
        says = self._text(name, "says", given.get("says"))
        if kind == "run":
            return self._run(name, says, given)
        by = self._metrics(name, "by", given.get("by"))
        if kind == "compare":
            against = self._earlier_all(name, "against", given.get("against"))
            return Row(name, says, compare=self._earlier(name, "compare", given["compare"]), against=against, by=by)
        undecided = self._one_of(name, "undecided", given.get("undecided"), UNDECIDED)
        return Row(name, says, pick=self._earlier_all(name, "pick", given["pick"]), by=by, undecided=undecided)

    def _run(self, name: str, says: str, given: Mapping[str, Any]) -> Row:
        continues, keep = given.get("continues"), self._texts(name, "keep", given.get("keep", []))
        if continues is not None:
            self._earlier(name, "continues", continues)
        elif keep:
            raise self._error(name, "keep", list(keep), "absent where the row continues nothing")
        for section in keep:
            self._one_of(name, "keep", section, SECTIONS)
        seeds = given.get("seeds", [])
        whole = isinstance(seeds, list) and all(type(seed) is int and seed >= 0 for seed in seeds)
        if not whole or len(set(seeds)) < len(seeds):
            raise self._error(name, "seeds", seeds, "a list of different whole numbers")
        return Row(
            name,
            says,
            set=self._texts(name, "set", given.get("set", [])),
            seeds=tuple(seeds),
            continues=continues,
            keep=keep,
            hours=self._positive(name, "hours", given.get("hours")),
            on_memory=tuple(self._rung(name, one) for one in self._list(name, "on_memory", given.get("on_memory", []))),
            stop_if=tuple(self._stop(name, one) for one in self._list(name, "stop_if", given.get("stop_if", []))),
        )

    def _rung(self, row: str, values: object) -> Rung:
        given = self._mapping(f"{row}: on_memory", values, ("name", "set"))
        changed = self._texts(row, "on_memory.set", given.get("set"))
        if not changed:
            raise self._error(row, "on_memory.set", list(changed), "what is to change, such as [adapter.rank=4]")
        return Rung(self._text(row, "on_memory.name", given.get("name")), changed)

    def _stop(self, row: str, values: object) -> Stop:
        given = self._mapping(f"{row}: stop_if", values, (*STOPS, "by"))
        rules = [rule for rule in STOPS if rule in given]
        if len(rules) != 1:
            raise self._error(row, "stop_if", values, f"one of {', '.join(STOPS)} in each entry")
        rule = rules[0]
        if rule == "not_learned_by":
            update = given[rule]
            if type(update) is not int or update < 1:
                raise self._error(row, f"stop_if.{rule}", update, "an update, 1 or more")
            if "by" in given:
                raise self._error(row, "stop_if.by", given["by"], f"absent: {rule} is judged by the validation loss")
            return Stop(rule, update=update)
        other = self._earlier(row, f"stop_if.{rule}", given[rule])
        return Stop(rule, other, by=self._metrics(row, "stop_if.by", given.get("by")))

    def _metrics(self, row: str, key: str, given: object) -> tuple[str, ...]:
        found = self._texts(row, key, given)
        if not found:
            raise self._error(row, key, given, f"what judges, from {', '.join(METRICS)}")
        for one in found:
            self._one_of(row, key, one, METRICS)
        return found

    def _earlier_all(self, row: str, key: str, given: object) -> tuple[str, ...]:
        found = self._texts(row, key, given)
        if not found or len(set(found)) < len(found):
            raise self._error(row, key, given, "different rows, one at least")
        return tuple(self._earlier(row, key, one) for one in found)

    def _earlier(self, row: str, key: str, given: object) -> str:
        """A row that stands before this one and has, or picks, a run."""
        known = [name for name, seen in self._seen.items() if seen.compare is None]
        if given not in known:
            raise self._error(row, key, given, f"a row before it: {', '.join(known) or 'there is none'}", known)
        return str(given)

    def _mapping(self, place: str, values: object, known: Sequence[str]) -> dict[str, Any]:
        if not isinstance(values, dict):
            raise self._error(place, "", values, f"a mapping of {', '.join(known)}")
        for key in values:
            if key not in known:
                raise self._error(place, str(key), values[key], f"one of the keys {', '.join(known)}", known)
        return values

    def _list(self, row: str, key: str, given: object) -> list[Any]:
        if not isinstance(given, list):
            raise self._error(row, key, given, "a list")
        return given

    def _texts(self, row: str, key: str, given: object) -> tuple[str, ...]:
        if given is None:
            return ()
        if not isinstance(given, list) or not all(isinstance(one, str) and one for one in given):
            raise self._error(row, key, given, "a list of texts")
        return tuple(given)

    def _text(self, row: str, key: str, given: object) -> str:
        if not isinstance(given, str) or not given.strip():
            raise self._error(row, key, given, "a text")
        return " ".join(given.split())

    def _positive(self, row: str, key: str, given: object) -> float | None:
        if given is None:
            return None
        if isinstance(given, bool) or not isinstance(given, int | float) or given <= 0:
            raise self._error(row, key, given, "a number above 0")
        return float(given)

    def _one_of(self, row: str, key: str, given: object, known: Sequence[str]) -> str:
        if given not in known:
            raise self._error(row, key, given, f"one of {', '.join(known)}", known)
        return str(given)

    def _error(self, row: str, key: str, value: object, allowed: str, known: Sequence[str] = ()) -> ConfigError:
        place = ": ".join(part for part in (str(self._path), row, key) if part)
        close = [near for near in difflib.get_close_matches(str(value), known, n=1) if near != value]
        close = close or difflib.get_close_matches(key, known, n=1)
        hint = f" Did you mean {close[0]}?" if close and close[0] != key else ""
        return ConfigError(f"{place} is {value!r}; it must be {allowed}.{hint}")
