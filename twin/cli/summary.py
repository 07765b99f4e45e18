"""`twin summary`: the run in the working tree → one screen."""

import textwrap
from pathlib import Path
from typing import Any

import typer

from twin.alignment import alignment
from twin.arms import ARMS
from twin.files import read_jsonl
from twin.protocol import protocol
from twin.runs import Run

WIDTH = 100
SHOWN_PROMPTS = 3
GENERATIONS = Path("data/generate/generations.jsonl")


def summary() -> None:
    """Show what was learned, how it answers, the scores, the decision and why."""
    run = Run()
    parts = [
        f"Run {run.id[:12]}{_took(run)}",
        _block("Learned", _learned(run)),
        _block("Scores", _scores(run.metrics("evaluate"))),
        "Answers" + "".join(f"\n\n{answer}" for answer in _answers()),
        _block("Decision", _decision(run.metrics("decision"))),
        _block("Where", _places()),
        _block("Next", _next(run)),
    ]
    typer.echo("\n\n".join(["", *parts, *_other_machine(run), *_page(run)]))


def _block(title: str, lines: list[str]) -> str:
    wrapped = [piece for line in lines for piece in textwrap.wrap(line, WIDTH - 10, subsequent_indent="  ")]
    return "\n".join(f"{name:10}{line}" for name, line in zip([title, *[""] * len(wrapped)], wrapped, strict=False))


def _took(run: Run) -> str:
    facts = run.facts()
    if not facts:
        return ", taken from the cache"
    wall_s = sum(one["wall_s"] for one in facts.values())
    peak_bytes = max(one["peak_rss_bytes"] for one in facts.values())
    return f", {wall_s:.0f} s in its stages, {peak_bytes / 2**30:.2f} GiB at most"


def _learned(run: Run) -> list[str]:
    ingest, split, train = run.metrics("ingest"), run.metrics("split"), run.metrics("train")
    params = run.inputs["train"]["params"]["adapter"]
    source = run.inputs["ingest"]["params"]["ingest"]["source"]
    loss = train["valid"]["masked_nats_per_token"]
    return [
        f"{split['parts']['train']['replies']:,} of {ingest['replies']:,} replies from {ingest['conversations']:,} "
        f"conversations of `{source}`; the others judge, or were dropped and counted",
        f"{params['kind']} of rank {params['rank']} on {run.inputs['base']['params']['model']['id']}: "
        f"{train['status']} after {train['updates']['run']} updates ({train['epochs']:.2f} epochs)",
        f"loss on held-out replies {loss['initial']:.2f} → {loss['best']:.2f} nats per token",
        *([f"then {aligned}"] if (aligned := alignment(run)) else []),
    ]


def _scores(metrics: dict[str, Any]) -> list[str]:
    lines = []
    test = metrics.get("rubric_test", {}).get("all", {})
    fixed = metrics.get("protocol10", {})
    for title, found in (("test prompts", test), ("the ten prompts", fixed)):
        means = [f"{name} {found[arm]['value']:.2f}" for arm, name in ARMS.items() if arm in found]
        if means:
            n = next(iter(found.values()))["n"]
            lines.append(f"rubric 0–3 over {title} (n = {n}): {', '.join(means)}")
    gains = metrics.get("likelihood", {}).get("all", {})
    for arm in ("B0", "B1"):
        gain = gains.get(f"bits_per_token_gain_over_{arm}")
        if gain:
            lines.append(
                f"bits per token gained over the {ARMS[arm]}: {gain['value']:+.2f} "
                f"(95 % bounds {gain['lower']:+.2f} to {gain['upper']:+.2f})"
            )
    return lines or [f"none: {metrics.get('instrument', {}).get('why', 'nothing was measured')}"]


def _answers() -> list[str]:
    said = {
        (row["prompt_id"], row["arm"]): row["text"]
        for row in read_jsonl(GENERATIONS)
        if row["prompt_set"] == "protocol"
    }
    blocks = []
    for prompt in protocol()[:SHOWN_PROMPTS]:
        lines = [f"  {prompt.text}"]
        for arm in ("B0", "X"):
            text = " ".join(said[prompt.id, arm].split()) or "(nothing)"
            lines += textwrap.wrap(text, WIDTH, initial_indent=f"    {ARMS[arm]:6}", subsequent_indent=" " * 10)
        blocks.append("\n".join(lines))
    return blocks


def _decision(decision: dict[str, Any]) -> list[str]:
    return [decision["decision"], *(f"· {reason}" for reason in decision["reasons"])]


def _places() -> list[str]:
    return [
        "models/adapter/ the adapter; metrics/decision.md the decision with every gate; metrics/*.json the numbers",
        "data/generate/ every answer; data/evaluate/ every score; .work/ times and memory",
    ]


def _next(run: Run) -> list[str]:
    lines = [
        "twin chat                                talk to it",
        "dvc exp run -S adapter.rank=8            try another rank, then `dvc metrics diff`",
    ]
    if run.inputs["base"]["params"]["model"]["fixture"]:
        return [*lines, "twin bring export.csv --as memory_turns  bring your own history"]
    return [*lines, "twin note --into notes.md                attach this run to a research note"]


def _other_machine(run: Run) -> list[str]:
    """Say so when the committed lock was made from the same inputs and holds other model bytes."""
    committed = Run.at("HEAD")
    try:
        theirs = committed.inputs, committed.made
    except ValueError:
        return []
    ours = run.inputs, run.made
    stages = [name for name in ("train", "baseline", "generate") if theirs[0].get(name) == ours[0].get(name)]
    if not any(theirs[1].get(name) != ours[1].get(name) for name in stages):
        return []
    return [
        "Note: the same inputs gave other model bytes here than in the committed dvc.lock. Sums of floating-point\n"
        "numbers round differently on another chip or BLAS library; the data stages agree byte for byte."
    ]


def _page(run: Run) -> list[str]:
    """Write the page of the run and say where it is, the last thing that is seen."""
    from twin.measured import PAGE, shown

    if not Path(PAGE).exists():
        return []
    return [f"{'Look':10}{shown(run).as_uri()}\n{'':10}the same as a page to look at: `twin report --open`"]
