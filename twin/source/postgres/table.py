"""A table's name → its columns and the statements that read it; every identifier is quoted, every literal made here."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Final

from twin.errors import ConfigError, DataError
from twin.export.columns import Columns, match
from twin.scrub import shown

IDENTIFIER_BYTES_MAX: Final = 63  # NAMEDATALEN - 1
PART: Final = re.compile(r'"((?:[^"\0]|"")+)"|([^\W\d][\w$]*)')
NUMBERS: Final = ("smallint", "integer", "bigint", "double precision")
TIMES: Final = re.compile(r"timestamp(?:\(\d\))? (with|without) time zone")
ORDER: Final = ("created_at", "depth", "sibling", "id")


@dataclass(frozen=True)
class Name:
    """A table, by schema and name as the catalog has them."""

    schema: str
    table: str

    def __str__(self) -> str:
        """Return the name as people write it."""
        return f"{self.schema}.{self.table}"

    @property
    def sql(self) -> str:
        """The name for a statement."""
        return f"{identifier(self.schema)}.{identifier(self.table)}"


@dataclass(frozen=True)
class Column:
    """A column of the catalog."""

    name: str
    kind: str
    """Its type as format_type gives it, a domain's base type."""
    category: str
    """pg_type.typcategory: N number, S string, D time."""


@dataclass(frozen=True)
class Table:
    """What is read of a table."""

    name: Name
    found: tuple[Column, ...]
    columns: Columns
    zone: tzinfo | None
    """That of a created_at which has none; None if it has one."""

    def select(self, after: datetime | None, until: datetime) -> str:
        """Return the statement whose rows are those of `after` < created_at ≤ `until`, columns named by meaning."""
        wanted = ", ".join(f"{self._read(meaning)} AS {identifier(meaning)}" for meaning in self.columns.names)
        order = ", ".join(self._column(meaning) for meaning in ORDER if meaning in self.columns.names)
        lower = f"{self._column('created_at')} > {self._moment(after)} AND " if after else ""
        return (
            f"SELECT {wanted} FROM {self.name.sql} WHERE {lower}{self._column('created_at')} <= {self._moment(until)} "
            f"ORDER BY {order}"
        )

    def count(self, until: datetime | None) -> str:
        """Return the statement that counts the rows with created_at ≤ `until`, or all."""
        where = f" WHERE {self._column('created_at')} <= {self._moment(until)}" if until else ""
        return f"SELECT count(*)::text FROM {self.name.sql}{where}"

    def endless(self) -> str:
        """Return the statement that finds a row whose time is infinite."""
        return (
            f"SELECT {self._column('id')}::text, {self._column('created_at')}::text FROM {self.name.sql} "
            f"WHERE {self._column('created_at')} IN ('infinity', '-infinity') LIMIT 1"
        )

    def _column(self, meaning: str) -> str:
        place = self.columns.places[meaning]
        # Qualified: ORDER BY takes a bare name for that of the result, which is the id as text.
        return f"{identifier(self.name.table)}.{identifier(self.found[place].name)}"

    def _read(self, meaning: str) -> str:
        column, name = self.found[self.columns.places[meaning]], self._column(meaning)
        numbers = meaning in ("salience", "depth", "sibling") and column.kind in NUMBERS
        # A real becomes text: 0.1 of 32 bits is 0.1 in every export, but 0.10000000149 as a float of 64.
        return name if meaning == "created_at" or numbers else f"{name}::text"

    def _moment(self, moment: datetime) -> str:
        if self.zone is None:
            return f"'{moment.astimezone(UTC).isoformat()}'::timestamptz"
        return f"'{moment.astimezone(self.zone).replace(tzinfo=None).isoformat()}'::timestamp"


def identifier(name: str) -> str:
    """Quote a name for SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Quote text for SQL, in a form that standard_conforming_strings does not change."""
    escaped = text.replace("\\", "\\\\").replace("'", "''")
    return f" E'{escaped}'" if "\\" in text else f"'{escaped}'"


def name_of(table: str) -> Name:
    """Read `table`, `schema.table` or `"Odd schema"."Odd table"`; a name without quotes is in lower case, as in SQL.

    Raises:
        ConfigError: it is not the name of a table.
    """
    parts: list[str] = []
    place = 0
    while found := PART.match(table, place):
        parts.append(found[1].replace('""', '"') if found[1] else found[2].lower())
        place = found.end() + 1
        if table[found.end() : place] != ".":
            break
    too_long = any(len(part.encode("utf-8", "replace")) > IDENTIFIER_BYTES_MAX for part in parts)
    if place <= len(table) or len(parts) not in (1, 2) or too_long:
        raise ConfigError(
            f"{shown(table)} is not the name of a table. Write memory_turns or public.memory_turns; a name with "
            'capitals or signs stands in double quotes: public."Memory Turns".'
        )
    return Name(parts[0] if len(parts) == 2 else "public", parts[-1])


def catalog(name: Name) -> str:
    """Return the statement that lists the columns of a table, a view too, whether or not they may be read."""
    return (
        "SELECT a.attname::text, format_type(coalesce(nullif(t.typbasetype, 0), t.oid), NULL), t.typcategory::text "
        "FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
        "JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid JOIN pg_catalog.pg_type t ON t.oid = a.atttypid "
        f"WHERE n.nspname = {literal(name.schema)} AND c.relname = {literal(name.table)} "
        "AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"
    )


def neighbours(name: Name) -> str:
    """Return the statement that lists tables which may have been meant."""
    return (
        "SELECT n.nspname || '.' || c.relname FROM pg_catalog.pg_class c "
        "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
        "JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attname IN ('created_at', 'timestamp') "
        "WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema') "
        f"ORDER BY c.relname <> {literal(name.table)}, n.nspname <> {literal(name.schema)}, 1 LIMIT 8"
    )


def rights(name: Name) -> str:
    """Return the statement that says whether this role may read the table, and whether policies filter what it sees."""
    there = f"{literal(name.sql)}::regclass"
    return f"SELECT has_any_column_privilege({there}, 'SELECT')::text, row_security_active({there})::text"


def table_of(name: Name, rows: Sequence[Sequence[str | None]], zone: tzinfo | None) -> Table:
    """Make sense of the columns that the catalog lists.

    Raises:
        DataError: a required column is missing or has a type that cannot be read.
    """
    found = tuple(Column(str(column), str(kind), str(category)) for column, kind, category in rows)
    columns = match([column.name for column in found], str(name))
    text, time = (found[columns.places[meaning]] for meaning in ("content", "created_at"))
    if text.category != "S":
        raise DataError(
            f"{name}: {text.name} is {text.kind}, not text. Make a view that has it as text and bring that view."
        )
    zoned = TIMES.fullmatch(time.kind)
    if not zoned:
        raise DataError(
            f"{name}: {time.name} is {time.kind}, not timestamptz. Make a view with `{time.name}::timestamptz` and "
            "bring that view."
        )
    if zoned[1] == "without" and zone is None:
        raise DataError(
            f"{name}: {time.name} is a timestamp without time zone. Say which zone it is in: `twin bring … --zone UTC`."
        )
    return Table(name, found, columns, zone if zoned[1] == "without" else None)
