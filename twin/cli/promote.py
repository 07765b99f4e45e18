"""`twin promote`: what was decided and why; `--verify`, `--apply` and `--rollback` act on it."""

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from twin.bring.store import project_root
from twin.errors import ConfigError, ProvenanceError
from twin.files import read_json
from twin.promotion.apply import Done, apply
from twin.promotion.facts import ADAPTER
from twin.promotion.places import CHAMPION, CONF, POINTER
from twin.promotion.rollback import rollback
from twin.verify import differences

DECISION: Final = Path("metrics/decision.json")
STATUS: Final = {"PROMOTE": 0, "HOLD": 10, "REJECT": 20}
SHARE: Final = "share it       git push --follow-tags"
NEXT: Final = (
    "next           dvc repro judges against the new champion; an adapter that is the champion itself cannot beat it"
)


def promote(
    verify: Annotated[bool, typer.Option("--verify", help="Fail unless the stored replies give it.")] = False,
    act: Annotated[bool, typer.Option("--apply", help="Make the adapter the champion if it is PROMOTE.")] = False,
    back: Annotated[bool, typer.Option("--rollback", help="Reinstate the champion before the last one.")] = False,
) -> None:
    """Print the decision with its reasons; the status is 0 for PROMOTE, 10 for HOLD, 20 for REJECT.

    With --verify scores and decision are made again from the stored replies and likelihoods, on any CPU and without a
    model, and every file is held against dvc.lock: status 0 if all is as stored, 1 and what differs if not.

    With --apply a PROMOTE that verifies, in a clean tree, puts the adapter into models/champion/ and its identity into
    promote.champion, as one commit, and tags it in GTO's format; HOLD and REJECT change nothing. --rollback takes the
    last promotion back. Whatever is cut off midway, the same command finishes.
    """
    if verify + act + back > 1:
        raise ConfigError("--verify, --apply and --rollback are three things to do. Choose one.")
    root = project_root(Path.cwd())
    if back:
        _told_rollback(root, rollback(root))
        return
    found = read_json(root / DECISION)
    typer.echo(f"decision       {found['decision']}, run {found['run']['id'][:12]}")
    if verify:
        faults = differences(root)
        if faults:
            raise ProvenanceError("not verified: " + "; ".join(faults) + ". `dvc repro` makes them anew.")
        typer.echo(f"verified       {len(found['hashes'])} files, scores and decision are what the stored replies give")
        return
    if act:
        _apply(root, found)
        return
    for reason in found["reasons"]:
        typer.echo(f"because        {reason}")
    typer.echo("check it       twin promote --verify")
    raise typer.Exit(STATUS[found["decision"]])


def _apply(root: Path, found: dict[str, Any]) -> None:
    if found["decision"] != "PROMOTE":
        typer.echo("not applied    only PROMOTE is; nothing was changed. Why: twin promote")
        raise typer.Exit(STATUS[found["decision"]])
    done = apply(root)
    adapter = done.act.trailers[ADAPTER][:12]
    if not (done.new or done.tags):
        typer.echo(f"applied        already: adapter {adapter} is the champion since {done.act.commit[:12]}")
        return
    typer.echo(f"applied        adapter {adapter} is the champion, in {CHAMPION} and as promote.champion of {CONF}")
    _told(done)
    typer.echo("undo it        twin promote --rollback")
    typer.echo(f"{SHARE} && dvc push {POINTER}")
    typer.echo(NEXT)


def _told_rollback(root: Path, done: Done) -> None:
    standing = f"{CHAMPION} and promote.champion are as before it" if done.act.promotion else "there is no champion now"
    typer.echo(f"rolled back    promotion {str(done.act.withdrawn)[:12]}: {standing}")
    _told(done)
    named = {one["path"]: one["sha256"] for one in read_json(root / DECISION)["hashes"]}
    if done.act.trailers[ADAPTER] in named.values():
        typer.echo("undo it        twin promote --apply, while metrics/decision.json is about the withdrawn adapter")
    else:
        typer.echo(f"undo it        git revert {done.act.commit[:12]} && dvc checkout {POINTER}, then gto assign")
    typer.echo(SHARE)
    typer.echo("next           dvc repro judges against what is champion now")


def _told(done: Done) -> None:
    typer.echo(f"commit         {done.act.commit[:12]}{'' if done.new else ', made before and finished now'}")
    typer.echo(f"tags           {', '.join(done.tags)}")
