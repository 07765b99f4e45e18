"""`twin note [REV]`: a run → a Markdown block for a research note."""

import re
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from twin.alignment import alignment
from twin.config.campaign import CampaignConfig
from twin.config.load import build
from twin.errors import DataError
from twin.files import write_text
from twin.runs import Run, git


def note(
    revision: Annotated[
        str | None, typer.Argument(metavar="[REV]", help="Commit or experiment name; the working tree when left out.")
    ] = None,
    into: Annotated[
        Path | None, typer.Option(help="Write the block into this Markdown file, replacing the same run's older block.")
    ] = None,
) -> None:
    """Print what identifies, measures and reproduces a run, ready to paste into a research note."""
    run = Run.at(revision)
    block = block_of(run)
    if into is None:
        typer.echo(block)
        return
    write_text(into, merge_block(into.read_text(encoding="utf-8") if into.exists() else "", block, run.id))
    typer.echo(f"{into}: run {run.id[:12]} noted")


def block_of(run: Run) -> str:
    """Return the run's block between its markers."""
    start, end = markers(run.id)
    decision = run.metrics("decision")
    parts = [
        start,
        f"### Run `{run.id[:12]}`: {decision['decision']}",
        "\n".join(f"- {reason}" for reason in decision["reasons"]),
        _table(["", ""], _identity_rows(run)),
        _table(["gate", "state", "value", "bound", "threshold", "n"], _gate_rows(decision["gates"])),
        "Reproduce:",
        "```sh\n" + "\n".join(_reproduce(run)) + "\n```",
        end,
    ]
    return "\n\n".join(parts)


def merge_block(text: str, block: str, run_id: str) -> str:
    """Return `text` with `block` in place of the same run's older block, or at the end.

    Raises:
        DataError: the older block has a start and no end.
    """
    start, end = markers(run_id)
    if start not in text:
        return f"{text.rstrip()}\n\n{block}\n".lstrip("\n")
    if end not in text:
        raise DataError(f"the note has {start} without {end}; put the end marker back, or delete the start marker.")
    return re.sub(re.escape(start) + ".*?" + re.escape(end), lambda _: block, text, count=1, flags=re.DOTALL)


def markers(run_id: str) -> tuple[str, str]:
    """Return the comments that enclose a run's block."""
    return f"<!-- cognitive-twin run {run_id[:12]} -->", f"<!-- /cognitive-twin run {run_id[:12]} -->"


def _identity_rows(run: Run) -> list[list[str]]:
    ingest, split, train = run.metrics("ingest"), run.metrics("split"), run.metrics("train")
    raw = run.inputs["ingest"]["deps"]["data/raw"]
    data = run.inputs["train"]["deps"]["data/split"]
    adapter = run.inputs["train"]["params"]["adapter"]
    model = run.inputs["base"]["params"]["model"]
    source = run.inputs["ingest"]["params"]["ingest"]["source"]
    sizes = " / ".join(f"{split['parts'][part]['replies']:,}" for part in ("train", "valid", "cal", "test"))
    rows = [
        ["run id", f"`{run.id}`"],
        ["experiment", run.name or "–"],
        ["commit", _commit(run)],
        ["base", f"{model['id']}{_at_revision(model)}"],
        [
            "adapter",
            f"{adapter['kind']}, rank {adapter['rank']}, scale {adapter['scale']:g}, {', '.join(adapter['keys'])}",
        ],
        ["export", f"{source}: {ingest['rows']['out']:,} turns, {ingest['replies']:,} replies; data/raw `{raw}`"],
        ["train / valid / cal / test", f"{sizes} replies; data/split `{data}`"],
        ["training", _training(train)],
    ]
    rows += [["alignment", aligned]] if (aligned := alignment(run)) else []
    winner = build(CampaignConfig, yaml.safe_load(run.text("params.yaml"))["campaign"], "campaign").winner
    rows += [["continues the run", f"`{winner}`"]] if winner else []
    return rows + [
        [f"{stage} took", _cost(facts)] for stage, facts in run.facts().items() if stage in ("train", "generate")
    ]


def _at_revision(model: dict[str, Any]) -> str:
    return f" at `{model['revision']}`" if model["revision"] else ""


def _training(train: dict[str, Any]) -> str:
    loss = train["valid"]["masked_nats_per_token"]
    return (
        f"{train['status']} after {train['updates']['run']} updates ({train['epochs']:.2f} epochs); valid loss "
        f"{loss['initial']:.3f} → {loss['best']:.3f} nats per supervised token"
    )


def _cost(facts: dict[str, Any]) -> str:
    text = f"{facts['wall_s']:.0f} s, peak {facts['peak_rss_bytes'] / 2**30:.2f} GiB"
    return text + (f", {facts['tokens_per_s']:.0f} tokens/s" if "tokens_per_s" in facts else "")


def _commit(run: Run) -> str:
    commit = run.commit or git("rev-parse", "--verify", "--quiet", "HEAD")
    if commit is None:
        return "no commit yet"
    dirty = run.commit is None and bool(git("status", "--porcelain"))
    return f"`{commit[:12]}`" + (" with uncommitted changes" if dirty else "")


def _gate_rows(gates: dict[str, dict[str, Any]]) -> list[list[str]]:
    columns = ("value", "bound", "threshold", "n")
    return [[name, gate["state"], *(_number(gate.get(column)) for column in columns)] for name, gate in gates.items()]


def _number(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    return "–" if value is None else str(value)


def _reproduce(run: Run) -> list[str]:
    commit = run.commit or git("rev-parse", "--verify", "--quiet", "HEAD")
    lines = [f"git checkout {commit[:12]}" if commit else "git commit --all", "make env && . .venv/bin/activate"]
    if run.commit is not None:
        return [*lines, "dvc repro"]
    settings = [_setting(key, values) for key, values in run.metrics("config")["overrides"].items()]
    return [*lines, " ".join(["dvc exp run", *settings]) if settings else "dvc repro"]


def _setting(key: str, values: dict[str, str]) -> str:
    if values["run"] == "absent":
        return f"-S '~{key}'"
    plus = "+" if values["conf"] == "absent" else ""
    return f"-S '{plus}{key}={values['run']}'"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
