"""A query of PostgREST's language → SQL, and rows → the status and Content-Range that PostgREST gives; for the double.

Written by hand after PostgREST's documentation and its RangeQuery.hs; no part of it is PostgREST.
"""

import re
from typing import Any

from psycopg import sql

OPERATORS = {"eq": "=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<=", "neq": "<>", "like": "LIKE", "ilike": "ILIKE"}


class RefusedError(Exception):
    """An answer that is none of success."""

    def __init__(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        self.status, self.body, self.headers = status, body, headers or {}


def refused(
    status: int, code: str, message: str, details: Any = None, hint: Any = None, **headers: str
) -> RefusedError:
    body = {"code": code, "details": details, "hint": hint, "message": message}
    return RefusedError(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


def window_of(query: list[tuple[str, str]], range_header: str | None, max_rows: int) -> tuple[int, int | None]:
    """Return offset and limit: those of the query cut with those of the header, then cut silently at max-rows."""
    asked = dict(query)
    offset, limit = max(0, int(asked.get("offset", 0))), int(asked["limit"]) if "limit" in asked else None
    outside = refused(416, "PGRST103", "Requested range not satisfiable", Content_Range="*/*",
                      details="Limit should be greater than or equal to zero.")  # fmt: skip
    if limit is not None and limit < 0:
        raise outside
    if range_header and (found := re.fullmatch(r"(\d+)-(\d*)", range_header)):
        first, last = int(found[1]), int(found[2]) if found[2] else None
        if last is not None and last < first:
            raise outside
        ends = [end for end in (None if limit is None else offset + limit, None if last is None else last + 1)
                if end is not None]  # fmt: skip
        offset = max(offset, first)
        limit = max(0, min(ends) - offset) if ends else None
    return offset, max_rows if limit is None else min(limit, max_rows)


def status_of(offset: int, rows: int, total: int | None) -> tuple[str, int]:
    """Return Content-Range and status, as RangeQuery.hs of PostgREST."""
    if total is not None and offset > total:
        details = f"An offset of {offset} was requested, but there are only {total} rows."
        raise refused(416, "PGRST103", "Requested range not satisfiable", details, Content_Range=f"*/{total}")
    span = f"{offset}-{offset + rows - 1}" if rows and total != 0 else "*"
    return f"{span}/{'*' if total is None else total}", 206 if total is not None and rows < total else 200


def statement(
    query: list[tuple[str, str]], table: tuple[str, str], window: tuple[int, int | None], counted: bool
) -> sql.Composable:
    """Return one SELECT of (total or NULL, rows of the page, the page as JSON), in the shape of PostgREST's."""
    asked = dict(query)
    source = sql.SQL("{}.{}").format(*map(sql.Identifier, table))
    wheres = [condition(name, value) for name, value in query if name not in ("select", "order", "limit", "offset")]
    where = sql.SQL(" WHERE {}").format(sql.SQL(" AND ").join(wheres)) if wheres else sql.SQL("")
    orders = [_order(part) for part in asked["order"].split(",")] if asked.get("order") else []
    order = sql.SQL(" ORDER BY {}").format(sql.SQL(", ").join(orders)) if orders else sql.SQL("")
    total = sql.SQL("(SELECT count(*) FROM {}{})").format(source, where) if counted else sql.SQL("NULL::bigint")
    return sql.SQL(
        "WITH page AS (SELECT {} FROM {}{}{} LIMIT {} OFFSET {})"
        " SELECT {}, count(page_row), coalesce(json_agg(page_row), '[]')::text"
        " FROM (SELECT * FROM page) page_row"
    ).format(
        _columns(asked.get("select", "*")), source, where, order, sql.Literal(window[1]), sql.Literal(window[0]), total
    )


def _columns(select: str) -> sql.Composable:
    made = []
    for part in re.findall(r'(?:"[^"]*"|[^,"])+', select):
        found = re.fullmatch(r"(?:(?P<alias>\w+):(?!:))?(?P<name>\*|\"[^\"]+\"|[^:>\"-]+?)(?:->>(?P<key>\w+))?(?:::(?P<kind>\w+))?", part)  # fmt: skip  # noqa: E501
        if not found:
            raise refused(400, "PGRST100", f'"failed to parse select parameter ({select})"')
        name, made_of = found["name"].strip('"'), sql.SQL("*")
        if name != "*":
            made_of = sql.Identifier(name)
            made_of = sql.SQL("{}->>{}").format(made_of, sql.Literal(found["key"])) if found["key"] else made_of
            made_of = sql.SQL("({})::{}").format(made_of, sql.Identifier(found["kind"])) if found["kind"] else made_of
            made_of = sql.SQL("{} AS {}").format(made_of, sql.Identifier(found["alias"] or found["key"] or name))
        made.append(made_of)
    return sql.SQL(", ").join(made)


def _order(text: str) -> sql.Composable:
    found = re.fullmatch(r'"?(.+?)"?(\.asc|\.desc)?(\.nullsfirst|\.nullslast)?', text)
    if not found:
        raise refused(400, "PGRST100", f'"failed to parse order ({text})"')
    words = {".asc": " ASC", ".desc": " DESC", ".nullsfirst": " NULLS FIRST", ".nullslast": " NULLS LAST"}
    return sql.Identifier(found[1]) + sql.SQL("".join(words[part] for part in found.groups()[1:] if part))


def condition(name: str, value: str) -> sql.Composable:
    """Return the SQL of one filter: `name=op.value`, or `or=(…)`, `and=(…)`, `not.or=(…)`."""
    if name.removeprefix("not.") in ("or", "and"):
        made = _logic(name.removeprefix("not."), value)
        return sql.SQL("NOT ") + made if name.startswith("not.") else made
    negated, text = value.startswith("not."), value.removeprefix("not.")
    operator, dot, operand = text.partition(".")
    column = sql.Identifier(name.strip('"'))
    if operator == "is" and operand in ("null", "true", "false", "unknown"):
        made = sql.SQL("{} IS {}").format(column, sql.SQL(operand))
    elif operator == "in" and re.fullmatch(r"\(.*\)", operand, re.DOTALL):
        items = [_unquoted(item) for item in _split(operand[1:-1])]
        made = sql.SQL("{} IN ({})").format(column, sql.SQL(", ").join(map(sql.Literal, items)))
    elif operator in OPERATORS and dot:
        operand = operand.replace("*", "%") if operator in ("like", "ilike") else operand
        made = sql.SQL("{} {} {}").format(column, sql.SQL(OPERATORS[operator]), sql.Literal(operand))
    else:
        raise refused(400, "PGRST100", f'"failed to parse filter ({value})" (line 1, column 1)')
    return sql.SQL("NOT ({})").format(made) if negated else made


def _logic(word: str, value: str) -> sql.Composable:
    made = []
    for part in _split(value.strip()[1:-1]):
        if nested := re.fullmatch(r"((?:not\.)?(?:and|or))(\(.*\))", part, re.DOTALL):
            made.append(condition(nested[1], nested[2]))
        elif found := re.fullmatch(r"([^.]+)\.((?:not\.)?\w+)\.(.*)", part, re.DOTALL):
            made.append(condition(found[1], f"{found[2]}.{_unquoted(found[3])}"))
        else:
            raise refused(400, "PGRST100", f'"failed to parse logic tree ({value})" (line 1, column 1)')
    return sql.SQL("({})").format(sql.SQL(f" {word.upper()} ").join(made))


def _split(text: str) -> list[str]:
    """Split at the commas that stand neither in quotes nor in brackets."""
    parts, depth, quoted, escaped = [""], 0, False, False
    for letter in text:
        quoted ^= letter == '"' and not escaped
        escaped = letter == "\\" and not escaped
        depth += 0 if quoted else (letter == "(") - (letter == ")")
        if letter == "," and not quoted and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if len(text) > 1 and text[0] == text[-1] == '"' else text
