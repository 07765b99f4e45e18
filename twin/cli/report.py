"""`twin report [RUN]`: a finished run → its page, with what it took on this machine."""

import webbrowser
from typing import Annotated

import typer

from twin.runs import Run


def report(
    revision: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="Commit or experiment name; the working tree when left out.")
    ] = None,
    *,
    show: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Write the page of a run, with times and memory measured here, and print where it is."""
    from twin.measured import shown

    page = shown(Run.at(revision))
    typer.echo(page.as_uri())
    if show and not webbrowser.open(page.as_uri()):
        typer.echo("no browser was found; open this file with one")
