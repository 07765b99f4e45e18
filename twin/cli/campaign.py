"""`twin campaign NAME`: a queue of experiments → runs, verdicts, a winner, metrics/campaign.{json,md}."""

import signal
import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from twin.campaign.experiments import Dvc
    from twin.campaign.queue import Campaign, Row
    from twin.campaign.world import Budget

UNDECIDED = 10
"""Exit status where rows are left; 1 is an error."""


def campaign(
    name: Annotated[str, typer.Argument(help="note, demo, geometry, or a .yaml of yours in the same vocabulary.")],
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would run, and by which rules.")] = False,
    setting: Annotated[
        list[str] | None, typer.Option("--set", "-S", metavar="KEY=VALUE", help="An override for every row.")
    ] = None,
    hours: Annotated[float | None, typer.Option(min=0, help="Wall time that all its runs may take.")] = None,
    kwh: Annotated[float | None, typer.Option(min=0, help="The same as energy: wall time × declared watts.")] = None,
    watts: Annotated[float | None, typer.Option(min=1, help="What this machine draws while it trains.")] = None,
    retry: Annotated[bool, typer.Option(help="Try again what ran out of memory or of its hours, or diverged.")] = False,
) -> None:
    """Walk a queue of experiments by its rules; killed, the same command goes on. Status 10: rows are left."""
    from twin.campaign import report
    from twin.campaign.engine import Walk
    from twin.campaign.experiments import Dvc
    from twin.campaign.journal import Journal
    from twin.campaign.queue import read
    from twin.campaign.world import Budget
    from twin.errors import ConfigError

    queue, extra = read(name), tuple(setting or ())
    budget = Budget(hours, kwh, watts or queue.watts)
    if kwh is not None and budget.watts is None:
        raise ConfigError(f"--kwh needs a draw: --watts, or watts in the campaign {queue.name}.")
    experiments = Dvc.here()
    _require_composing(queue, extra, experiments)
    journal = Journal.of(queue.name)
    if dry_run:
        typer.echo(_planned(queue, extra, budget))
        return
    with journal.held():
        walk = Walk(queue, experiments, journal, budget, _say, extra, retry)
        rows = walk.rows()
        found = report.tree(queue, rows, journal, budget, extra)
        report.write(queue.name, found)
    _say(f"{report.TABLE} has the table, {report.JSON} every figure: commit them to keep them.")
    if walk.interrupted:
        _say(f"interrupted; `twin campaign {name}` goes on from here.")
        sys.exit(128 + signal.SIGINT)
    if any(row["outcome"] == "failed" for row in rows):
        sys.exit(1)
    if not found["complete"]:
        sys.exit(UNDECIDED)


def _say(text: str) -> None:
    print(text, flush=True)


def _require_composing(queue: "Campaign", extra: tuple[str, ...], experiments: "Dvc") -> None:
    """Refuse overrides of any row before the first is run."""
    from twin.errors import ConfigError

    for row in queue.rows:
        for rung in row.rungs if row.runs else ():
            winner = ['campaign.winner="to be picked"'] if row.continues else []
            try:
                experiments.ask(row.name, [*queue.set, *row.set, *extra, *winner, *rung.set])
            except ConfigError as error:
                place = f"{queue.name}: {row.name}{': ' if rung.name else ''}{rung.name}"
                raise ConfigError(f"{place}: {error}") from error


def _planned(queue: "Campaign", extra: tuple[str, ...], budget: "Budget") -> str:
    lines = [queue.about, ""]
    if queue.set or extra:
        lines.append(f"every row    {' '.join(f'-S {one}' for one in (*queue.set, *extra))}")
    for row in queue.rows:
        lines += [f"{row.name:20} {row.says}", *(f"    {one}" for one in _rules(row))]
    left_s = budget.left_s(0.0)
    lines.append("no budget: runs take what they take" if left_s is None else f"budget: {left_s / 3600:.2f} h of runs")
    return "\n".join([*lines, f"a row that fails: {queue.on_failure}"])


def _rules(row: "Row") -> list[str]:
    if row.pick:
        return [f"pick among {', '.join(row.pick)} by {', '.join(row.by)}; undecided: {row.undecided}"]
    if row.compare is not None:
        return [f"compare {row.compare} against {', '.join(row.against)} by {', '.join(row.by)}"]
    lines = [f"dvc exp run {' '.join(f'-S {one}' for one in row.set)}"]
    if row.continues is not None:
        lines.append(f"with {', '.join(row.keep) or 'nothing'} of {row.continues}, and its run id as campaign.winner")
    lines += [f"each with train.seed {', '.join(map(str, row.seeds))}"] if row.seeds else []
    lines += [
        f"if memory runs out: {rung.name} ({' '.join(f'-S {one}' for one in rung.set)})" for rung in row.on_memory
    ]
    lines += [f"stop after {row.hours:g} h"] if row.hours is not None else []
    for stop in row.stop_if:
        judged = f" by {', '.join(stop.by)}" if stop.by else ""
        lines.append(f"stop if {stop.rule} {stop.row or stop.update}{judged}")
    return lines
