"""`twin advise`: metrics and past runs → what the note would advise, each with its figures."""

import csv
import io
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml

if TYPE_CHECKING:
    from twin.advice import Facts

WIDTH = 100
CAMPAIGNS = Path("metrics/campaign.json")


def advise(
    json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Say what to change: rank, rate, decay, length; or that the data, not the configuration, are the problem."""
    import json as text
    from dataclasses import asdict

    from twin.advice import advise as advised

    found = advised(_facts())
    if json:
        typer.echo(text.dumps([asdict(one) for one in found], indent=2, ensure_ascii=False))
        return
    typer.echo("\n\n".join(_block(one.topic, one.advice, one.because) for one in found))


def _facts() -> "Facts":
    from twin.advice import Facts
    from twin.files import read_json
    from twin.runs import Run
    from twin.trials import trials

    run = Run()
    names = ("ingest", "split", "train", "evaluate", "decision")
    metrics: dict[str, dict[str, Any]] = {name: run.metrics(name) for name in names}
    campaigns = read_json(CAMPAIGNS)["campaigns"] if CAMPAIGNS.exists() else {}
    return Facts(
        params=yaml.safe_load(run.text("params.yaml")),
        **metrics,
        curve=_curve(run.text("metrics/train.csv")),
        trials=trials(),
        campaigns=campaigns,
    )


def _curve(text: str) -> list[tuple[int, float]]:
    rows = csv.DictReader(io.StringIO(text))
    return [(int(row["update"]), float(row["valid_loss"])) for row in rows if row["valid_loss"]]


def _block(topic: str, advice: str, because: tuple[str, ...]) -> str:
    lines = textwrap.wrap(advice, WIDTH - 18)
    for one in because:
        lines += textwrap.wrap(one, WIDTH - 18, initial_indent="· ", subsequent_indent="  ")
    return "\n".join(f"{name:18}{line}" for name, line in zip([topic, *[""] * len(lines)], lines, strict=False))
