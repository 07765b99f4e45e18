"""Shows a run: metrics, curves, stored replies, scores, readings → metrics/report.html and models/card/README.md.

A function of the declared files alone, the same bytes each time. What differs from machine to machine, times and
memory, has a gap in the page that `twin report` fills.
"""

from pathlib import Path
from typing import Any, Final

from stages.report import charts
from stages.report.card import card
from stages.report.funnel import funnel, held, parts
from stages.report.material import KINDS, METRICS, Material, Tree, at, flat, gather
from stages.report.measures import COLUMNS, measures, unmeasured
from stages.report.replies import arms, held_out, rules, ten
from stages.report.verdict import verdict
from twin.arms import ARMS
from twin.card import CARD
from twin.files import write_text
from twin.identity import stage_inputs
from twin.page import sheet
from twin.page.gap import GAP
from twin.plan.command import command, recorded
from twin.progress import size_text

TEMPLATE: Final = Path(__file__).with_name("report.html")
PAGE: Final = Path("metrics/report.html")
SECTIONS: Final = (
    ("decision", "Why"),
    ("replies", "How it answers"),
    ("training", "How it learned"),
    ("memory", "Memory"),
    ("data", "The data"),
    ("trajectory", "Where conversations stand"),
    ("measures", "What was measured"),
    ("run", "Which run this is"),
)
LINKS: Final = (
    ("../data/generate/generations.jsonl", "every reply of every arm"),
    ("../data/evaluate/scores.jsonl", "every score, with the rules that fired"),
    ("../data/generate/nll.jsonl", "how likely each arm finds the person's own replies"),
    ("../data/split/test.jsonl", "the held-out replies with their prompts"),
    ("../data/ingest/left_out.jsonl", "ten examples of each reason for leaving a row out"),
    ("../metrics/decision.md", "the decision as text"),
    ("../models/card/README.md", "the model card of the adapter"),
)


def page(material: Material) -> str:
    """Return the report as HTML."""
    return sheet(TEMPLATE, sections=SECTIONS, **_judged(material), **_made(material), **_named(material))


def _judged(material: Material) -> dict[str, Any]:
    decision, evaluate = material.metrics["decision"], material.metrics["evaluate"]
    fixed, some = ten(material), held_out(material)
    others = {name: tree for name, tree in material.metrics.items() if name not in METRICS}
    return {
        "verdict": verdict(decision),
        "in_short": in_short(evaluate),
        "fixed": fixed,
        "fixed_arms": arms(fixed),
        "test": some,
        "n_test": len({row["prompt_id"] for row in material.generations if row["prompt_set"] == "test"}),
        "rules": rules(material),
        "all_arms": [(arm, who) for arm, who in ARMS.items() if any(row["arm"] == arm for row in material.scores)],
        "unscored": unmeasured(evaluate),
        "rubric": charts.rubric(evaluate),
        "columns": COLUMNS,
        "measures": measures(evaluate),
        "numbers": [
            (f"metrics/{name}.json", flat(tree))
            for name, tree in {"evaluate": evaluate, **dict(sorted(others.items()))}.items()
        ],
    }


def _made(material: Material) -> dict[str, Any]:
    train, steps = material.metrics["train"], funnel(material)
    predicted = train.get("predicted_bytes")
    clip = at(material.recipe, "run.inputs.train.params.optimizer.clip")
    readings = charts.readings(material.scalars)
    return {
        "learned": learned(material),
        "curves": [
            ("Loss per supervised token (nats)", charts.loss(material.curves)),
            ("Learning rate", charts.learning_rate(material.curves)),
            (_norm(clip), charts.gradient_norm(material.curves, clip)),
        ],
        "memory": charts.memory(predicted) if predicted else None,
        "memory_title": f"Predicted before training: {size_text(predicted['total'])} at the peak" if predicted else "",
        "gap": GAP,
        "steps": steps,
        "none_of": [reason for step in steps for reason in step["none_of"]],
        "held": held(material),
        "funnel": charts.funnel(steps),
        "split": parts(material),
        "readings": readings,
        "n_readings": sum(material.metrics["augment"]["regimes"].values()),
        "cold": material.metrics["augment"]["cold_start"],
    }


def _norm(clip: float | None) -> str:
    return "Gradient norm before clipping" + ("" if clip is None else f"; dashed: clipped to {clip:g}")


def in_short(evaluate: Tree) -> str | None:
    """Return the scores in a sentence; None if nothing was scored."""
    found = {who: at(evaluate, f"rubric_test.all.{arm}") for arm, who in ARMS.items()}
    means = [f"the {who} {one['value']:.2f}" for who, one in found.items() if one]
    if not means:
        return None
    n = next(one["n"] for one in found.values() if one)
    told = f"{', '.join(means[:-1])} and {means[-1]}"
    return f"Of 3 points for sounding like the person, over {n} test prompts, {told}."


def learned(material: Material) -> str:
    """Return in a sentence what was trained on what, and what came of it."""
    train, split, base = material.metrics["train"], material.metrics["split"], material.recipe["base"]
    adapter, loss = train["adapter"], train["valid"]["masked_nats_per_token"]
    own = split["parts"]["train"]
    return (
        f"{KINDS[adapter['kind']]} of rank {adapter['rank']}, {adapter['parameters']:,} parameters on {base['id']}, "
        f"learned from {own['replies']:,} replies of {own['conversations']:,} conversations: {train['status']} after "
        f"{train['updates']['run']:,} updates, {train['epochs']:.2f} epochs. On held-out replies the loss fell from "
        f"{loss['initial']:.2f} to {loss['best']:.2f} nats per supervised token."
    )


def _named(material: Material) -> dict[str, Any]:
    decision, base = material.metrics["decision"], material.recipe["base"]
    ingest, hashes = material.metrics["ingest"], {one["path"]: one["sha256"] for one in decision["hashes"]}
    revision = f" at {base['revision']}" if base.get("revision") else ""
    changed = recorded(material.metrics["config"])
    again = [command(changed) if line == "dvc repro" and changed else line for line in decision["reproduce"]]
    identity = [
        ("run id", decision["run"]["id"], True),
        ("base", f"{base['id']}{revision}", False),
        ("adapter", hashes.get("models/adapter/adapters.safetensors", "not hashed"), True),
        (
            "export",
            f"{ingest['source']}: {ingest['rows']['in']:,} rows, {ingest['conversations']:,} conversations",
            False,
        ),
        ("from … to", f"{ingest['first'][:10]} … {ingest['last'][:10]}", False),
        ("decoding", "; ".join(one for one in decision["decoding"] if not one.startswith(("arms", "run_id"))), False),
    ]
    run_id = decision["run"]["id"]
    return {"run_id": run_id, "identity": identity, "reproduce": again, "links": LINKS, "hashes": decision["hashes"]}


def main() -> None:
    """Run the stage."""
    material = gather(list(stage_inputs("report")["deps"]))
    write_text(PAGE, page(material))
    write_text(CARD, card(material))
