"""How the tests of the REST source open it and read it: nobody sleeps, and a reading is a dict by id."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from tests.postgrest_double import Double
from tests.postgrest_keys import SECRET_KEY
from twin.export.canonical import ROWS
from twin.source import rest

UNTIL = datetime(2026, 3, 1, tzinfo=UTC)


def patience(slept: list[float], waits_s: tuple[float, ...] = (1, 2, 4), **limits: float) -> rest.Patience:
    return rest.Patience(**{"read_s": 20, "total_s": 20, **limits}, waits_s=waits_s, sleep=slept.append)


@contextmanager
def opened(
    double: Double, table: str = "memory_turns", key: str = SECRET_KEY, slept: list[float] | None = None, **more: Any
) -> Iterator[rest.RestSource]:
    environ = {"SUPABASE_URL": double.url, "SUPABASE_KEY": key}
    chosen = more.pop("patience", None) or patience([] if slept is None else slept)
    with rest.open(table, environ, patience=chosen, **more) as source:
        yield source


def read(
    double: Double, until: datetime = UNTIL, after: datetime | None = None, **more: Any
) -> dict[str, dict[str, Any]]:
    with opened(double, **more) as source:
        table = pa.Table.from_batches(source.batches(after, until), ROWS)
    rows = {row["id"]: row for row in table.to_pylist()}
    assert len(rows) == len(table)
    return rows
