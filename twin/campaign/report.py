"""What a campaign came to: rows, journal → metrics/campaign.json, metrics/campaign.md.

No stage writes or reads these two: git keeps them, as the record of a walk. They hold times, and one entry a campaign.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from twin.campaign.engine import clock
from twin.campaign.journal import Journal
from twin.campaign.queue import Campaign
from twin.campaign.world import JOULES_PER_KWH, Budget, Tree
from twin.files import read_json, write_json, write_text

JSON = Path("metrics/campaign.json")
TABLE = Path("metrics/campaign.md")
SAID_FIRST = (
    "Written by `twin campaign`; no stage reads it. Every line can be looked at again: `dvc exp show`, `twin compare`."
)
UNDONE = ("interrupted", "skipped", "failed")


def tree(campaign: Campaign, rows: Sequence[Tree], journal: Journal, budget: Budget, extra: Sequence[str]) -> Tree:
    """Return the record of a walk."""
    names = [run["experiment"] for row in rows for run in row["runs"]]
    seconds = sum(journal.seconds(name) for name in names)
    picks = [row for row in rows if "row" in row]
    watts = budget.watts or campaign.watts
    energy = {} if watts is None else {"watts_declared": watts, "kwh_estimated": seconds * watts / JOULES_PER_KWH}
    return {
        "about": campaign.about,
        "overrides": [*campaign.set, *extra],
        "complete": not any(row["outcome"] in UNDONE and "left nothing" not in row["why"] for row in rows),
        "rows": list(rows),
        "picked": {row["name"]: {"row": row["row"], "shown": row["outcome"] == "winner"} for row in picks},
        "inconclusive": [row["name"] for row in rows if row["outcome"] == "inconclusive"],
        "seconds": round(seconds, 1),
        **energy,
    }


def write(name: str, found: Tree) -> None:
    """Put a campaign's record beside those of others."""
    known = read_json(JSON)["campaigns"] if JSON.exists() else {}
    campaigns = {**known, name: found}
    write_json(JSON, {"version": 1, "campaigns": campaigns})
    write_text(TABLE, markdown(campaigns))


def markdown(campaigns: Mapping[str, Tree]) -> str:
    """Return all records as Markdown."""
    parts = ["# Campaigns", SAID_FIRST]
    for name, found in sorted(campaigns.items()):
        parts += [f"## {name}", found["about"], _table(found["rows"]), *_below(found)]
    return "\n\n".join(parts) + "\n"


def _table(rows: Sequence[Tree]) -> str:
    lines = ["| the queue says | ran | came to | rubric 0–3 | bits gained | valid loss | took | run |"]
    lines.append("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for row in rows:
        shown = [_cells(row, run) for run in row["runs"]] or [[f"– {row.get('row', '')}".strip(" –") or "–", *"–" * 5]]
        for place, cells in enumerate(shown):
            last = place == len(shown) - 1
            came = (
                f"**{row['outcome']}**{': ' if row['why'] else ''}{row['why']}" if last else row["runs"][place]["why"]
            )
            says = row["says"] if place == 0 else "↳ then"
            lines.append(
                "| " + " | ".join(_cell(one) for one in (says, cells[0], came or "finished", *cells[1:])) + " |"
            )
    return "\n".join(lines)


def _cells(row: Tree, run: Tree) -> list[str]:
    took = clock(run.get("seconds", 0.0))
    title = run.get("adapter") or run["rung"] or "as written"
    loss = run.get("valid_nats_per_token")
    return [
        title,
        _value(run.get("rubric_test"), "{:.2f}"),
        _value(run.get("bits_per_token_gain_over_B1"), "{:+.2f}"),
        f"{loss['initial']:.2f} → {loss['best']:.2f}, {run['updates']} updates" if loss else "–",
        took,
        f"`{run['experiment']}`" + (f" `{run['run_id'][:12]}`" if "run_id" in run else ""),
    ]


def _value(found: Mapping[str, Any] | None, form: str) -> str:
    if not found:
        return "–"
    bounds = f" ({form.format(found['lower'])} to {form.format(found['upper'])})" if "lower" in found else ""
    return form.format(found["value"]) + bounds


def _below(found: Tree) -> list[str]:
    said = [
        f"- {row['name']}: {one.get('compared', row['name'])} against {one['against']}: **{one['verdict']}**. "
        f"{one['words']}{_about(one)}"
        for row in found["rows"]
        for one in row["comparisons"]
    ]
    parts = ["\n".join(said)] if said else []
    energy = ""
    if "kwh_estimated" in found:
        energy = (
            f"; {found['kwh_estimated']:.3f} kWh, estimated as wall time times {found['watts_declared']:g} W declared"
        )
    whole = "all rows are decided" if found["complete"] else "not all rows are decided; run the command again"
    return [*parts, f"{clock(found['seconds'])} in runs{energy}; {whole}."]


def _about(one: Tree) -> str:
    return " (these artefacts only)" if one.get("about") == "artefact" else ""


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
