"""History is taken in: files anywhere, or a live table → data/raw/NAME/ with its manifest, under DVC.

Export files are copied as they are. Of everything else one snapshot is written, named by its content, so that
`dvc repro` reads the same rows for ever. The folder as a whole is what DVC tracks (data/raw/NAME.dvc), so that
nothing in it can be committed to git by mistake, and an edited or added file is a change that `dvc repro` sees.
"""

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from twin.bring.store import DIGITS, Brought, Wish, brought, known, stored, watched, write_part
from twin.errors import DataError
from twin.export.batches import batches
from twin.export.canonical import ROWS
from twin.export.manifest import ExportFile, Manifest, Snapshot, check_name
from twin.export.records import columns, unterminated
from twin.files import sha256_file, sha256_folder
from twin.survey import Survey

LIMITS: Final = {100: "the dashboard's SQL editor", 1000: "Supabase's REST"}
"""Rows that a default cuts at, without a word."""


def bring(paths: Sequence[Path], wish: Wish) -> Brought:
    """Take in files: copy exports, write a snapshot of dumps and account exports; whole or not at all.

    Raises:
        ConfigError: the name is not one a folder of data/raw/ may have, or a tool is missing.
        DataError: a file is not usable, or other data has the name.
        StorageError: the disk refused; what was there before is untouched.
    """
    check_name(wish.name, "--as")
    kinds = {kind_of(path) for path in paths}
    if kinds == {"export"}:
        return _copied(_distinct(paths), wish)
    if len(kinds) > 1:
        raise DataError(f"these are files of different kinds: {', '.join(sorted(kinds))}. Bring each kind by itself.")
    return _unpacked(kinds.pop(), _distinct(paths), wish)


def kind_of(path: Path) -> str:
    """Return what a file or folder is: export, dump, chatgpt or claude."""
    from twin.source import accounts, dump

    if path.is_dir() or path.name.lower().endswith((".json", ".zip")):
        account = accounts.kind(path)
        if account:
            return account
    return "dump" if dump.is_dump(path) else "export"


def _copied(files: Sequence[Path], wish: Wish) -> Brought:
    hashes = {path: sha256_file(path) for path in files if path.is_file()}
    survey, rows = Survey(), Counter[Path]()
    for path in files:
        for batch in watched(batches(path, wish.tzinfo), survey, wish, None):
            rows[path] += len(batch)
    manifest = Manifest(
        tuple(ExportFile(path.name, hashes[path], path.stat().st_size, rows[path]) for path in files),
        tuple(dict.fromkeys(column for path in files for column in columns(path))),
        zone=wish.zone,
    )
    notes = tuple(note for path in files for note in _notes(path, rows[path]))

    def fill(target: Path) -> Manifest:
        for path, file in zip(files, manifest.files, strict=True):
            shutil.copyfile(path, target / path.name)
            if sha256_file(target / path.name) != file.sha256:
                raise DataError(f"{path} changed while it was read. Run the same command again.")
        return manifest

    return stored(fill, survey, wish, notes, manifest)


def _notes(path: Path, rows: int) -> Iterator[str]:
    if unterminated(path):
        yield f"{path.name}: the last row has no line end, as if the file were cut; psql and pg_dump always write one"
    if rows in LIMITS:
        yield f"{path.name}: exactly {rows:,} rows, as many as {LIMITS[rows]} gives at once. Is that all?"


def _unpacked(kind: str, files: Sequence[Path], wish: Wish) -> Brought:
    from twin.source import reader

    table = wish.table if kind == "dump" else None
    digest = "-".join((sha256_folder if path.is_dir() else sha256_file)(path)[:DIGITS] for path in files)
    survey, left_out = Survey(), Counter[str]()
    there = known(wish.folder)
    if there and there.snapshot and (there.snapshot.kind, there.snapshot.place, there.snapshot.table) == (
        kind, digest, table,
    ):  # fmt: skip
        survey.read(wish.folder / file.name for file in there.files)
        return brought(wish, there, survey, False, ())
    read = reader(kind, wish.table, wish.tzinfo, left_out)

    def fill(target: Path) -> Manifest:
        made = [write_part(target, watched(read(path), survey, wish, None)) for path in files]
        until = survey.last.isoformat()
        snapshot = Snapshot(kind, digest, table, until, dict(sorted((+left_out).items())))
        return Manifest(tuple(made), tuple(ROWS.names), snapshot=snapshot)

    return stored(fill, survey, wish)


def _distinct(paths: Sequence[Path]) -> list[Path]:
    twice = [name for name, count in Counter(path.name for path in paths).items() if count > 1]
    if twice:
        raise DataError(f"two files are named {twice[0]}; in one folder they need two names. Rename one.")
    return list(paths)
