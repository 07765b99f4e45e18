"""`twin forget`: what ingest.forget takes out of the export; `--check` proves that nothing of it is left downstream."""

import shutil
from pathlib import Path
from typing import Annotated

import typer

from twin.bring.store import project_root
from twin.config.ingest import IngestConfig
from twin.config.load import PARAMS, load
from twin.embedder.cache import FOLDER
from twin.errors import ProvenanceError
from twin.forget import Forget
from twin.forgotten import broken_descent, remains, traces

WHERE_ELSE = (
    "data/raw still holds them: bring an export without them. Older runs do too: `dvc exp remove -A`, then `dvc gc -w` "
    "(and -c for a remote)."
)


def forget(
    check: Annotated[bool, typer.Option("--check", help="Fail unless every trace downstream is gone.")] = False,
) -> None:
    """Say what ingest.forget removes: conversations, authors, dates; with --check, prove that it is gone.

    Name them in conf/ingest/standard.yaml, forget: {conversations: [ID], authors: [NAME], dates: [FIRST/LAST]}, then
    `dvc repro`. The proof is by content (no id, line or hash of a forgotten row in any file downstream) and by descent
    (every file is the one that dvc.lock says was made from its inputs). The cache of states, where a vector does not
    tell whose text it is of, is emptied: what augment needs of it is made anew.
    """
    root = project_root(Path.cwd())
    config = load(IngestConfig, root / PARAMS)
    if not Forget(config.forget):
        typer.echo("nothing is to be forgotten: ingest.forget is empty")
        return
    found = traces(root, config)
    whole = f", {len(found.conversations):,} conversations as a whole" if found.conversations else ""
    typer.echo(f"to forget      {found.rows:,} rows of data/raw/{config.source}{whole}")
    if not check:
        typer.echo("next           dvc repro && twin forget --check")
        return
    faults = [f"{path} still holds a trace" for path in remains(root, found)] + broken_descent(root)
    if faults:
        raise ProvenanceError("not forgotten: " + "; ".join(faults))
    typer.echo(
        "gone           no id, line or hash of them is left downstream, and every file descends from what is kept"
    )
    if (root / FOLDER).exists():
        shutil.rmtree(root / FOLDER)
        typer.echo(f"emptied        {FOLDER}, a cache of states in which theirs may have been")
    typer.echo(f"elsewhere      {WHERE_ELSE}")
