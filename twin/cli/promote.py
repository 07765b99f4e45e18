"""`twin promote`: what was decided and why; `--verify` judges the stored replies anew."""

from pathlib import Path
from typing import Annotated, Final

import typer

from twin.bring.store import project_root
from twin.errors import ProvenanceError
from twin.files import read_json
from twin.verify import differences

DECISION: Final = Path("metrics/decision.json")
STATUS: Final = {"PROMOTE": 0, "HOLD": 10, "REJECT": 20}


def promote(
    verify: Annotated[bool, typer.Option("--verify", help="Fail unless the stored replies give it.")] = False,
) -> None:
    """Print the decision with its reasons; the status is 0 for PROMOTE, 10 for HOLD, 20 for REJECT.

    With --verify scores and decision are made again from the stored replies and likelihoods, on any CPU and without a
    model, and every file is held against dvc.lock: status 0 if all is as stored, 1 and what differs if not.
    """
    root = project_root(Path.cwd())
    found = read_json(root / DECISION)
    typer.echo(f"decision       {found['decision']}, run {found['run']['id'][:12]}")
    if verify:
        faults = differences(root)
        if faults:
            raise ProvenanceError("not verified: " + "; ".join(faults) + ". `dvc repro` makes them anew.")
        typer.echo(f"verified       {len(found['hashes'])} files, scores and decision are what the stored replies give")
        return
    for reason in found["reasons"]:
        typer.echo(f"because        {reason}")
    typer.echo("check it       twin promote --verify")
    raise typer.Exit(STATUS[found["decision"]])
