"""CSV or JSONL of facts → a graph: all of them or none, and every line is accounted for.

Columns or keys: subject, predicate, object; confidence (0.5) and source (unknown) may be left out.
"""

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from twin.errors import DataError
from twin.graph.checks import canonical_triple, listed, problems_of
from twin.graph.interface import Graph
from twin.graph.values import DEFAULT_CONFIDENCE, DEFAULT_SOURCE, Stored, Triple
from twin.scrub import shown

REQUIRED: Final = ("subject", "predicate", "object")
KNOWN: Final = (*REQUIRED, "confidence", "source")


@dataclass
class Loaded:
    """What became of the lines of all files."""

    stored: Stored = field(default_factory=lambda: Stored(0, 0, 0))
    passed_over: Counter[str] = field(default_factory=Counter)
    """Reason → lines: `blank`, and `repeated` where the same fact was in an earlier line, whose confidence and source
    are then joined as the graph joins them."""
    ignored: Counter[str] = field(default_factory=Counter)
    """Column or key that is none of a fact's → values that it had."""


def load(graph: Graph, paths: Sequence[Path]) -> Loaded:
    """Store the facts of all files.

    Raises:
        DataError: lines that cannot be read or stored, each with its file and line; nothing is stored then.
        GraphError: the graph failed; one behind HTTP may hold a part, and the same call again is harmless.
    """
    loaded, problems = Loaded(), list[str]()
    facts: list[Triple] = []
    seen: set[tuple[str, str, str]] = set()
    for path in paths:
        for place, row in _rows(path, loaded.passed_over, problems):
            loaded.ignored.update(str(name) for name, value in row.items() if name not in KNOWN and value)
            triple = _triple(row, place, problems)
            if triple is None:
                continue
            one = canonical_triple(triple, graph.names)
            problems += [f"{place}: {problem}" for problem in problems_of(one)]
            fact = (one.subject, one.predicate, one.object)
            loaded.passed_over["repeated"] += fact in seen
            seen.add(fact)
            facts.append(one)
    if problems:
        raise DataError(f"{listed(problems)}. Nothing was stored; mend the lines and load again.")
    loaded.stored = graph.add_all(facts)
    loaded.passed_over = +loaded.passed_over
    return loaded


def _rows(path: Path, passed_over: Counter[str], problems: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    readers: dict[str, Callable[..., Iterator[tuple[str, dict[str, Any]]]]] = {".csv": _csv, ".jsonl": _jsonl}
    if path.suffix not in readers:
        raise DataError(f"{path} is neither .csv nor .jsonl. Name the file by what it is.")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"{path} is missing. Check the name.") from None
    except (UnicodeDecodeError, OSError) as error:
        raise DataError(f"{path} cannot be read ({error}). Save it as UTF-8.") from error
    yield from readers[path.suffix](path, text, passed_over, problems)


def _csv(path: Path, text: str, passed_over: Counter[str], problems: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    line = 1
    try:
        head = next(reader, [])
        wrong = [name for name in REQUIRED if name not in head]
        if wrong or len(set(head)) < len(head):
            raise DataError(
                f"{path}:1: the header is {shown(','.join(head))}; it must name {', '.join(REQUIRED)}, each once."
            )
        line = reader.line_num + 1
        for cells in reader:
            place, line = f"{path}:{line}", reader.line_num + 1
            if not any(cells):
                passed_over["blank"] += 1
            elif len(cells) != len(head):
                problems.append(f"{place}: {len(cells)} cells where the header has {len(head)}")
            else:
                row = dict(zip(head, cells, strict=True))
                # An empty cell of a column that may be left out is left out.
                yield place, {name: cell for name, cell in row.items() if cell or name in REQUIRED}
    except csv.Error as error:
        problems.append(f"{path}:{line}: not CSV ({error})")


def _jsonl(
    path: Path, text: str, passed_over: Counter[str], problems: list[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, line in enumerate(text.removesuffix("\n").split("\n"), 1):
        place = f"{path}:{number}"
        if not line.strip():
            passed_over["blank"] += 1
            continue
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            problems.append(f"{place}: not JSON ({error})")
            continue
        if isinstance(row, dict):
            yield place, row
        else:
            problems.append(f"{place}: {type(row).__name__}, not an object")


def _triple(row: dict[str, Any], place: str, problems: list[str]) -> Triple | None:
    texts = {name: row.get(name) for name in REQUIRED} | {"source": row.get("source", DEFAULT_SOURCE)}
    wrong = [
        f"{place}: {name} is missing" if value is None else f"{place}: {name} is {shown(value)}, not text"
        for name, value in texts.items()
        if not isinstance(value, str)
    ]
    confidence = _number(row.get("confidence", DEFAULT_CONFIDENCE))
    if confidence is None:
        wrong.append(f"{place}: confidence is {shown(row['confidence'])}, not a number")
    problems += wrong
    return None if wrong or confidence is None else Triple(**texts, confidence=confidence)  # type: ignore[arg-type]


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None
