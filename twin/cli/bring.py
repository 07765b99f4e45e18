"""`twin bring SOURCE… --as NAME`: history from files or a live table is taken into data/raw/NAME/ and described."""

import glob
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from twin.bring import bring as bring_files
from twin.bring import kind_of
from twin.bring.live import LIVE, bring_live
from twin.bring.store import Brought, Wish, project_root
from twin.config.ingest import IngestConfig
from twin.config.load import PARAMS, load
from twin.errors import ConfigError
from twin.export.columns import MEANING
from twin.export.manifest import RAW, read_manifest
from twin.export.roles import counts_text, override
from twin.progress import Eta, Progress

FILES_NAME = "memory_turns"


def bring(  # noqa: PLR0917
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            help="Export files or globs (CSV, JSONL, JSON, Parquet; .gz, .zst), an SQL dump, an account export of "
            "ChatGPT or Claude; or `postgres` or `rest` for the live table.",
            show_default=False,
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--as", help="Folder in data/raw/; by default memory_turns, or the kind of source."),
    ] = None,
    table: Annotated[str, typer.Option(help="Table of a dump or a live source, with or without its schema.")] = (
        FILES_NAME
    ),
    zone: Annotated[str | None, typer.Option(help="Zone of times that name none, such as Europe/Berlin.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace other data of that name.")] = False,
    refresh: Annotated[bool, typer.Option("--refresh", help="Live table: add what is new since last time.")] = False,
    visible_rows_only: Annotated[
        bool, typer.Option("--visible-rows-only", help="Live table: go on though row security may hide rows.")
    ] = False,
) -> None:
    """Take in history: files are copied, everything else becomes a snapshot, in data/raw/NAME/ under DVC.

    Credentials come from the environment: DATABASE_URL (or PGHOST, PGUSER, PGPASSWORD) for postgres, SUPABASE_URL and
    SUPABASE_KEY for rest. They are written nowhere.
    """
    root = project_root(Path.cwd())
    live, paths = _wanted(sources or [], name, refresh, root)
    known = name or live or _named(paths)
    wish = Wish(root, known, table, zone, force, refresh, visible_rows_only, _Watch())
    brought = bring_live(live, wish, os.environ) if live else bring_files(paths, wish)
    for line in report(brought, root, _known_roles(root)):
        typer.echo(line)
    if brought.unfinished:
        raise typer.Exit(1)


def _wanted(sources: Sequence[str], name: str | None, refresh: bool, root: Path) -> tuple[str | None, list[Path]]:
    """Return the live source, or the files."""
    if not sources and refresh and name:
        snapshot = read_manifest(root / RAW / name).snapshot
        if snapshot and snapshot.kind in LIVE:
            return snapshot.kind, []
    if not sources:
        raise ConfigError("name what to bring: export files, or postgres, or rest. `twin bring --help` shows more.")
    live = [source for source in sources if source in LIVE]
    if live and len(sources) > 1:
        raise ConfigError(f"{live[0]} is a source by itself; bring it alone, and the others under another name.")
    if not live and refresh:
        raise ConfigError("--refresh is for a live table; bring newer files with --force.")
    return (live[0], []) if live else (None, [path for source in sources for path in _paths(source)])


def _paths(source: str) -> list[Path]:
    path = Path(source)
    if path.exists() or not glob.has_magic(source):
        return [path]
    found = sorted(map(Path, glob.glob(source, recursive=True)))  # noqa: PTH207 (absolute patterns too)
    if not found:
        raise ConfigError(f"no file is like {source}. Check the path.")
    return found


def _named(paths: Sequence[Path]) -> str:
    kind = kind_of(paths[0])
    return FILES_NAME if kind == "export" else kind


class _Watch:
    """Shows rows as they come, with the time left where the number of rows is known."""

    def __init__(self) -> None:
        self._progress = Progress()
        self._eta: Eta | None = None

    def __call__(self, done: int, total: int | None) -> None:
        if total is None:
            self._progress.show(f"{done:,} rows")
            return
        self._eta = self._eta or Eta(total)
        self._progress.show(f"{done:,} of {total:,} rows, {self._eta.left(done)} left")


def report(brought: Brought, root: Path, known: Mapping[str, str]) -> list[str]:
    """Return the lines that `twin bring` prints; `known` is the role map of params.yaml."""
    survey, manifest, name = brought.survey, brought.manifest, brought.folder.name
    used = [column for column in manifest.columns if column.strip().lower() in MEANING]
    unused = [column for column in manifest.columns if column not in used]
    scrubbed = ", ".join(f"{kind} {count:,}" for kind, count in sorted(survey.scrubbed.items())) or "none found"
    lines = [
        f"{brought.folder.relative_to(root)}: {'written' if brought.changed else 'already there, unchanged'}",
        f"rows           {survey.rows:,}",
        f"columns        {', '.join(used)}" + (f"; not used: {', '.join(unused)}" if unused else ""),
        f"conversations  {survey.conversations:,}",
        f"roles          {counts_text(survey.roles)}",
    ]
    if survey.authors:
        lines.append(f"authors        {counts_text(survey.authors)}")
    lines += [
        f"time           {survey.first:%Y-%m-%d %H:%M} to {survey.last:%Y-%m-%d %H:%M} UTC",
        f"to scrub       {scrubbed} (names are not looked for, nor telephone numbers without ingest.phone_region)",
    ]
    if survey.damaged:
        what = ", ".join(f"{reason} {count:,}" for reason, count in sorted(survey.damaged.items()))
        lines.append(f"DAMAGED        {what}: ingest will stop there; export anew, or -S ingest.damaged=drop")
    if manifest.snapshot and manifest.snapshot.left_out:
        left = ", ".join(f"{reason} {count:,}" for reason, count in manifest.snapshot.left_out.items())
        lines.append(f"no rows        {left}")
    lines += [f"note           {note}" for note in brought.notes]
    if brought.unfinished:
        return [*lines, f"NOT FINISHED   {brought.unfinished}"]
    pointer = brought.pointer.relative_to(root)
    lines.append(f"keep it        git commit -m 'Bring {name}' {pointer}")
    if (root / "conf/ingest/source" / f"{name}.yaml").exists():
        return [*lines, f"next           dvc exp run -S ingest/source={name}"]
    return lines + _next(name, survey.roles, known)


def _next(name: str, roles: Mapping[str, int], known: Mapping[str, str]) -> list[str]:
    unknown = [role for role in roles if role not in known]
    options = [override(role, "partner", known=False) for role in unknown]
    typed = " ".join(["dvc exp run", f"-S ingest.source={name}", *(option for option in options if option[0] == "-")])
    lines = [f"next           {typed}"]
    if unknown:
        lines.append(
            "               each role is person (the voice to learn), partner or drop; here partner is a guess"
        )
    return lines + [f"               and {option}" for option in options if option[0] != "-"]


def _known_roles(root: Path) -> dict[str, str]:
    if not (root / PARAMS).exists():
        return {}
    return {role.lower(): speaker.value for role, speaker in load(IngestConfig, root / PARAMS).roles.items()}
