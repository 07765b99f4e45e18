"""`twin rate`: rate replies blind, in the browser of this machine."""

import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twin.bring.store import project_root
from twin.errors import StorageError
from twin.ratings import Mode

if TYPE_CHECKING:
    from twin.rate.server import Server
    from twin.rate.sitting import Sitting


def rate(
    mode: Annotated[
        Mode,
        typer.Option(
            help="Which is better; which is the person's own; 0 to 3 for the ten prompts; which is better, to teach."
        ),
    ] = Mode.pairs,
    rater: Annotated[str | None, typer.Option(help="Who rates; the name of this account when left out.")] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of the page; 0 is any free one.")] = 0,
) -> None:
    """Open a page on this machine to rate replies blind; answers are kept one by one, in data/ratings/ once it ends.

    The same command goes on with an unfinished session, after a crash too. Nothing leaves the machine.
    """
    from twin.rate.opening import sitting

    root = project_root(Path.cwd())
    with sitting(root, mode, rater or getpass.getuser()) as opened:
        done, total = len(opened.given), len(opened.items)
        typer.echo(f"{mode.value:14} {total - done} of {total} items{', going on' if done else ''}")
        if opened.same:
            typer.echo(f"left out       {opened.same} prompts whose two replies are the same: nothing to tell")
        with _server(opened, port) as server:
            typer.echo(f"open           {server.url}")
            typer.echo("leave          Ctrl-C; nothing is lost")
            try:
                server.serve_forever()
            except KeyboardInterrupt:
                typer.echo()


def _server(opened: "Sitting", port: int) -> "Server":
    from twin.rate.server import Server

    try:
        return Server(opened, port, _tell)
    except OSError as error:
        raise StorageError(
            error.errno, f"port {port} of 127.0.0.1 cannot be had ({error.strerror}). Choose another: --port 0."
        ) from error


def _tell(ended: "Sitting") -> None:
    assert ended.ended is not None
    reason = ended.ended["void"]
    typer.echo(f"ended          {ended.ended['file']}")
    typer.echo(f"counts         {'yes' if reason is None else f'no: {reason}'}")
    typer.echo(f"next           {ended.ended['next']}")
