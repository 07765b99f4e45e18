"""Raw runs → a row with medians and ranges → one table.

Memory is the peak of the arrays over the resident weights. Time is counted per token of the replies and their stop
tokens, the same number on both sides, whatever else a side trains.
"""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from bench.train.cases import Case
from bench.train.material import supervised_tokens
from bench.train.runs import PEER, Run

MIB = 2**20
# Of the first loss, where both sides are given the same batch: sums in another order, and on a GPU half precision.
LOSS_TOLERANCE = {"cpu": 1e-5, "gpu": 1e-2}

Row = dict[str, Any]

COLUMNS = (
    "case", "checkpointing", "peak MiB ours", "mlx-lm", "ratio", "ms/token ours", "mlx-lm", "ratio",
    "target", "met", "first losses",
)  # fmt: skip


def rows(case: Case, checkpointing: bool, runs: Sequence[Run]) -> list[Row]:
    """Return one row for each form of ours."""
    return [_row(case, checkpointing, form, runs) for form in case.forms]


def _row(case: Case, checkpointing: bool, form: str, runs: Sequence[Run]) -> Row:
    ours, peer = ([run for run in runs if run["side"] == side] for side in (form, PEER))
    row: Row = {
        "case": case.name,
        "title": case.title if len(case.forms) == 1 else f"{case.title}, {form} form",
        "checkpointing": checkpointing,
        "rounds": len(ours),
        "ours": side(case, ours),
        "mlx-lm": side(case, peer),
        "target": {"memory": case.memory_target, "time": case.time_target},
    }
    if "failed" in row["ours"] or "failed" in row["mlx-lm"]:
        return row
    pairs = list(zip(ours, peer, strict=True))
    row["ratio"] = {
        "memory": spread([theirs["peak_bytes"] / own["peak_bytes"] for own, theirs in pairs]),
        "time": spread([token_ms(case, theirs) / token_ms(case, own) for own, theirs in pairs]),
    }
    row["met"] = {
        kind: row["ratio"][kind]["median"] >= target for kind, target in row["target"].items() if target is not None
    }
    if case.inputs:
        row["first_loss_difference"] = max(_first_loss_difference(own, theirs) for own, theirs in pairs)
        row["losses_agree"] = row["first_loss_difference"] <= LOSS_TOLERANCE[ours[0]["device"]]
    return row


def side(case: Case, runs: Sequence[Run]) -> dict[str, Any]:
    """Return what the runs of a side came to; one with a failed run has only its failure."""
    failed = [run["failed"] for run in runs if "failed" in run]
    if failed:
        return {"failed": failed[0]}
    return {
        "peak_mib": spread([run["peak_bytes"] / MIB for run in runs]),
        "resident_mib": spread([run["resident_bytes"] / MIB for run in runs]),
        "largest_rss_mib": spread([run["rss_bytes"] / MIB for run in runs]),
        "ms_per_supervised_token": spread([token_ms(case, run) for run in runs]),
        "s_per_update": spread([statistics.fmean(_timed_s(case, run)) for run in runs]),
        "first_loss": runs[0]["updates"][0]["loss"],
        "other_trained_tokens_per_example": _others_per_example(case, runs[0]),
    }


def token_ms(case: Case, run: Run) -> float:
    """Return the timed updates' milliseconds per supervised token."""
    trained = sum(update["trained_tokens"] for update in run["updates"][case.warmup :])
    supervised = trained - _others_per_example(case, run) * case.updates * case.batch
    return float(1000 * sum(_timed_s(case, run)) / supervised)


def _others_per_example(case: Case, run: Run) -> float:
    # A run is one epoch: what it trained beyond the examples' supervised tokens is padding.
    trained = sum(update["trained_tokens"] for update in run["updates"])
    return float(trained - supervised_tokens(case)) / case.rows


def _timed_s(case: Case, run: Run) -> list[float]:
    return [update["seconds"] for update in run["updates"][case.warmup :]]


def _first_loss_difference(one: Run, other: Run) -> float:
    losses = [run["updates"][0]["loss"] for run in (one, other)]
    return float(abs(losses[0] - losses[1]) / losses[1])


def spread(values: Sequence[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def markdown(table: Sequence[Row]) -> str:
    """Return the rows as a table that reads as text and pastes into a log."""
    cells = [COLUMNS, *(_cells(row) for row in table)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(COLUMNS))]
    lines = ["| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in cells]
    return "\n".join([lines[0], "| " + " | ".join("-" * width for width in widths) + " |", *lines[1:]])


def _cells(row: Row) -> tuple[str, ...]:
    case = (row["title"], "on" if row["checkpointing"] else "off")
    target = " / ".join(f"{value:g}" if value else "–" for value in row["target"].values())
    if "ratio" not in row:
        failures = "; ".join(f"{name}: {row[name]['failed']}" for name in ("ours", "mlx-lm") if "failed" in row[name])
        return (*case, *_measured(row, "peak_mib", 0), "–", *_measured(row, "ms_per_supervised_token", 1), "–",
                target, "no", f"failed: {failures}")  # fmt: skip
    met = " / ".join(("yes" if row["met"][kind] else "no") if kind in row["met"] else "–" for kind in row["target"])
    return (
        *case,
        *_measured(row, "peak_mib", 0),
        _ranged(row["ratio"]["memory"]),
        *_measured(row, "ms_per_supervised_token", 1),
        _ranged(row["ratio"]["time"]),
        target,
        met,
        _agreement(row),
    )


def _measured(row: Row, name: str, digits: int) -> list[str]:
    return [
        "failed" if "failed" in row[side] else f"{row[side][name]['median']:,.{digits}f}" for side in ("ours", "mlx-lm")
    ]


def _ranged(values: Mapping[str, float]) -> str:
    return f"{values['median']:.2f} ({values['min']:.2f}–{values['max']:.2f})"


def _agreement(row: Row) -> str:
    if "losses_agree" not in row:
        others = row["mlx-lm"]["other_trained_tokens_per_example"]
        return f"mlx-lm trains {others:.2g} pads an example"
    difference = f"{row['first_loss_difference']:.0e}"
    return f"equal ({difference})" if row["losses_agree"] else f"DIFFER ({difference})"
