r"""A plain SQL dump → rows of one table: the COPY blocks of `pg_dump` and of `supabase db dump --use-copy`.

Other tables are passed over without being decoded; `\restrict`, `\unrestrict` and other lines for psql are skipped.
`script` finds statements and blocks, `block` turns lines into cells. Dumps of INSERT statements and pg_restore's own
formats are only told apart here (`form`), not read.
"""

import re
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from datetime import tzinfo
from pathlib import Path
from typing import Final, Literal, NamedTuple, cast

import pyarrow as pa

from twin.errors import DataError
from twin.export.canonical import canonical
from twin.export.columns import Columns, match
from twin.export.streams import blocks
from twin.scrub import shown
from twin.source.dump.block import decode
from twin.source.dump.script import Readable, Script, Statement

Form = Literal["copy", "insert", "custom", "directory"]

SUFFIXES: Final = (".sql", ".sql.gz", ".sql.zst")
DIRECTORY_FILE: Final = "toc.dat"
ARCHIVES: Final = (b"PGDMP", DIRECTORY_FILE.encode() + b"\0")  # pg_dump's custom format, and its tar: a first member
HEAD_BYTES: Final = 4096
ENCODINGS: Final = ("utf8", "unicode", "sqlascii")  # SQL_ASCII promises nothing: its bytes are checked as all are
TABLES_SHOWN: Final = 30

_COMMENTS: Final = re.compile(r"(?:\s|--[^\n]*\n|/\*.*?\*/)*", re.DOTALL)
_NAME: Final = r'(?:"(?:[^"]|"")+"|[^\W\d][\w$]*)'
_TABLE: Final = rf"(?:(?P<schema>{_NAME})\s*\.\s*)?(?P<table>{_NAME})"
_COPY: Final = re.compile(
    rf"\s*COPY\s+{_TABLE}\s*(?:\((?P<columns>(?:\"[^\"]*\"|[^()\"])*)\)\s*)?FROM\s+STDIN\b(?P<options>[^;]*);",
    re.IGNORECASE,
)
_INSERT: Final = re.compile(rf"\s*INSERT\s+INTO\s+{_TABLE}", re.IGNORECASE)
_CREATE: Final = re.compile(rf"\s*CREATE\s+(?:UNLOGGED\s+)?TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?{_TABLE}", re.IGNORECASE)
_ENCODING: Final = re.compile(r"\s*SET\s+client_encoding\s*(?:=|TO)\s*'?(?P<name>[\w-]+)'?", re.IGNORECASE)
_LOOKS: Final = re.compile(
    r"\A\ufeff?(?:\s|--[^\n]*\n)*(?:--\s*PostgreSQL database|\\restrict\s|SET\s+\w+\s*(?:=|TO)|COPY\s.*\sFROM\s+stdin"
    r"|INSERT\s+INTO\s|CREATE\s+(?:TABLE|SCHEMA|EXTENSION)\s|SELECT\s+pg_catalog\.)",
    re.IGNORECASE,
)


class Table(NamedTuple):
    """The name of a table; `schema` is None where none is given."""

    schema: str | None
    name: str

    def __str__(self) -> str:
        return self.name if self.schema is None else f"{self.schema}.{self.name}"

    def fits(self, other: "Table") -> bool:
        """Say whether the names may be those of one table."""
        return self.name == other.name and (self.schema == other.schema or None in (self.schema, other.schema))


def batches(stream: Readable, name: str, table: str, zone: tzinfo | None = None) -> Iterator[pa.RecordBatch]:
    """Yield the rows of `table`, `memory_turns` or `public.memory_turns`, in the form of ROWS.

    `name` is how messages call the dump, `zone` that of times that name none (a column `timestamp`, not timestamptz).

    Raises:
        DataError: the table is not there, stands as INSERT statements or in two schemas; the dump is cut, damaged or
            not UTF-8; a cell is not usable. The message has `name` and line.
    """
    wanted = _wanted(table)
    script = Script(stream, name)
    seen: dict[Table, str] = {}
    empty = True
    for statement in script.statements():
        head = _plain(statement)
        _check_encoding(head, f"{name}:{statement.line}")
        kind, found, header = _table_of(head)
        if found is None:
            continue
        seen[found] = "COPY" if kind == "COPY" else seen.get(found, kind)
        if wanted.fits(found) and kind != "CREATE":
            _check_one(wanted, found, seen, kind, f"{name}:{statement.line}")
        if header is None:
            continue
        columns = _columns(head, header, f"{name}:{statement.line}", found) if wanted.fits(found) else None
        for line, block in script.data():
            if columns is not None:
                yield _rows(columns, block, name, line, zone)
                empty = False
    _check_found(wanted, seen, name, empty)


@contextmanager
def opened(path: Path) -> Iterator[Readable]:
    """Open a plain or compressed dump, as `batches` reads it.

    Raises:
        DataError: while it is read: missing, empty, UTF-16, or its compressed data is cut or damaged.
    """
    with closing(_Blocks(path)) as stream:
        yield stream


def form(path: Path, table: str | None = None) -> Form | None:
    """Say how a dump holds `table` (or its first table): in COPY blocks, as INSERT, or in a format of pg_restore.

    A plain dump is read up to the first statement that says so. None: not a dump, or the table has no data in it.

    Raises:
        DataError: the file cannot be read up to there.
    """
    if path.is_dir():
        return "directory" if (path / DIRECTORY_FILE).is_file() else None
    if _begins(path).startswith(ARCHIVES):
        return "custom"
    if not is_dump(path):
        return None
    wanted = _wanted(table) if table else None
    with opened(path) as stream:
        script = Script(stream, str(path))
        for statement in script.statements():
            kind, found, _ = _table_of(_plain(statement))
            if found and kind != "CREATE" and (wanted is None or wanted.fits(found)):
                return "copy" if kind == "COPY" else "insert"
            if kind == "COPY":
                for _ in script.data():
                    pass
    return None


def is_dump(path: Path) -> bool:
    """Say whether `path` is a dump of Postgres: by its name, or what it begins with."""
    if path.is_dir():
        return (path / DIRECTORY_FILE).is_file()
    if path.name.lower().endswith(SUFFIXES):
        return True
    if _begins(path).startswith(ARCHIVES):
        return True
    try:
        return bool(_LOOKS.match(next(blocks(path, HEAD_BYTES), b"").decode("utf-8", "replace")))
    except DataError:
        return False


def _rows(columns: Columns, block: bytes, name: str, line: int, zone: tzinfo | None) -> pa.RecordBatch:
    cells = decode(block, len(columns.found), columns.places, name, line)
    return canonical(cells, columns.names, lambda row: f"{name}:{line + row}", zone)


def _columns(head: str, header: str, place: str, table: Table) -> Columns:
    options = cast("re.Match[str]", _COPY.match(head))["options"].strip()
    if options:
        raise DataError(
            f"{place}: COPY {table} has the options {shown(options)}. Dump again with pg_dump, without any."
        )
    if not header:
        raise DataError(f"{place}: COPY {table} names no columns. Dump again with pg_dump, which names them.")
    return match([_unquoted(name) for name in re.findall(_NAME, header)], place)


def _plain(statement: Statement) -> str:
    """Return the head of a statement without the comments before it."""
    return _COMMENTS.sub("", statement.head.decode("utf-8", "replace"), count=1)


def _table_of(head: str) -> tuple[str, Table | None, str | None]:
    """Return what a statement does to which table, and the columns it names ('' if none) where it is a COPY."""
    for kind, pattern in (("COPY", _COPY), ("INSERT", _INSERT), ("CREATE", _CREATE)):
        if found := pattern.match(head):
            schema = found["schema"]
            table = Table(None if schema is None else _unquoted(schema), _unquoted(found["table"]))
            return kind, table, (found["columns"] or "") if kind == "COPY" else None
    return "", None, None


def _unquoted(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name.lower()


def _wanted(table: str) -> Table:
    """Return the table that a person named; without quotes it is taken as it stands, its first dot ends the schema."""
    if quoted := re.fullmatch(_TABLE, table.strip()):
        parts = [part and (_unquoted(part) if part.startswith('"') else part) for part in quoted.group(1, 2)]
        return Table(parts[0], cast(str, parts[1]))
    schema, dot, name = table.strip().partition(".")
    return Table(schema, name) if dot else Table(None, schema)


def _check_encoding(head: str, place: str) -> None:
    found = _ENCODING.match(head)
    if found and found["name"].replace("-", "").replace("_", "").lower() not in ENCODINGS:
        raise DataError(
            f"{place}: the dump's client_encoding is {shown(found['name'])}. Dump again with `--encoding=UTF8`."
        )


def _check_one(wanted: Table, found: Table, seen: dict[Table, str], kind: str, place: str) -> None:
    schemas = sorted({str(table) for table, how in seen.items() if wanted.fits(table) and how != "CREATE"})
    if len(schemas) > 1:
        raise DataError(f"{place}: {wanted} stands in two schemas: {', '.join(schemas)}. Name the one you mean.")
    if kind == "INSERT":
        raise DataError(
            f"{place}: {found} stands as INSERT statements, which are not read here. Dump it in COPY form: "
            "`supabase db dump --data-only --use-copy -f dump.sql`, or pg_dump without --inserts."
        )


def _check_found(wanted: Table, seen: dict[Table, str], name: str, empty: bool) -> None:
    if not empty:
        return
    ways = {how for table, how in seen.items() if wanted.fits(table)}
    if "COPY" in ways:
        raise DataError(
            f"{name}: {wanted} has no rows. Dump as the table's owner: row-level security hides rows from others."
        )
    if ways:
        raise DataError(f"{name}: {wanted} has a definition and no data. Dump without --schema-only.")
    tables = sorted(str(table) for table in seen)
    more = f" and {len(tables) - TABLES_SHOWN} more" if len(tables) > TABLES_SHOWN else ""
    there = ", ".join(shown(table) for table in tables[:TABLES_SHOWN]) or "none"
    raise DataError(f"{name}: no table {wanted}. The dump has: {there}{more}. Name one of them, or dump the table too.")


class _Blocks:
    """The blocks of a file as something to read from."""

    def __init__(self, path: Path) -> None:
        self._blocks = cast(Generator[bytes, None, None], blocks(path))

    def read(self, _: int, /) -> bytes:
        return next(self._blocks, b"")

    def close(self) -> None:
        self._blocks.close()


def _begins(path: Path) -> bytes:
    """Return the first bytes of a file as they stand."""
    try:
        with path.open("rb") as file:
            return file.read(len(DIRECTORY_FILE) + 1)
    except OSError:
        return b""
