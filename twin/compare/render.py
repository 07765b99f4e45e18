"""A comparison as text: its tree → the screen's table, or Markdown."""

import re
import textwrap
from collections.abc import Sequence
from typing import Any

Tree = dict[str, Any]

WIDTH = 100
HEAD = ("", "reference", "compared", "ahead", "lower", "upper", "margin", "verdict", "p")
HOLM = "p (Holm)"
SOURCES_SHOWN = 5
LEGEND = (
    "ahead is positive where the compared run does better (fewer bits, more points); lower and upper are its one-sided "
    "95 % bounds over conversations; p is two-sided, by sign flips of whole conversations. equivalent: both bounds "
    "within ±margin; else better: lower > 0, or worse: upper < 0, and p at most 0.10; else inconclusive."
)
LOSS = "on held-out replies; a training log decides nothing, so there is no verdict"


def screen(tree: Tree, replies: int) -> str:
    """Return the comparison for a terminal, with the replies to the first fixed prompts."""
    blocks = []
    for one in tree["comparisons"]:
        title = f"{_who(one)} against {_who(tree['reference'])}"
        lines = [line for text in _facts(one) for line in textwrap.wrap(text, WIDTH, subsequent_indent="  ")]
        blocks.append("\n".join([*textwrap.wrap(title, WIDTH), "", *_aligned(_rows(one)), "", *lines]))
    shown = [_shown(one, tree) for one in tree["replies"][:replies]]
    return "\n\n".join(["\n".join(textwrap.wrap(LEGEND, WIDTH)), *blocks, *shown])


def markdown(tree: Tree) -> str:
    """Return the comparison as Markdown, with the replies to all fixed prompts."""
    parts = [LEGEND]
    for one in tree["comparisons"]:
        parts.append(f"### {_escaped(_who(one))} against {_escaped(_who(tree['reference']))}")
        parts.append(_table(_rows(one)))
        without = _rows(one, "without_stock")
        parts += ["Without stock phrases:", _table(without)] if len(without) > 1 else []
        parts.append("\n".join(f"- {_escaped(fact)}" for fact in _facts(one)))
    if tree["replies"]:
        names = [side["name"] for side in _sides(tree)]
        rows = [["prompt", *names], *([one["prompt"], *one["texts"]] for one in tree["replies"])]
        parts += ["### Replies to the fixed prompts", _table(rows)]
    return "\n\n".join(parts) + "\n"


def _sides(tree: Tree) -> list[Tree]:
    return [tree["reference"], *tree["comparisons"]]


def _who(side: Tree) -> str:
    return plain(f"{side['name']} ({', '.join(run['id'][:12] for run in side['runs'])})")


def _rows(comparison: Tree, view: str | None = None) -> list[list[str]]:
    adjusted = any("p_holm" in metric for metric in comparison["metrics"].values())
    rows = [[*HEAD, HOLM] if adjusted and view is None else list(HEAD)]
    for name, found in comparison["metrics"].items():
        metric = found.get(view) if view else found
        if metric and "verdict" in metric:
            ahead = metric["difference"]
            levels = [f"{metric['reference']:.3f}", f"{metric['compared']:.3f}"]
            signed = [_signed(ahead[key]) for key in ("value", "lower", "upper")]
            row = [name, *levels, *signed, f"{metric['margin']:g}", metric["verdict"], f"{metric['p']:.4f}"]
            rows.append(row + ([f"{metric['p_holm']:.4f}"] if "p_holm" in metric else []))
    return rows


def _signed(value: float) -> str:
    return f"{round(value, 3) + 0.0:+.3f}"  # + 0.0 takes the sign off a zero


def _facts(comparison: Tree) -> list[str]:
    metrics = comparison["metrics"]
    facts = [comparison["words"]]
    facts += [f"{name} refused: {found['refused']}." for name, found in metrics.items() if "refused" in found]
    facts += [f"{name}: {_sample(name, found)}." for name, found in metrics.items() if "difference" in found]
    facts += [
        f"{name} without stock phrases: {found['without_stock']['verdict']}, not {found['verdict']}."
        for name, found in metrics.items()
        if "without_stock" in found and found["without_stock"]["verdict"] != found["verdict"]
    ]
    if "side_by_side" in comparison:
        facts.append(_side_by_side(comparison["side_by_side"]))
    return [plain(fact) for fact in (*facts, _loss(comparison["training_loss"]), *_differs(comparison["differs"]))] + [
        plain(note) for note in comparison["notes"]
    ]


def _sample(name: str, metric: Tree) -> str:
    n, clusters = metric["difference"]["n"], metric["difference"]["clusters"]
    if name == "protocol10":
        return f"{n} fixed prompts, each by itself; the bounds speak of prompts like these"
    return f"{n} prompts of {clusters} conversations"


def _side_by_side(found: Tree) -> str:
    p = f"p {found['p']:.4f}" + (f", Holm {found['p_holm']:.4f}" if "p_holm" in found else "")
    return (
        f"Side by side on the rubric of the test prompts: {found['wins']} wins, {found['losses']} losses, "
        f"{found['ties']} ties (exact binomial {p} on the decided)."
    )


def _loss(found: Tree) -> str:
    if "refused" in found:
        return f"Training loss refused: {found['refused']}."
    return f"Training loss, {found['kind']}: {found['reference']:.4f} v {found['compared']:.4f} {LOSS}."


def _differs(found: Tree) -> list[str]:
    told = [f"{key} {ours} v {theirs}" for key, (ours, theirs) in found["params"].items()]
    sources = found["sources"]
    if sources:
        more = f" and {len(sources) - SOURCES_SHOWN} more" if len(sources) > SOURCES_SHOWN else ""
        told.append(f"code or data of {', '.join(sources[:SOURCES_SHOWN])}{more}")
    return [f"Set or made differently: {'; '.join(told)}." if told else "Parameters, code and data are the same."]


def _shown(one: Tree, tree: Tree) -> str:
    names = [plain(side["name"]) for side in _sides(tree)]
    indent = min(max(map(len, names)), 24) + 4
    lines = [f"  {plain(one['prompt'])}"]
    for name, text in zip(names, one["texts"], strict=True):
        head = f"    {textwrap.shorten(name, 24, placeholder='…') or name[:24]:{indent - 4}}  "
        said = plain(text) or "(nothing)"
        lines += textwrap.wrap(said, WIDTH, initial_indent=head, subsequent_indent=" " * len(head))
    return "\n".join(lines)


def plain(text: str) -> str:
    """Return `text` in one line that a terminal may show: no escape sequence or change of direction acts."""
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [f"{cell:{'<' if place in (0, 7) else '>'}{widths[place]}}" for place, cell in enumerate(row)]
        lines.append("  ".join(cells).rstrip())
    return lines


def _table(rows: Sequence[Sequence[str]]) -> str:
    lines = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    head, rule, *body = lines
    cells = [[_escaped(cell) for cell in head], list(rule), *([_escaped(cell) for cell in row] for row in body)]
    return "\n".join("| " + " | ".join(row) + " |" for row in cells)


def _escaped(text: str) -> str:
    """What was said is data: no mark in it formats, links or ends a cell."""
    return re.sub(r"([\\`*_{}\[\]<>#|~&])", r"\\\1", plain(text))
