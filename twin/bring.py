"""An export is taken in: files anywhere → data/raw/NAME/ with its manifest, under DVC.

The folder as a whole is what DVC tracks (data/raw/NAME.dvc), so that nothing in it can be committed to git by
mistake, and an edited or added file is a change that `dvc repro` sees.
"""

import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from twin.errors import DataError
from twin.export.manifest import RAW, ExportFile, Manifest, check_name, read_manifest, write_manifest
from twin.export.records import columns
from twin.export.rows import Row, read
from twin.files import sha256_file, staged_folder
from twin.scrub import Scrubber


@dataclass(frozen=True)
class Survey:
    """What the rows of an export look like; counts only, no content."""

    roles: Counter[str]
    conversations: int
    first: datetime
    last: datetime
    scrubbed: Counter[str]
    """Secrets and e-mail addresses that ingest will replace, by kind."""


@dataclass(frozen=True)
class Brought:
    """What `bring` did."""

    folder: Path
    manifest: Manifest
    survey: Survey
    changed: bool
    """False when the same files were there already."""
    pointer: Path
    """The .dvc file that git has to know."""
    unfinished: str | None
    """What DVC or git refused, and how to finish by hand; None when all is done."""


def bring(paths: Sequence[Path], name: str, root: Path, force: bool = False) -> Brought:
    """Copy export files into data/raw/NAME/ below `root`, whole or not at all, and put the folder under DVC.

    Raises:
        ConfigError: the name is not one a folder of data/raw/ may have.
        DataError: a file is not usable, or other data has the name and `force` is False.
        StorageError: the disk refused; what was there before is untouched.
    """
    check_name(name, "--as")
    folder = root / RAW / name
    files = _distinct(paths)
    hashes = {path: sha256_file(path) for path in files if path.is_file()}
    rows = {path: list(read(path)) for path in files}
    manifest = Manifest(
        tuple(ExportFile(path.name, hashes[path], path.stat().st_size, len(rows[path])) for path in files),
        tuple(dict.fromkeys(column for path in files for column in columns(path))),
    )
    survey = _survey([row for path in files for row in rows[path]])
    changed = not _same(folder, manifest)
    if changed:
        _check_free(folder, root, force)
        _copy(files, folder, manifest)
    return Brought(folder, manifest, survey, changed, folder.with_name(f"{name}.dvc"), _track(folder, root))


def _distinct(paths: Sequence[Path]) -> list[Path]:
    twice = [name for name, count in Counter(path.name for path in paths).items() if count > 1]
    if twice:
        raise DataError(f"two files are named {twice[0]}; in one folder they need two names. Rename one.")
    return list(paths)


def _survey(rows: Sequence[Row]) -> Survey:
    scrubbed: Counter[str] = Counter()
    scrubber = Scrubber(scrubbed)
    for row in rows:
        scrubber.scrub(row.content)
    return Survey(
        roles=Counter(row.role for row in rows),
        conversations=len({row.conversation_id for row in rows}),
        first=min(row.created_at for row in rows),
        last=max(row.created_at for row in rows),
        scrubbed=scrubbed,
    )


def _same(folder: Path, manifest: Manifest) -> bool:
    if not folder.exists():
        return False
    try:
        there = read_manifest(folder)
    except DataError:
        return False
    return there == manifest and all(sha256_file(folder / file.name) == file.sha256 for file in manifest.files)


def _check_free(folder: Path, root: Path, force: bool) -> None:
    if not folder.exists():
        return
    name = folder.relative_to(root)
    if _run(["git", "ls-files", str(name)], root).stdout:
        raise DataError(f"{name} is part of the repository itself. Choose another name with --as.")
    if not force:
        raise DataError(f"{name} holds other data. Choose another name with --as, or replace it with --force.")


def _copy(files: Iterable[Path], folder: Path, manifest: Manifest) -> None:
    with staged_folder(folder) as part:
        for path, file in zip(files, manifest.files, strict=True):
            shutil.copyfile(path, part / path.name)
            if sha256_file(part / path.name) != file.sha256:
                raise DataError(f"{path} changed while it was read. Run the same command again.")
        write_manifest(part, manifest)


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
