"""Is what was to be forgotten gone? data/raw, dvc.lock and every file downstream → what still holds it.

Two proofs. By content: no id, no line and no hash of a forgotten row stands in any file that the pipeline wrote. By
descent: every file is the one that dvc.lock says was made from its inputs, and `ingest` ran with this list.
"""

import hashlib
import html
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final

import pyarrow.parquet as pq
import yaml

from twin.config.ingest import IngestConfig
from twin.config.load import PARAMS, read
from twin.errors import DataError
from twin.export.batches import batches
from twin.export.canonical import EPOCH
from twin.export.manifest import RAW, Manifest, read_manifest
from twin.forget import Forget
from twin.identity import md5_path
from twin.text import neutralise

LOCK: Final = Path("dvc.lock")
PIPELINE: Final = Path("dvc.yaml")
LINE_CHARACTERS: Final = 20
"""Shorter lines prove nothing: anybody may say them."""
DOWNSTREAM: Final = ("data", "models", "metrics", ".work")
MICROSECOND: Final = timedelta(microseconds=1)
TAG: Final = re.compile(r"<[^>]*>")
TOKEN: Final = re.compile(r"[\w-]{8,}")


@dataclass
class Traces:
    """What a forgotten row would leave behind."""

    rows: int = 0
    conversations: set[str] = field(default_factory=set)
    """Those of which nothing is kept."""
    names: set[str] = field(default_factory=set)
    """Ids of rows and of those conversations, and sha256 of texts."""
    lines: set[str] = field(default_factory=set)
    """Lines that no kept row has, stripped, in lower case."""

    def in_text(self, text: str) -> bool:
        """Say whether a trace stands in a text."""
        return not self.names.isdisjoint(TOKEN.findall(text)) or any(line in self.lines for line in _lines(text))


def traces(root: Path, config: IngestConfig) -> Traces:
    """Return what the rows that `config` says to forget would leave behind.

    Raises:
        DataError: the export is missing.
    """
    forget, found = Forget(config.forget), Traces()
    folder = root / RAW / config.source
    manifest = read_manifest(folder)
    kept: set[str] = set()
    for id_, conversation, text, gone in _rows(folder, manifest, forget):
        found.rows += gone
        if gone and conversation:
            found.conversations.add(conversation)
        if not gone:
            kept.add(conversation)
        if gone:
            found.names |= {id_, hashlib.sha256(text.encode()).hexdigest()}
            found.lines |= set(_lines(neutralise(text)))
    found.conversations -= kept
    found.names |= found.conversations
    if found.lines:
        for _, _, text, gone in _rows(folder, manifest, forget):
            if not gone:
                found.lines.difference_update(_lines(neutralise(text)))
                found.names.discard(hashlib.sha256(text.encode()).hexdigest())
    return found


def _rows(folder: Path, manifest: Manifest, forget: Forget) -> Iterator[tuple[str, str, str, bool]]:
    names = ("id", "conversation_id", "author", "content")
    for file in manifest.files:
        for batch in batches(folder / file.name, manifest.tzinfo):
            columns = [batch.column(name).to_pylist() for name in names]
            moments = batch.column("created_at").cast("int64").to_pylist()
            for id_, conversation, author, text, moment in zip(*columns, moments, strict=True):
                yield id_, conversation or "", text, forget.has(conversation, author, EPOCH + moment * MICROSECOND)


def remains(root: Path, found: Traces) -> list[str]:
    """Return the files downstream, relative to `root`, that still hold a trace."""
    raw = root / RAW
    files = [
        path
        for folder in DOWNSTREAM
        for path in sorted((root / folder).rglob("*"))
        if path.is_file() and not path.is_relative_to(raw)
    ]
    return [path.relative_to(root).as_posix() for path in files if any(map(found.in_text, _texts(path)))]


def broken_descent(root: Path) -> list[str]:
    """Return where a file is not what dvc.lock says, a stage never ran, or `ingest` ran with another list to forget."""
    if not (root / LOCK).exists():
        return [f"{LOCK} is missing: nothing has run yet"]
    locked = (yaml.safe_load((root / LOCK).read_text(encoding="utf-8")) or {}).get("stages", {})
    named = yaml.safe_load((root / PIPELINE).read_text(encoding="utf-8"))["stages"]
    faults = [f"{LOCK} knows nothing of {stage}; run `dvc repro`" for stage in named if stage not in locked]
    if "ingest" in locked and locked["ingest"]["params"]["params.yaml"]["ingest"] != read(root / PARAMS)["ingest"]:
        faults.append("ingest last ran with other parameters; run `dvc repro`")
    for stage, entry in locked.items():
        if stage == "config":
            continue
        for path in (*entry.get("deps", ()), *entry.get("outs", ())):
            try:
                same = md5_path(root / path["path"]) == path["md5"]
            except DataError:
                same = False
            if not same:
                faults.append(f"{path['path']} is not the one that {LOCK} has for {stage}; run `dvc repro`")
    return list(dict.fromkeys(faults))


def _texts(path: Path) -> Iterable[str]:
    if path.suffix == ".parquet":
        for batch in pq.ParquetFile(path).iter_batches():
            for column in batch.columns:
                yield from (value for value in column.to_pylist() if isinstance(value, str))
        return
    if path.suffix in (".safetensors", ".pyc"):
        return
    if path.suffix == ".html":
        yield html.unescape(TAG.sub("\n", path.read_bytes().decode("utf-8", "replace")))
        return
    # JSON has a line end as \n, so that the lines of a text within are told apart.
    text = path.read_bytes().decode("utf-8", "replace")
    yield text.replace("\\n", "\n").replace('\\"', '"').replace('"', "\n")


def _lines(text: str) -> Iterator[str]:
    for line in text.replace('"', "\n").splitlines():
        if len(line.strip()) >= LINE_CHARACTERS:
            yield line.strip().lower()
