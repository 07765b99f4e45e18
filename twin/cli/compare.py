"""`twin compare A B [C…]`: finished runs → what the later ones do better than the first, prompt by prompt."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from twin.compare.cache import Objects
    from twin.compare.groups import Group


def compare(
    revisions: Annotated[
        list[str],
        typer.Argument(
            metavar="A B [C…]",
            help="Commits or experiment names; `workspace` or `-` is the working tree. A1,A2,A3: one recipe's seeds.",
        ),
    ],
    *,
    margin_bits_per_token: Annotated[
        float, typer.Option(help="A difference of at most so many bits per token is none.")
    ] = 0.05,
    margin_bits_per_byte: Annotated[float, typer.Option(help="The same per UTF-8 byte, across tokenizers.")] = 0.02,
    margin_rubric: Annotated[float, typer.Option(help="The same in points of the rubric, 0 to 3.")] = 0.15,
    json: Annotated[Path | None, typer.Option("--json", help="Write every number into this file.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write tables and all ten replies into this file.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write one page to look at into this file.")] = None,
    replies: Annotated[int, typer.Option(min=0, help="Fixed prompts whose replies are shown.")] = 5,
) -> None:
    """Compare finished runs on the same prompts: better, equivalent, worse or inconclusive. B is judged against A."""
    from twin.compare import render
    from twin.compare.cache import dvc_objects
    from twin.compare.inference import Margins
    from twin.compare.report import compare as compared
    from twin.files import write_json, write_text

    margins = Margins(margin_bits_per_token, margin_bits_per_byte, margin_rubric)
    objects = dvc_objects()
    tree = compared([_group(side, objects) for side in revisions], margins)
    typer.echo(render.screen(tree, replies))
    if json is not None:
        write_json(json, tree)
    if markdown is not None:
        write_text(markdown, render.markdown(tree))
    if html is not None:
        from twin.compare.page import page

        write_text(html, page(tree))


def _group(side: str, objects: "Objects") -> "Group":
    from twin.compare.groups import Group
    from twin.compare.stored import read

    return Group(tuple(read(name, objects) for name in side.split(",")))
