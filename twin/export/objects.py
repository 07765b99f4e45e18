"""Lines of a JSONL file, or the text of a JSON array → numbered objects, exactly: no key twice, no NaN, nothing cut."""

import codecs
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NoReturn

from twin.errors import DataError

SPACE: Final = " \t\n\r"  # JSON's own white space
TAIL: Final = 12  # characters before the end of a part in which a fault may be the part's end: `\uXXXX`, `-Infinity`
ONE_A_LINE: Final = "JSONL has one object a line; an array is a .json file, or `jq -c '.[]' in.json > out.jsonl`."


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return value


DECODER: Final = json.JSONDecoder(parse_constant=_refuse_constant, object_pairs_hook=_unique)
"""JSON as the standard has it, and no key twice."""


def line_objects(path: Path, lines: Iterable[tuple[int, str]]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line, object) of JSONL; blank lines are none.

    Raises:
        DataError: a line is not one JSON object.
    """
    lines = iter(lines)
    for number, text in lines:
        if not text.strip():
            continue
        try:
            value = DECODER.decode(text)
        except (ValueError, RecursionError) as error:
            last = not any(later.strip() for _, later in lines)
            raise DataError(f"{path}:{number}: {_line_fault(error, text, last)}") from None
        if not isinstance(value, dict):
            raise DataError(f"{path}:{number}: the line is {_kind(value)}, not a JSON object. {ONE_A_LINE}")
        yield number, value


def array_objects(path: Path, blocks: Iterable[bytes]) -> Iterator[list[tuple[int, dict[str, Any]]]]:
    """Yield, a block at a time, (number from 1, object) of a JSON array of objects.

    Raises:
        DataError: the text is not one array of objects, is cut, or something stands after it.
    """
    reader = _ArrayReader(path)
    for part in _texts(path, blocks):
        yield reader.feed(part)
    yield reader.close()


class _ArrayReader:
    """Takes the text of an array in parts of any size; what is not whole yet waits for the next part."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._text = ""
        self._wanted = 0
        self._count = 0
        self._state = "["

    def feed(self, part: str) -> list[tuple[int, dict[str, Any]]]:
        self._text += part
        found: list[tuple[int, dict[str, Any]]] = []
        # An object longer than a part would be parsed anew with every part: it waits until twice as much is there.
        if len(self._text) < self._wanted:
            return found
        at = 0
        while (next_at := self._step(at, found)) is not None:
            at = next_at
        self._text = self._text[at:]
        self._wanted = 2 * len(self._text)
        return found

    def close(self) -> list[tuple[int, dict[str, Any]]]:
        self._wanted = 0
        left = self.feed("")
        if self._state != "end":
            place = self._here(self._count)
            raise DataError(f"{place}: the array does not end after it: the file is cut. Export again.")
        return left

    def _step(self, at: int, found: list[tuple[int, dict[str, Any]]]) -> int | None:
        """Read one token or object from `at`; return where it ends, None if the text does not reach that far."""
        while at < len(self._text) and self._text[at] in SPACE:
            at += 1
        if at == len(self._text):
            return None
        letter = self._text[at]
        if self._state == "[":
            self._expect(letter == "[", self._no_array(letter))
            self._state = "first"
            return at + 1
        if self._state == "end":
            raise DataError(f"{self._path}: something stands after the array's end. Remove it or export again.")
        if letter == "]" and self._state in ("first", "comma"):
            self._state = "end"
            return at + 1
        if self._state == "comma":
            self._expect(letter == ",", f"{self._here(self._count)}: no comma follows it. {_FIX}")
            self._state = "object"
            return at + 1
        return self._object(at, found)

    def _object(self, at: int, found: list[tuple[int, dict[str, Any]]]) -> int | None:
        here = self._here(self._count + 1)
        self._expect(self._text[at] == "{", f"{here}: it is not an object. A JSON export is an array of objects.")
        try:
            value, end = DECODER.raw_decode(self._text, at)
        except json.JSONDecodeError as error:
            if error.msg.startswith("Unterminated string") or error.pos >= len(self._text) - TAIL:
                return None
            raise DataError(f"{here}: not JSON ({error.msg}, character {error.pos - at + 1} of it). {_FIX}") from None
        except (ValueError, RecursionError) as error:
            raise DataError(f"{here}: {_reason(error)}. {_FIX}") from None
        self._count += 1
        found.append((self._count, value))
        self._state = "comma"
        return end

    def _expect(self, right: bool, message: str) -> None:
        if not right:
            raise DataError(message)

    def _here(self, number: int) -> str:
        return f"{self._path}: object {number}" if number else f"{self._path}"

    def _no_array(self, letter: str) -> str:
        if letter == "{":
            return (
                f"{self._path}: it begins with an object, not with an array. If it has one object a line, rename it to "
                "end in .jsonl; if the array is inside, take it out: `jq .NAME in.json > out.json`."
            )
        return f"{self._path}: not JSON: a .json export is an array of objects. Export again."


_FIX: Final = "Fix the object or export again."


def _texts(path: Path, blocks: Iterable[bytes]) -> Iterator[str]:
    decoder, before = codecs.getincrementaldecoder("utf-8")(), 0
    for block in blocks:
        try:
            yield _without_nul(path, decoder.decode(block), before)
        except UnicodeDecodeError as error:
            raise DataError(_not_utf8(path, error, before)) from None
        before += len(block)
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise DataError(_not_utf8(path, error, before)) from None


def _without_nul(path: Path, text: str, before: int) -> str:
    if "\0" in text:
        byte = before + len(text[: text.index("\0")].encode()) + 1
        raise DataError(f"{path}: about byte {byte:,} is NUL, which no text has. Export again as UTF-8.")
    return text


def _not_utf8(path: Path, error: UnicodeDecodeError, before: int) -> str:
    return (
        f"{path}: about byte {before + error.start + 1:,} is 0x{error.object[error.start]:02x}, which is not UTF-8. "
        "Export again as UTF-8, or convert the file with iconv."
    )


def _line_fault(error: Exception, text: str, last: bool) -> str:
    if not isinstance(error, json.JSONDecodeError):
        return f"{_reason(error)}. Fix the line or export again."
    where = f"{error.msg}, character {error.colno}"
    if text.lstrip().startswith("["):
        return f"the file is a JSON array, not JSONL. {ONE_A_LINE}"
    if last:
        return f"the last line is not whole JSON ({where}): the file looks cut. Export again."
    return f"not JSON ({where}). {ONE_A_LINE}"


def _reason(error: Exception) -> str:
    return "nested too deep" if isinstance(error, RecursionError) else str(error)


def _kind(value: object) -> str:
    return "an array" if isinstance(value, list) else f"a {type(value).__name__}"
