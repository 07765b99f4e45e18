"""`twin bring PATH… --as NAME`: an export is copied into data/raw/NAME/, put under DVC and described."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from twin.bring import Brought, project_root
from twin.bring import bring as bring_in
from twin.config.ingest import IngestConfig
from twin.config.load import PARAMS, load
from twin.export.columns import MEANING
from twin.export.roles import counts_text, override


def bring(
    paths: Annotated[list[Path], typer.Argument(help="CSV or JSONL exports, plain or .gz.", show_default=False)],
    name: Annotated[str, typer.Option("--as", help="Folder in data/raw/: lower-case letters, digits, - and _.")],
    force: Annotated[bool, typer.Option("--force", help="Replace other data of that name.")] = False,
) -> None:
    """Take in an export: copy it to data/raw/NAME/, put it under DVC, and say what is in it."""
    root = project_root(Path.cwd())
    brought = bring_in(paths, name, root, force)
    for line in report(brought, root, _known_roles(root)):
        typer.echo(line)
    if brought.unfinished:
        raise typer.Exit(1)


def report(brought: Brought, root: Path, known: Mapping[str, str]) -> list[str]:
    """Return the lines that `twin bring` prints; `known` is the role map of params.yaml."""
    survey, manifest, name = brought.survey, brought.manifest, brought.folder.name
    used = [column for column in manifest.columns if column.strip().lower() in MEANING]
    unused = [column for column in manifest.columns if column not in used]
    scrubbed = ", ".join(f"{kind} {count:,}" for kind, count in sorted(survey.scrubbed.items())) or "none found"
    lines = [
        f"{brought.folder.relative_to(root)}: {'written' if brought.changed else 'already there, unchanged'}",
        f"rows           {sum(file.rows for file in manifest.files):,}",
        f"columns        {', '.join(used)}" + (f"; not used: {', '.join(unused)}" if unused else ""),
        f"conversations  {survey.conversations:,}",
        f"roles          {counts_text(survey.roles)}",
        f"time           {survey.first:%Y-%m-%d %H:%M} to {survey.last:%Y-%m-%d %H:%M} UTC",
        f"to scrub       {scrubbed} (names and telephone numbers are not looked for)",
    ]
    if brought.unfinished:
        return [*lines, f"NOT FINISHED   {brought.unfinished}"]
    pointer = brought.pointer.relative_to(root)
    lines.append(f"keep it        git commit -m 'Bring {name}' {pointer}")
    if (root / "conf/ingest" / f"{name}.yaml").exists():
        return [*lines, f"next           dvc exp run -S ingest={name}"]
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
