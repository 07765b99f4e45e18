"""A live table becomes a snapshot once; a refresh takes only what is new, and reads all again when in doubt."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from tests.exports import batches, row
from twin.bring import live
from twin.bring.live import bring_live
from twin.bring.store import Brought, Wish
from twin.errors import DataError, StorageError
from twin.export.batches import batches as read
from twin.export.manifest import read_manifest
from twin.export.rows import Row
from twin.files import sha256_file
from twin.source import Fingerprint

MARK = Fingerprint("postgres", "0123456789abcdef", "public.memory_turns", ("id", "content_text", "embedding"))


@dataclass
class Table:
    """A table in memory that stands for a live one; says which windows were read."""

    rows: list[Row]
    fingerprint: Fingerprint = MARK
    windows: list[datetime | None] = field(default_factory=list)
    fault: Exception | None = None
    note: str = ""

    def count(self, until: datetime | None) -> int:
        return sum(until is None or one.created_at <= until for one in self.rows)

    def batches(self, after: datetime | None, until: datetime) -> Iterator[pa.RecordBatch]:
        self.windows.append(after)
        inside = [one for one in self.rows if (after is None or after < one.created_at) and one.created_at <= until]
        yield from batches(inside)
        if self.fault:
            raise self.fault


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Table:
    made = Table([row(str(n), ["assistant", "user"][n % 2], minute=n) for n in range(7)])

    @contextmanager
    def opened(*_: object) -> Iterator[Table]:
        yield made

    monkeypatch.setattr(live, "_opened", opened)
    return made


def bring(root: Path, *, refresh: bool = False, force: bool = False, kind: str = "postgres") -> Brought:
    return bring_live(kind, Wish(root, "live", refresh=refresh, force=force), {})


def ids(brought: Brought) -> list[str]:
    files = [brought.folder / file.name for file in read_manifest(brought.folder).files]
    return [one for path in files for batch in read(path) for one in batch.column("id").to_pylist()]


def later(rows: Sequence[Row]) -> list[Row]:
    """Rows written after the last snapshot and before the next."""
    return [replace_time(one, datetime.now(UTC)) for one in rows]


def replace_time(one: Row, moment: datetime) -> Row:
    return one._replace(created_at=moment)


def test_a_snapshot_is_named_by_its_content_and_says_where_it_is_from(tmp_path: Path, table: Table) -> None:
    brought = bring(tmp_path)
    (file,) = brought.manifest.files
    assert file.name == f"turns-{sha256_file(brought.folder / file.name)[:16]}.parquet"
    assert (file.rows, ids(brought)) == (7, [str(n) for n in range(7)])
    assert brought.manifest.snapshot
    assert (brought.manifest.snapshot.kind, brought.manifest.snapshot.place) == ("postgres", MARK.place)
    assert brought.manifest.columns == MARK.columns


def test_a_refresh_reads_only_what_is_new(tmp_path: Path, table: Table) -> None:
    first = bring(tmp_path)
    table.rows += later([row("7", "user")])
    second = bring(tmp_path, refresh=True)
    assert [file.rows for file in second.manifest.files] == [7, 1]
    assert second.manifest.files[0] == first.manifest.files[0]
    assert first.manifest.snapshot
    assert table.windows == [None, datetime.fromisoformat(first.manifest.snapshot.until)]
    assert ids(second) == [str(n) for n in range(8)]
    assert second.survey.rows == 8


def test_a_refresh_without_anything_new_changes_nothing(tmp_path: Path, table: Table) -> None:
    first = bring(tmp_path)
    again = bring(tmp_path, refresh=True)
    assert (again.changed, again.manifest) == (False, first.manifest)
    assert "nothing is new" in again.notes
    assert len(table.windows) == 1


@pytest.mark.parametrize("change", ["deleted", "late", "other columns"])
def test_what_cannot_be_added_to_is_read_again(tmp_path: Path, table: Table, change: str) -> None:
    bring(tmp_path)
    if change == "deleted":
        del table.rows[3]
    elif change == "late":
        table.rows.append(row("8", "user", minute=1))
    else:
        table.fingerprint = replace(MARK, columns=("id",))
        table.rows += later([row("9", "user")])
    second = bring(tmp_path, refresh=True)
    assert table.windows == [None, None]
    assert sorted(ids(second)) == sorted(one.id for one in table.rows)
    assert len(second.manifest.files) == 1


def test_rows_beyond_the_start_are_told_and_not_taken(tmp_path: Path, table: Table) -> None:
    table.rows.append(replace_time(row("8", "user"), datetime.now(UTC) + timedelta(hours=1)))
    brought = bring(tmp_path)
    assert brought.notes == ("1 rows are newer than the start, or have no time: left out",)
    assert len(ids(brought)) == 7


def test_what_a_source_does_not_show_is_told(tmp_path: Path, table: Table) -> None:
    table.note = "rows hidden by row security are missing"
    assert bring(tmp_path).notes == (table.note,)


def test_an_empty_table_is_an_error_that_speaks_of_row_security(tmp_path: Path, table: Table) -> None:
    table.rows.clear()
    with pytest.raises(DataError, match=r"public\.memory_turns gave no rows\. Row security hides"):
        bring(tmp_path)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("fault", [DataError("the connection broke"), StorageError(28, "full")])
def test_a_reading_that_breaks_leaves_what_was_there(tmp_path: Path, table: Table, fault: Exception) -> None:
    first = bring(tmp_path)
    table.rows += later([row("7", "user")])
    table.fault = fault
    with pytest.raises(type(fault), match="broke|full"):
        bring(tmp_path, refresh=True)
    assert read_manifest(first.folder) == first.manifest
    assert [path.name for path in (tmp_path / "data/raw").iterdir()] == ["live"]


def test_a_refresh_is_of_the_same_source(tmp_path: Path, table: Table) -> None:
    with pytest.raises(DataError, match=r"data/raw/live is not there yet, so there is nothing to refresh"):
        bring(tmp_path, refresh=True)
    bring(tmp_path)
    with pytest.raises(DataError, match=r"data/raw/live was brought from postgres, not rest"):
        bring(tmp_path, refresh=True, kind="rest")
    with pytest.raises(DataError, match=r"data/raw/live holds other data\. .* --refresh"):
        bring(tmp_path)
