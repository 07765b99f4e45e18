"""Outputs of a run by their hashes: dvc.lock's md5 → bytes, from DVC's cache, whatever the working tree holds.

A folder of the working tree with that very md5 serves as well.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from twin.errors import DataError
from twin.identity import md5_path

Row = Mapping[str, Any]
Objects = Callable[[str], Path | None]
"""DVC's cache: md5 → the file that holds it, None if it is not there."""


def dvc_objects() -> Objects:
    """Open the cache of the DVC repository that the current folder lies in.

    Raises:
        DataError: there is none.
    """
    from dvc.exceptions import NotDvcRepoError
    from dvc.repo import Repo

    try:
        with Repo() as repo:
            cache = repo.cache.local
    except NotDvcRepoError as error:
        raise DataError(f"{Path.cwd()} is not in a DVC repository; go to the project's root.") from error

    def at(md5: str) -> Path | None:
        path = Path(cache.oid_to_path(md5))
        return path if path.is_file() else None

    return at


def stored_file(name: str, path: str, outs: Mapping[str, str], objects: Objects) -> bytes:
    """Return a stage's output that is one file, by the hash that dvc.lock has for it.

    Raises:
        DataError: it is nowhere on this machine, or damaged.
    """
    if path not in outs:
        raise DataError(f"{name}: dvc.lock has no {path}: finish the run with `dvc repro`.")
    found = objects(outs[path])
    if found is None:
        raise DataError(
            f"{name}: {path} ({outs[path]}) is not in DVC's cache. Bring it with `dvc fetch --all-commits {path}`, or "
            f"make it again: check {name} out and `dvc repro`."
        )
    return _whole(name, path, found, outs[path])


def _whole(name: str, path: str, found: Path, md5: str) -> bytes:
    data = found.read_bytes()
    if hashlib.md5(data).hexdigest() != md5:
        raise DataError(f"{name}: {path}: {found} is damaged. Delete it, then `dvc fetch` or `dvc repro`.")
    return data


def stored_bytes(name: str, path: str, outs: Mapping[str, str], objects: Objects) -> bytes:
    """Return a file of a stage's output folder, by the hash that dvc.lock has for the folder.

    Raises:
        DataError: it is nowhere on this machine, or damaged.
    """
    folder, _, file = path.rpartition("/")
    if folder not in outs:
        raise DataError(f"{name}: dvc.lock has no {folder}: finish the run with `dvc repro`.")
    listing = objects(outs[folder])
    if listing is not None:
        entries = {entry["relpath"]: entry["md5"] for entry in json.loads(listing.read_bytes())}
        if file not in entries:
            raise DataError(f"{name}: {folder} has no {file}. Make it again with `dvc repro`.")
        found = objects(entries[file])
        if found is not None:
            return _whole(name, path, found, entries[file])
    here = Path(folder)
    if here.is_dir() and md5_path(here) == outs[folder]:
        return (here / file).read_bytes()
    raise DataError(
        f"{name}: {folder} ({outs[folder]}) is not in DVC's cache. Bring it with `dvc fetch --all-commits {folder}` "
        f"(an experiment's with `dvc exp pull`, then `dvc pull`), or make it again: check {name} out and `dvc repro`."
    )


def stored_rows(name: str, path: str, outs: Mapping[str, str], objects: Objects) -> Iterator[Row]:
    """Yield the rows of a JSONL file of a stage's output folder.

    Raises:
        DataError: it is nowhere on this machine, damaged, or not JSON.
    """
    data = stored_bytes(name, path, outs, objects)
    for number, line in enumerate(data.decode("utf-8").split("\n"), 1):
        if line:
            try:
                yield json.loads(line)
            except json.JSONDecodeError as error:
                raise DataError(
                    f"{name}: {path}:{number}: not JSON ({error.msg}). Make it again with `dvc repro`."
                ) from error
