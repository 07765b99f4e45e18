"""Reads sessions: files of JSON lines → sessions, every row checked."""

import json
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from twin.errors import DataError
from twin.files import read_text
from twin.ratings.session import CANT_TELL, SCORES, SHOWN, SIDES, Answer, Mode, Session

VERSION = 1
MOVE = "Restore the file as the rating page wrote it, or take it out of the folder."
Row = Mapping[str, Any]
Check = Callable[[Any], bool]


def read_sessions(folder: Path) -> list[Session]:
    """Read every session of a folder, in the order of their files' names; none if there is no folder.

    Raises:
        DataError: a row is malformed, or one id names two sessions.
    """
    sessions = [_session(path) for path in sorted(folder.glob("*.jsonl"))]
    first: dict[str, Path] = {}
    for session in sessions:
        if session.id in first:
            raise DataError(
                f"{session.path}:1: the session {session.id} is in {first[session.id]} too. Take one file out."
            )
        first[session.id] = session.path
    return sessions


def _session(path: Path) -> Session:
    lines = read_text(path).removesuffix("\n").split("\n")
    rows = [_row(f"{path}:{number}", line) for number, line in enumerate(lines, 1)]
    head, *others = rows
    header = _header(f"{path}:1", head)
    ended = bool(others) and others[-1].get("kind") == "end"
    end = _end(f"{path}:{len(rows)}", others.pop()) if ended else {}
    answers: list[Answer] = []
    for number, row in enumerate(others, 2):
        answers.append(_answer(f"{path}:{number}", row, header, answers))
    return Session(path, **header, answers=tuple(answers), key=end.get("key"), answers_declared=end.get("answers"))


def _row(place: str, line: str) -> Row:
    try:
        row = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise DataError(f"{place}: not JSON ({error}). {MOVE}") from error
    if not isinstance(row, dict):
        raise DataError(f"{place}: {line[:40]} is not a JSON object. {MOVE}")
    return row


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _sha256(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None


def _hex(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch("(?:[0-9a-f]{2})+", value) is not None


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _seconds(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0


def _fields(place: str, row: Row, kind: str, checks: Mapping[str, tuple[Check, str]]) -> dict[str, Any]:
    if row.get("kind") != kind:
        raise DataError(f"{place}: the kind is {row.get('kind')!r}, expected {kind!r}. {MOVE}")
    for name, (holds, words) in checks.items():
        if not holds(row.get(name)):
            raise DataError(f"{place}: {name} is {row.get(name)!r}, expected {words}. {MOVE}")
    return {name: row[name] for name in checks}


_HEADER: Mapping[str, tuple[Check, str]] = {
    "version": (lambda value: value == VERSION, f"{VERSION}, the version this program reads"),
    "id": (_text, "a text"),
    "rater": (_text, "a text"),
    "run_id": (_text, "a text"),
    "adapter_sha256": (_sha256, "64 hex digits"),
    "generations_sha256": (_sha256, "64 hex digits"),
    "mode": (lambda value: value in [mode.value for mode in Mode], "pairs, identify, protocol or prefer"),
    "key_sha256": (_sha256, "64 hex digits"),
    "n_items": (_count, "a number of items"),
}


def _header(place: str, row: Row) -> dict[str, Any]:
    fields = _fields(place, row, "session", _HEADER)
    del fields["version"]
    return fields | {"mode": Mode(fields["mode"])}


def _end(place: str, row: Row) -> Row:
    return _fields(place, row, "end", {"key": (_hex, "hex digits"), "answers": (_count, "a number of answers")})


def _answer(place: str, row: Row, header: Row, before: list[Answer]) -> Answer:
    scored = header["mode"] is Mode.protocol
    sides = {SHOWN} if scored else set(SIDES)

    def arms(value: Any) -> bool:
        named = isinstance(value, dict) and value.keys() == sides and all(map(_text, value.values()))
        return named and len(set(value.values())) == len(sides)

    def answer(value: Any) -> bool:
        return (_count(value) and value in SCORES) if scored else value in (*SIDES, CANT_TELL)

    def right(value: Any) -> bool:
        return answer(value) and value != CANT_TELL

    allowed = "a score from 0 to 3" if scored else "left, right or cant_tell"
    checks: dict[str, tuple[Check, str]] = {
        "item": (lambda value: _count(value) and value < header["n_items"], f"0 to {header['n_items'] - 1}"),
        "prompt_set": (_text, "a text"),
        "prompt_id": (_text, "a text"),
        "arms": (arms, f"an arm for each of {', '.join(sorted(sides))}, none twice"),
        "answer": (answer, allowed),
        "repeat_of": (lambda value: value is None or _count(value), "an item or null"),
        "catch": (lambda value: isinstance(value, bool), "true or false"),
        "seconds": (_seconds, "seconds"),
    }
    if "repeat_of" not in row:
        raise DataError(f"{place}: repeat_of is missing, expected an item or null. {MOVE}")
    if row.get("catch") is True:
        checks["right"] = (right, "the answer that is right, and never cant_tell")
    fields = {"right": None} | _fields(place, row, "answer", checks)
    found = Answer(**fields)
    if found.repeat_of is not None and not any(_repeated(found, one) for one in before):
        raise DataError(
            f"{place}: repeat_of is {found.repeat_of!r}, expected an earlier item that counts, with the same prompt "
            f"and the sides swapped. {MOVE}"
        )
    return found


def _repeated(again: Answer, first: Answer) -> bool:
    """Whether `again` shows `first` again, sides swapped."""
    same = (again.repeat_of, again.prompt_set, again.prompt_id) == (first.item, first.prompt_set, first.prompt_id)
    sides = sorted(again.arms)
    swapped = [again.arms[side] for side in sides] == [first.arms[side] for side in reversed(sides)]
    return same and swapped and first.counts and not again.catch
