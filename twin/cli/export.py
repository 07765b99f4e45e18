"""`twin export DEST`: base and adapter become one model folder that mlx-lm loads alone."""

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from twin.cli.options import ADAPTER, AdapterFolder, BaseFolder
from twin.errors import ConfigError


class Bits(Enum):
    """Bits of a fused layer."""

    four = "4"
    six = "6"
    eight = "8"


def export(
    destination: Annotated[Path, typer.Argument(metavar="DEST", help="Folder to write.", show_default=False)],
    *,
    adapter: AdapterFolder = ADAPTER,
    bits: Annotated[
        Bits | None, typer.Option(help="Pack the layers that the adapter changed with so many bits.")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Unpack the whole model.")] = False,
    base: BaseFolder = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a model that was exported to DEST before.")] = False,
) -> None:
    """Fuse the adapter into its base: one model, written only if it still answers as the twin does.

    Without --bits or --full the smaller of 8 bits and full that keeps the adapter is taken.
    """
    if full and bits is not None:
        raise ConfigError(f"--full and --bits {bits.value} exclude each other. Choose one, or neither.")
    from twin.fuse import Source
    from twin.fuse import export as write

    source = Source.find(adapter, base)
    choices = [None] if full else [int(bits.value)] if bits is not None else source.choices()
    write(source, destination, choices, force=force, tell=typer.echo)
    typer.echo(f"written {destination}; try it: mlx_lm.generate --model {destination} --prompt '…'")
