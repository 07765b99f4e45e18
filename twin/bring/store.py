"""A folder of data/raw/ appears whole, under DVC: what fills it, and a manifest → data/raw/NAME/, data/raw/NAME.dvc."""

import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from pathlib import Path
from typing import Final

import pyarrow as pa

from twin.errors import DataError
from twin.export.manifest import RAW, ExportFile, Manifest, read_manifest, write_manifest, zone_of
from twin.export.parquet import write_batches
from twin.files import sha256_file, staged_folder
from twin.survey import Survey

DIGITS: Final = 16  # of a sha256 that names a file or a place
Watch = Callable[[int, int | None], None]
"""Is told the rows read so far and the rows there are, if that is known."""


@dataclass(frozen=True)
class Wish:
    """What is to be brought, and how."""

    root: Path
    """The project."""
    name: str
    """Folder in data/raw/."""
    table: str = "memory_turns"
    """Of a dump or a live source: `table` or `schema.table`."""
    zone: str | None = None
    """Of times that name none."""
    force: bool = False
    """Replace other data of that name."""
    refresh: bool = False
    """Of a live source: take what is new."""
    visible_rows_only: bool = False
    """Of a live source: go on though row security may hide rows."""
    watch: Watch = field(default=lambda done, total: None)

    @property
    def folder(self) -> Path:
        """The folder in data/raw/."""
        return self.root / RAW / self.name

    @property
    def tzinfo(self) -> tzinfo | None:
        """The zone of times that name none."""
        return zone_of(self.zone) if self.zone else None


@dataclass(frozen=True)
class Brought:
    """What `bring` did."""

    folder: Path
    manifest: Manifest
    survey: Survey
    changed: bool
    """False when the same rows were there already."""
    notes: tuple[str, ...]
    """What the person should know of the data."""
    pointer: Path
    """The .dvc file that git has to know."""
    unfinished: str | None
    """What DVC or git refused, and how to finish by hand; None when all is done."""


def watched(
    rows: Iterable[pa.RecordBatch], survey: Survey, wish: Wish, total: int | None
) -> Iterator[pa.RecordBatch]:  # fmt: skip
    """Yield the rows on, counting them and telling whoever waits; `total` is their number if known."""
    for batch in survey.watched(rows):
        yield batch
        wish.watch(survey.rows, total)


def write_part(folder: Path, rows: Iterable[pa.RecordBatch]) -> ExportFile:
    """Write rows to a Parquet file named by its content."""
    path = folder / "turns.parquet"
    count = write_batches(path, rows)
    digest = sha256_file(path)
    named = path.rename(folder / f"turns-{digest[:DIGITS]}.parquet")
    return ExportFile(named.name, digest, named.stat().st_size, count)


def stored(
    fill: Callable[[Path], Manifest],
    survey: Survey,
    wish: Wish,
    notes: tuple[str, ...] = (),
    same_as: Manifest | None = None,
) -> Brought:
    """Let `fill` make the folder and say what is in it; keep the old one if it is `same_as`.

    Raises:
        DataError: other data has the name, or there are no rows.
        StorageError: the disk refused; what was there before is untouched.
    """
    if same_as and known(wish.folder) == same_as:
        return brought(wish, same_as, survey, False, notes)
    _check_free(wish)
    with staged_folder(wish.folder) as target:
        manifest = fill(target)
        if not survey.rows:
            raise DataError(f"{wish.name}: there are no rows in it. Look whether it is the right file.")
        write_manifest(target, manifest)
    return brought(wish, manifest, survey, True, notes)


def brought(wish: Wish, manifest: Manifest, survey: Survey, changed: bool, notes: tuple[str, ...]) -> Brought:
    """Put the folder under DVC and say what was brought."""
    pointer = wish.folder.with_name(f"{wish.name}.dvc")
    return Brought(wish.folder, manifest, survey, changed, notes, pointer, _track(wish.folder, wish.root))


def known(folder: Path) -> Manifest | None:
    """Return the manifest of a folder whose files are those it names, else None."""
    if not folder.exists():
        return None
    try:
        there = read_manifest(folder)
    except DataError:
        return None
    whole = all(sha256_file(folder / file.name) == file.sha256 for file in there.files)
    return there if whole else None


def _check_free(wish: Wish) -> None:
    if not wish.folder.exists():
        return
    name = wish.folder.relative_to(wish.root)
    if _run(["git", "ls-files", str(name)], wish.root).stdout:
        raise DataError(f"{name} is part of the repository itself. Choose another name with --as.")
    if not (wish.force or wish.refresh):
        raise DataError(
            f"{name} holds other data. Choose another name with --as, replace it with --force, or add what is new in "
            "a live table with --refresh."
        )


def _track(folder: Path, root: Path) -> str | None:
    """Put the folder under DVC and its pointer under git's eyes; return what is left to do by hand."""
    name = folder.relative_to(root).as_posix()
    steps = (
        ([sys.executable, "-m", "dvc", "add", "--quiet", name], f"dvc add {name}"),
        (["git", "add", f"{name}.dvc"], f"git add {name}.dvc"),
    )
    if not (root / ".dvc").is_dir():
        return f"{root} is not a DVC repository. Finish in one with: {' && '.join(by_hand for _, by_hand in steps)}"
    for place, (command, by_hand) in enumerate(steps):
        done = _run(command, root)
        if done.returncode:
            left = " && ".join(hand for _, hand in steps[place:])
            reason = "".join((done.stderr.strip() or done.stdout.strip()).splitlines()[-1:])
            return f"`{by_hand}` failed: {reason or f'status {done.returncode}'}. Finish with: {left}"
    return None


def _run(command: Sequence[str], root: Path) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        return subprocess.CompletedProcess(command, 127, "", f"{error.filename} is not installed")


def project_root(start: Path) -> Path:
    """Return the nearest folder from `start` upwards that DVC knows as a repository, or `start`."""
    return next((folder for folder in (start, *start.parents) if (folder / ".dvc").is_dir()), start)
