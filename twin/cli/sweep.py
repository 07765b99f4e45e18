"""`twin sweep KEY`: finished experiments → a score against one parameter, as a table and a picture."""

from pathlib import Path
from typing import Annotated

import typer

from twin.errors import ConfigError


def sweep(
    key: Annotated[str, typer.Argument(help="A numeric parameter, such as adapter.rank or optimizer.learning_rate.")],
    *,
    score: Annotated[str, typer.Option(help="rubric, or bits.")] = "rubric",
    picture: Annotated[Path | None, typer.Option(help="Draw it into this .svg or .png.")] = None,
    json: Annotated[Path | None, typer.Option("--json", help="Write every number into this file.")] = None,
) -> None:
    """Show a score with its bounds against a parameter, over all finished experiments that were judged alike."""
    from dataclasses import asdict

    from twin import pictures
    from twin.files import write_json
    from twin.sweep import draw, series, table
    from twin.trials import SCORES, trials

    if score not in SCORES:
        raise ConfigError(f"--score is {score}; it must be one of {', '.join(SCORES)}.")
    if picture is not None:
        pictures.require_kind(picture)
    finished = trials()
    found = series(finished, key, score)
    typer.echo(table(found, key, score))
    unscored = [one.name for one in finished if score not in one.scores]
    if unscored:
        typer.echo(f"\nleft out, as they ended before their evaluation: {', '.join(unscored)}")
    if json is not None:
        write_json(json, {"key": key, "score": score, "series": [asdict(one) for one in found]})
    if picture is not None:
        pictures.write(picture, lambda: draw(found, key, score))
        typer.echo(f"\n{picture} shows it.")
