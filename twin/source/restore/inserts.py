"""INSERT statements of a dump → rows of one table: `supabase db dump --data-only` and `pg_dump --inserts`.

The values are read, not run: no server, no binaries, memory for one batch. That is exact as long as they are literals,
and pg_dump writes nothing else; whatever is no literal is refused with its line.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import tzinfo
from typing import Final

import pyarrow as pa

from twin.errors import DataError
from twin.export.canonical import canonical
from twin.export.columns import Columns, match
from twin.scrub import shown
from twin.source.restore.script import Readable, Script
from twin.source.restore.values import DEFAULT, CellError, texts

BATCH_BYTES: Final = 4 << 20
HEAD_BYTES: Final = 1 << 16  # a thousand columns of 63 bytes
COLUMN_INSERTS: Final = (
    "Dump with `pg_dump --column-inserts`, or better with `supabase db dump --data-only --use-copy`."
)

_NAME: Final = r'(?:"(?:[^"]|"")+"|[^\W\d][\w$]*)'
_TABLE: Final = rf"(?:ONLY\s+)?(?:(?P<schema>{_NAME})\s*\.\s*)?(?P<table>{_NAME})"
_LIST: Final = r'\((?P<columns>(?:"(?:[^"]|"")*"|[^()"])*)\)'
_INSERT: Final = re.compile(
    rf"INSERT\s+INTO\s+{_TABLE}\s*(?:{_LIST}\s*)?(?:OVERRIDING\s+(?:SYSTEM|USER)\s+VALUE\s+)?(?P<values>VALUES\b)?",
    re.IGNORECASE,
)
_COPY: Final = re.compile(rf"COPY\s+{_TABLE}\s*(?:{_LIST}\s*)?FROM\s+STDIN\b", re.IGNORECASE)
_CREATE: Final = re.compile(rf"CREATE\s+(?:UNLOGGED\s+)?TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?{_TABLE}\s*\(", re.IGNORECASE)
_ESCAPING: Final = re.compile(r"SET\s+standard_conforming_strings\s*(?:=|TO)\s*'?off", re.IGNORECASE)
_ENCODING: Final = re.compile(r"SET\s+client_encoding\s*(?:=|TO)\s*+'?+(?!UTF-?8|UNICODE|SQL_ASCII)", re.IGNORECASE)
_CONSTRAINT: Final = re.compile(r"(?:CONSTRAINT|PRIMARY|UNIQUE|CHECK|FOREIGN|EXCLUDE|LIKE)\b", re.IGNORECASE)

_SPACE: Final = rb"\s*+(?:--[^\n]*+\n\s*+|/\*[^*]*+(?:\*(?!/)[^*]*+)*\*/\s*+)*"
_CAST: Final = rb"(?:::\s*+[\w\"]++(?:[ .][\w\"]++)*(?:\([\d,]*+\))?(?:\[\])*)*"
_END: Final = re.compile(_SPACE + rb"(,|;|(?:ON|RETURNING)\b)", re.IGNORECASE)
_UNFINISHED: Final = re.compile(
    _SPACE + rb"(?:[eE]?'[^']*+(?:''[^']*+)*|[eE]'[^'\\]*+(?:(?:\\.|'')[^'\\]*+)*\\?|\$[\w\x80-\xff]{0,63}(?:\$.*+)?"
    rb"|--[^\n]*+|/\*.*+|/|::[\w\" .(),\[\]]*+|[\w+.:-]{0,40})\Z",
    re.DOTALL,
)  # fmt: skip
CUT_BYTES_MAX: Final = 1 << 30  # a Postgres value


def batches(stream: Readable, name: str, table: str, zone: tzinfo | None = None) -> Iterator[pa.RecordBatch]:
    """Yield the rows of `table`, `memory_turns` or `public.memory_turns`, in the form of ROWS.

    `name` is how messages call the dump, `zone` that of times that name none.

    Raises:
        DataError: the table is not there, or also stands as COPY; a value is no literal; the dump is cut, damaged or
            not UTF-8; a cell is not usable. The message has `name` and line.
    """
    script, wanted = Script(stream, name), name_of(table)
    declared: list[str] | None = None
    schemas: set[str] = set()
    others: dict[str, None] = {}
    while raw := script.next(HEAD_BYTES):
        head = raw.decode("utf-8", "replace")
        line = script.line(script.at)
        _check_setting(head, f"{name}:{line}")
        found = _INSERT.match(head) or _COPY.match(head) or _CREATE.match(head)
        is_wanted = found is not None and _is(found, wanted)
        if found and not is_wanted and found.re is not _CREATE:
            others[_table(found)] = None
        if found is None or not is_wanted:
            script.skip()
        elif found.re is _CREATE:
            declared = _declared(script.skip(HEAD_BYTES).decode("utf-8", "replace"), found.end())
        elif found.re is _INSERT:
            schemas.add(_table(found))
            if len(schemas) > 1:
                raise DataError(
                    f"{name}:{line}: two tables are named {wanted[1]}: {' and '.join(sorted(schemas))}. Name one."
                )
            columns = _columns(found, declared, f"{name}:{line}")
            script.at += len(head[: found.end()].encode())
            yield from _rows(script, columns, line, zone)
        if found and found.re is _COPY:
            if is_wanted:
                raise DataError(
                    f"{name}:{line}: {_table(found)} also stands as COPY. Dump it in one form: `supabase db dump "
                    "--data-only --use-copy`."
                )
            script.skip_data()
    if not schemas:
        near = f" It inserts into: {', '.join(shown(other) for other in list(others)[:8])}." if others else ""
        raise DataError(f"{name}: no INSERT has rows of {table}.{near} Name the table: `twin bring … --table NAME`.")


def _rows(script: Script, columns: Columns, line: int, zone: tzinfo | None) -> Iterator[pa.RecordBatch]:
    """Yield the rows from VALUES to the end of the statement."""
    width, read = len(columns.found), sorted(columns.places.values())
    row, names = _row(width, read), [f"v{place}" for place in read]
    held: list[tuple[bytes, ...]] = []
    lines: list[int] = []
    size, end = 0, b","
    while end == b",":
        found = row.match(script.buffer, script.at)
        if found is None:
            _check_unfinished(script, width, line)
            continue
        lines.append(script.line(found.start("open")))
        held.append(found.group(*names))
        size += found.end() - script.at
        script.at, end = found.end(), found["end"]
        if size >= BATCH_BYTES or (end != b"," and held):
            yield _batch(script.name, columns, held, lines, zone)
            held, lines, size = [], [], 0
    if end != b";":
        script.skip()


def _batch(
    name: str, columns: Columns, held: Sequence[tuple[bytes, ...]], lines: Sequence[int], zone: tzinfo | None
) -> pa.RecordBatch:
    made = {}
    for meaning, cells in zip(_order(columns), zip(*held, strict=True), strict=True):
        try:
            made[meaning] = texts(cells)
        except CellError as error:
            move = COLUMN_INSERTS if error.fault == DEFAULT else "Dump again."
            raise DataError(f"{name}:{lines[error.row]}: {columns.names[meaning]} {error.fault}. {move}") from None
    return canonical(pa.RecordBatch.from_pydict(made), columns.names, lambda row: f"{name}:{lines[row]}", zone)


def _order(columns: Columns) -> list[str]:
    return sorted(columns.places, key=columns.places.__getitem__)


def _row(width: int, read: Sequence[int]) -> re.Pattern[bytes]:
    """Return the pattern of one row and what ends it; a value that is read is the group `v` and its column."""
    values = [_value(place, place in read) for place in range(width)]
    between = _SPACE + rb"," + _SPACE
    return re.compile(
        _SPACE + rb"(?P<open>\()" + _SPACE + between.join(values) + _SPACE + rb"\)" + _SPACE
        + rb"(?P<end>,|;|(?i:ON|RETURNING)\b)"
    )  # fmt: skip


def _value(place: int, read: bool) -> bytes:
    tag = f"t{place}".encode()
    literal = (
        rb"'[^']*+(?:''[^']*+)*'"
        rb"|(?i:NULL|TRUE|FALSE|DEFAULT)\b"
        rb"|[+-]?(?:\d++(?:\.\d*+)?|\.\d++)(?:[eE][+-]?\d++)?(?![\w.])"
        rb"|[eE]'[^'\\]*+(?:(?:\\.|'')[^'\\]*+)*'"
        rb"|[bBxX]'[0-9A-Fa-f]*+'"
        rb"|\$(?P<" + tag + rb">(?:[A-Za-z_\x80-\xff][\w\x80-\xff]*+)?)\$"
        rb"[^$]*+(?:\$(?!(?P=" + tag + rb")\$)[^$]*+)*\$(?P=" + tag + rb")\$"
    )
    group = f"(?P<v{place}>".encode() if read else b"(?:"
    return rb"(?s:" + group + literal + rb"))" + _CAST


_VALUE: Final = re.compile(_value(0, False))
_SEPARATOR: Final = re.compile(_SPACE + rb"([,)])" + _SPACE)
_OPEN: Final = re.compile(_SPACE + rb"\(" + _SPACE)


def _check_unfinished(script: Script, width: int, line: int) -> None:
    """Read on if the row at `script.at` may be going on; otherwise say where it is wrong."""
    buffer, place, count, mark = script.buffer, script.at, 0, b","
    found = _OPEN.match(buffer, place)
    while found and mark == b",":
        place = found.end()
        found = _VALUE.match(buffer, place)
        if not found:
            break
        place, count = found.end(), count + 1
        found = _SEPARATOR.match(buffer, place)
        if found:
            mark = found[1]
            place = found.end() if mark == b"," else found.end(1)
            if count > width or (mark == b")" and count != width) or (mark == b"," and count == width):
                raise DataError(
                    f"{script.name}:{script.line(place)}: a row has {'more' if mark == b',' else count} values "
                    f"{'than' if mark == b',' else 'for'} the {width} columns of its INSERT. Dump again."
                )
    if len(buffer) - place < CUT_BYTES_MAX and _UNFINISHED.match(buffer, place):
        if not script.more():
            raise script.cut(line, "INSERT")
        return
    rest = buffer[place : place + 200].lstrip().decode("utf-8", "replace")
    raise DataError(
        f"{script.name}:{script.line(place)}: {shown(rest[:40])} is not a literal value as pg_dump writes it, and "
        "nothing of a dump is run here. Dump with `supabase db dump --data-only --use-copy`."
    )


def _columns(found: re.Match[str], declared: list[str] | None, place: str) -> Columns:
    if found["values"] is None:
        raise DataError(f"{place}: an INSERT into {_table(found)} has no VALUES; a query is not run. {COLUMN_INSERTS}")
    listed = _names(found["columns"]) if found["columns"] else declared
    if listed is None:
        raise DataError(
            f"{place}: the INSERT names no columns and no CREATE TABLE of {_table(found)} stands before it. "
            f"{COLUMN_INSERTS}"
        )
    return match(listed, place)


def _names(text: str) -> list[str]:
    return [_unquoted(name) for name in re.findall(_NAME, text)]


def _declared(statement: str, start: int) -> list[str]:
    """Return the columns of a CREATE TABLE, of which `start` is behind the opening bracket."""
    names, depth, fresh = [], 1, True
    for found in re.finditer(rf"'(?:[^']|'')*'|--[^\n]*|{_NAME}|[(),]", statement[start:]):
        token = found.group()
        if fresh and depth == 1 and re.fullmatch(_NAME, token):
            names += [] if _CONSTRAINT.fullmatch(token) else [_unquoted(token)]
            fresh = False
        depth += {"(": 1, ")": -1}.get(token, 0)
        fresh = fresh or (token == "," and depth == 1)
        if depth == 0:
            break
    return names


def _check_setting(head: str, place: str) -> None:
    if _ESCAPING.match(head):
        raise DataError(
            f"{place}: the dump writes strings in the old way (standard_conforming_strings off). {COLUMN_INSERTS}"
        )
    if _ENCODING.match(head):
        raise DataError(f"{place}: the dump is not UTF-8. Dump with `--encoding=UTF8`.")


def name_of(table: str) -> tuple[str | None, str]:
    """Return the schema, None if it names none, and the name of a table.

    Raises:
        DataError: it is no name.
    """
    parts = _names(table)
    if not 1 <= len(parts) <= 2:
        raise DataError(f"{shown(table)} is not the name of a table. Write memory_turns or public.memory_turns.")
    return (parts[0] if len(parts) == 2 else None, parts[-1])


def _is(found: re.Match[str], wanted: tuple[str | None, str]) -> bool:
    schema = _unquoted(found["schema"]) if found["schema"] else None
    return _unquoted(found["table"]) == wanted[1] and (schema == wanted[0] or None in (schema, wanted[0]))


def _table(found: re.Match[str]) -> str:
    schema = f"{_unquoted(found['schema'])}." if found["schema"] else ""
    return schema + _unquoted(found["table"])


def _unquoted(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name.lower()
