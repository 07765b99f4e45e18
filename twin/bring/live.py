"""A live table is taken in: Postgres or Supabase's REST → a snapshot in data/raw/NAME/, and what is new since."""

import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

from twin.bring.store import Brought, Wish, brought, stored, watched, write_part
from twin.errors import DataError
from twin.export.manifest import Manifest, Snapshot, check_name, read_manifest
from twin.source import Fingerprint, LiveSource
from twin.survey import Survey

LIVE: Final = ("postgres", "rest")


def bring_live(kind: str, wish: Wish, environ: Mapping[str, str]) -> Brought:
    """Take a snapshot of a live table, or with `wish.refresh` what is new since the last one.

    What is new is read alone where the rows of the last snapshot are still all there, counted; else everything is read
    again. Rows that were edited without a change of their number are not seen by a refresh.

    Raises:
        ConfigError: the source's credentials are missing from `environ`, or the name is not usable.
        DataError: the source could not be read whole, or has no rows.
        StorageError: the disk refused; what was there before is untouched.
    """
    check_name(wish.name, "--as")
    until, survey = datetime.now(UTC), Survey()
    old = _previous(kind, wish)
    with _opened(kind, wish, environ) as source:
        old = old if old and _continues(old, source) else None
        total, every = source.count(until), source.count(None)
        if not total:
            raise DataError(_no_rows(source.fingerprint))
        notes = [f"{every - total:,} rows are newer than the start, or have no time: left out"] if every > total else []
        notes += [source.note] if source.note else []
        if old and total == _rows(old):
            survey.read(wish.folder / file.name for file in old.files)
            return brought(wish, old, survey, False, (*notes, "nothing is new"))
        if old:
            notes.append(f"only what is new was read: {total - _rows(old):,} rows")
        fill = partial(_filled, source=source, survey=survey, wish=wish, old=old, until=until, total=total)
        return stored(fill, survey, wish, tuple(notes))


def _filled(
    folder: Path, *, source: LiveSource, survey: Survey, wish: Wish, old: Manifest | None, until: datetime, total: int
) -> Manifest:
    """Fill a folder with the parts of the last snapshot and one of what is new."""
    files = list(old.files) if old else []
    for file in files:
        shutil.copyfile(wish.folder / file.name, folder / file.name)
    survey.read(folder / file.name for file in files)
    after = datetime.fromisoformat(old.snapshot.until) if old and old.snapshot else None
    files.append(write_part(folder, watched(source.batches(after, until), survey, wish, total)))
    mark = source.fingerprint
    snapshot = Snapshot(mark.kind, mark.place, mark.table, until.isoformat(), {})
    return Manifest(tuple(files), mark.columns, snapshot=snapshot)


def _previous(kind: str, wish: Wish) -> Manifest | None:
    if not wish.refresh:
        return None
    name = f"data/raw/{wish.name}"
    if not wish.folder.exists():
        raise DataError(f"{name} is not there yet, so there is nothing to refresh. Run without --refresh.")
    old = read_manifest(wish.folder)
    if old.snapshot is None or old.snapshot.kind != kind:
        was = old.snapshot.kind if old.snapshot else "files"
        raise DataError(f"{name} was brought from {was}, not {kind}. Choose another name with --as.")
    return old


def _rows(manifest: Manifest) -> int:
    return sum(file.rows for file in manifest.files)


def _continues(old: Manifest, source: LiveSource) -> bool:
    was, now = old.snapshot, source.fingerprint
    if was is None or (was.place, was.table, old.columns) != (now.place, now.table, now.columns):
        return False
    return source.count(datetime.fromisoformat(was.until)) == _rows(old)


def _opened(kind: str, wish: Wish, environ: Mapping[str, str]) -> AbstractContextManager[LiveSource]:
    if kind == "postgres":
        from twin.source import postgres

        return postgres.open(wish.table, environ, wish.tzinfo, allow_row_security=wish.visible_rows_only)
    from twin.source import rest

    return rest.open(wish.table, environ, wish.tzinfo, allow_public_key=wish.visible_rows_only)


def _no_rows(source: Fingerprint) -> str:
    return (
        f"{source.kind}: {source.table} gave no rows. Row security hides rows from a role without a policy, and looks "
        "like an empty table: use the owner's connection or the service key; else check --table."
    )
