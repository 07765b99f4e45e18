"""Lines of JSONL → objects through orjson, and objects → columns, wherever that cannot differ from the exact reading.

orjson takes the last of two equal keys and makes floats of huge integers: the first is found by counting keys, the
second by the type of the column, which no longer is all text or all integers.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import orjson
import pyarrow as pa

from twin.errors import DataError
from twin.export import objects
from twin.export.canonical import ROWS
from twin.export.columns import match
from twin.export.lines import numbered

LINES_BYTES: Final = 1 << 20  # taken at once: with more, Python's objects no longer fit the processor's cache
# A key not followed at once by its colon, or one that ends in a backslash: such keys cannot be counted.
_ODD_KEY: Final = re.compile(rb'(?<!\\)"[ \t\r]+:|\\\\"[ \t\r]*:')


class Group(NamedTuple):
    """Some lines of JSONL, next to each other."""

    data: bytes
    first: int
    """The number of the first line."""
    numbers: Sequence[int]
    """The lines that hold an object."""
    values: Sequence[dict[str, Any]]


def groups(path: Path, blocks: Iterable[bytes]) -> Iterator[Group]:
    """Yield the objects of a JSONL file.

    Raises:
        DataError: a line is not one JSON object.
    """
    first = 1
    parts = _whole_lines(blocks)
    for data in parts:
        yield _fast(data, first) or _line_by_line(path, data, first, parts)
        first += data.count(b"\n")


def columns_of(values: Sequence[Mapping[str, Any]]) -> tuple[Mapping[str, str], pa.RecordBatch] | None:
    """Return (what a column means → its name, columns named by meaning) of objects; None when in doubt."""
    names: dict[str, str] = {}
    keys: dict[str, str] = {}
    try:
        layouts = {tuple(value) for value in values}
        for found in layouts:
            header = match(found, "")
            here = {meaning: found[place] for meaning, place in header.places.items()}
            if any(keys.get(meaning, key) != key for meaning, key in here.items()):
                return None
            keys |= here
            names |= header.names
        cells = _cells(values, list(keys.values()), everywhere=len(layouts) == 1)
        made = {meaning: _column(meaning, column) for meaning, column in zip(keys, cells, strict=True)}
    except (DataError, pa.ArrowException, TypeError, ValueError, OverflowError):
        return None
    return names, pa.RecordBatch.from_pydict(made)


def _cells(values: Sequence[Mapping[str, Any]], keys: Sequence[str], everywhere: bool) -> Iterable[Sequence[Any]]:
    if everywhere:
        return zip(*map(itemgetter(*keys), values), strict=True)
    return [[value.get(key) for value in values] for key in keys]


def _column(meaning: str, cells: Sequence[Any]) -> pa.Array:
    if meaning not in ("salience", "depth", "sibling"):
        try:
            return pa.array(cells, pa.string())
        except (pa.ArrowException, TypeError):
            if meaning == "created_at":
                raise
    made = pa.array(cells)
    numeric = pa.types.is_floating(made.type) and not pa.types.is_string(ROWS.field(meaning).type)
    if numeric or pa.types.is_integer(made.type) or pa.types.is_null(made.type):
        return made
    raise TypeError(meaning)


def _whole_lines(blocks: Iterable[bytes]) -> Iterator[bytes]:
    held: list[bytes] = []
    for block in blocks:
        end = block.rfind(b"\n") + 1
        if not end:
            held.append(block)
            continue
        yield b"".join([*held, block[:end]])
        held = [block[end:]]
    last = b"".join(held)
    if last:
        yield last


def _fast(data: bytes, first: int) -> Group | None:
    lines = data.removesuffix(b"\n").split(b"\n")
    try:
        values = [orjson.loads(line) for line in lines]
    except orjson.JSONDecodeError:
        return None
    if not all(type(value) is dict for value in values):
        return None
    if _keys_counted(data) != sum(map(len, values)) and not all(map(_has_unique_keys, lines, values)):
        return None
    return Group(data, first, range(first, first + len(values)), values)


def _line_by_line(path: Path, data: bytes, first: int, parts: Iterator[bytes]) -> Group:
    numbers: list[int] = []
    values: list[dict[str, Any]] = []
    lines = numbered(path, chain([data], parts), first)
    last = first + data.count(b"\n") - data.endswith(b"\n")
    raw = iter(data.split(b"\n"))
    for number, text in lines:
        value = _sure(next(raw))
        if value is None and text.strip():
            _, value = next(objects.line_objects(path, chain([(number, text)], lines)))
        if value is not None:
            numbers.append(number)
            values.append(value)
        if number == last:  # `lines` goes on with the parts that come next, for a fault's words only
            break
    return Group(data, first, numbers, values)


def _sure(line: bytes) -> dict[str, Any] | None:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return value if type(value) is dict and _has_unique_keys(line, value) else None


def _has_unique_keys(line: bytes, value: dict[str, Any]) -> bool:
    """Say whether no key stands twice for sure: as many are written as there are."""
    return _keys_written(line) == _keys(value) and _ODD_KEY.search(line) is None


def _keys_counted(data: bytes) -> int | None:
    """Return how many keys stand in whole lines, all at once; None when there may be odd ones."""
    letters = np.frombuffer(data, np.uint8)
    colons = np.flatnonzero(letters == ord(":"))
    before, second, third = (letters[np.maximum(colons - step, 0)] for step in (1, 2, 3))
    quoted, escaped = before == ord('"'), second == ord("\\")
    odd = np.isin(before, np.frombuffer(b" \t\r", np.uint8)) | (quoted & escaped & (third == ord("\\")))
    return None if odd.any() else int(np.count_nonzero(quoted & ~escaped))


def _keys_written(data: bytes) -> int:
    return data.count(b'":') - data.count(b'\\":')


def _keys(value: Any) -> int:
    if type(value) is dict:
        return len(value) + sum(map(_keys, value.values()))
    return sum(map(_keys, value)) if type(value) is list else 0
