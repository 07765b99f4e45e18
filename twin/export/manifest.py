"""manifest.json of data/raw/NAME/: which export files the folder holds, and their hashes when they were brought."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import tzinfo
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from twin.errors import ConfigError, DataError
from twin.export.columns import are_of_turns
from twin.export.records import columns, is_export
from twin.files import read_json, sha256_file, write_json
from twin.scrub import shown

MANIFEST: Final = "manifest.json"
RAW: Final = Path("data/raw")
NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]*")


@dataclass(frozen=True)
class ExportFile:
    """One export file as it was brought."""

    name: str
    sha256: str
    bytes: int
    rows: int


@dataclass(frozen=True)
class Snapshot:
    """Where and when rows were read that are no copy of export files."""

    kind: str
    """dump, chatgpt, claude, postgres or rest."""
    place: str
    """sha256 of the source's address (live) or of its file, its first 16 hex digits at least."""
    table: str | None
    until: str
    """No row is later, ISO 8601 in UTC: the start of reading for a live table, the latest row for a file."""
    left_out: dict[str, int]
    """What of the source is no row, by reason."""


@dataclass(frozen=True)
class Manifest:
    """What a folder of data/raw/ holds."""

    files: tuple[ExportFile, ...]
    columns: tuple[str, ...]
    """Every column of the files, as they name them."""
    synthetic: bool = False
    """True for data that a program made, such as the demo's."""
    zone: str | None = None
    """Zone of times that name none, as `twin bring --zone` said; None if there are no such times."""
    snapshot: Snapshot | None = None
    """Where and when the rows were read, if not copied from export files."""

    @property
    def tzinfo(self) -> tzinfo | None:
        """The zone of times that name none."""
        return zone_of(self.zone) if self.zone else None


def zone_of(name: str) -> tzinfo:
    """Return a time zone by its name in the IANA database.

    Raises:
        ConfigError: there is none of that name.
    """
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        raise ConfigError(f"--zone {shown(name)} is no time zone. Name one such as UTC or Europe/Berlin.") from None


def check_name(name: str, place: str) -> None:
    """Check that `name` may be a folder of data/raw/.

    Raises:
        ConfigError: it may not.
    """
    if not NAME.fullmatch(name):
        raise ConfigError(
            f"{place} is {json.dumps(name)}; use lower-case letters, digits, - and _, a letter or digit first."
        )


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write manifest.json into `folder`."""
    value = asdict(manifest)
    write_json(folder / MANIFEST, {key: one for key, one in value.items() if one is not None})


def read_manifest(folder: Path) -> Manifest:
    """Read manifest.json of `folder` and check that the folder holds exactly the files it names.

    Raises:
        DataError: the folder or manifest is missing or malformed, or a file is missing or is not in it.
    """
    if not (folder / MANIFEST).is_file():
        raise DataError(_nothing_there(folder))
    value = read_json(folder / MANIFEST)
    try:
        manifest = _parse(value)
    except (KeyError, TypeError, ValueError):
        raise DataError(
            f"{folder / MANIFEST} is not a manifest. Bring the export again: "
            f"`twin bring PATH --as {folder.name} --force`."
        ) from None
    _check_files(folder, {file.name for file in manifest.files})
    return manifest


def edited(folder: Path, manifest: Manifest) -> bool:
    """Say whether a file differs from what was brought."""
    return any(sha256_file(folder / file.name) != file.sha256 for file in manifest.files)


def _parse(value: Mapping[str, Any]) -> Manifest:
    files = tuple(
        ExportFile(_plain(file["name"]), str(file["sha256"]), int(file["bytes"]), int(file["rows"]))
        for file in value["files"]
    )
    if not files:
        raise ValueError("no files")
    snapshot = Snapshot(**value["snapshot"]) if value.get("snapshot") else None
    zone = value.get("zone")
    return Manifest(
        files, tuple(map(str, value["columns"])), bool(value.get("synthetic", False)),
        None if zone is None else str(zone), snapshot,
    )  # fmt: skip


def _plain(name: str) -> str:
    if Path(name).name != name:
        raise ValueError("a file of the manifest lies in its folder")
    return name


def _nothing_there(folder: Path) -> str:
    others = sorted(path.parent.name for path in folder.parent.glob(f"*/{MANIFEST}"))
    name = folder.name
    return (
        f"{folder / MANIFEST} is missing. Bring an export with `twin bring PATH --as {name}`. If you did: "
        f"`dvc checkout {folder}.dvc` brings lost files back, and a --temp run sees them once git knows "
        f"{folder}.dvc (`git add` it and commit). Or choose what is there, "
        f"-S ingest.source=…: {', '.join(others) or 'nothing yet'}."
    )


def _check_files(folder: Path, named: set[str]) -> None:
    there = {path.name for path in folder.iterdir()}
    missing = sorted(named - there)
    extra = sorted(name for name in there - named - {MANIFEST} if _may_be_turns(folder / name))
    if missing:
        raise DataError(
            f"{folder / missing[0]} is missing, though {MANIFEST} names it. Bring it back with "
            f"`dvc checkout {folder}.dvc` (or `git checkout {folder}`), or bring the export again with --force."
        )
    if extra:
        raise DataError(
            f"{folder / extra[0]} is not in {MANIFEST}, so it would not be read. Remove it, or bring all files "
            f"together: `twin bring PATH PATH … --as {folder.name} --force`."
        )


def _may_be_turns(path: Path) -> bool:
    """A README, or a table of something else, may lie beside the export; what could be turns may not."""
    try:
        return is_export(path) and are_of_turns(columns(path))
    except DataError:
        return True
