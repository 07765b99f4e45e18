"""A comparison as one page: its tree → HTML that opens from the disk, differences drawn, replies side by side."""

from pathlib import Path
from typing import Any, Final

from twin.compare import charts
from twin.compare.render import LEGEND, LOSS
from twin.page import sheet

Tree = dict[str, Any]
TEMPLATE: Final = Path(__file__).with_name("page.html")
SIGNS: Final = {
    "better": ("▲", "pass"),
    "worse": ("▼", "fail"),
    "equivalent": ("=", "none"),
    "inconclusive": ("?", "unknown"),
}
"""Verdict → sign and name in the style sheet."""
SHORT: Final = {
    "bits_per_token": "bits per token",
    "bits_per_byte": "bits per byte",
    "rubric_test": "the rubric of the test prompts",
    "protocol10": "the rubric of the ten fixed prompts",
}
UNITS: Final = {
    "bits_per_token": "bits per token, fewer are better",
    "bits_per_byte": "bits per byte, fewer are better",
    "rubric_test": "rubric 0–3, test prompts",
    "protocol10": "rubric 0–3, ten fixed prompts",
}


def page(tree: Tree) -> str:
    """Return the comparison as HTML."""
    sides = [tree["reference"], *tree["comparisons"]]
    return sheet(
        TEMPLATE,
        reference=tree["reference"],
        comparisons=[_comparison(place, one) for place, one in enumerate(tree["comparisons"])],
        prompts=[_prompt(one, [side["name"] for side in sides]) for one in tree["replies"]],
        sides=sides,
        legend=LEGEND,
        loss_note=LOSS,
    )


def _comparison(place: int, one: Tree) -> Tree:
    measured = [
        _metric(f"c{place}-{name}", name, found) for name, found in one["metrics"].items() if "verdict" in found
    ]
    adjusted = any("p_holm" in found for found in one["metrics"].values())
    refused = [(UNITS[name], found["refused"]) for name, found in one["metrics"].items() if "refused" in found]
    side = one.get("side_by_side")
    return one | {
        "id": f"comparison-{place}",
        "told": _told(measured),
        "measured": measured,
        "adjusted": adjusted,
        "refused": refused,
        "notes": [_titled(note) for note in one["notes"]],
        "wins": charts.wins(f"c{place}-wins", side) if side else None,
        "params": [(key, *map(str, values)) for key, values in one["differs"]["params"].items()],
    }


def _told(measured: list[Tree]) -> str:
    """Return the verdicts as part of a sentence."""
    by_verdict: dict[str, list[str]] = {}
    for metric in measured:
        by_verdict.setdefault(metric["verdict"], []).append(metric["short"])
    return "; ".join(f"{verdict} in {_listed(names)}" for verdict, names in by_verdict.items()) or "not comparable"


def _listed(names: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _titled(note: str) -> str:
    """Return a note about a measure with its name as the table has it."""
    name, colon, rest = note.partition(": ")
    return f"{UNITS[name]}: {rest}" if colon and name in UNITS else note


def _metric(id_: str, name: str, found: Tree) -> Tree:
    sign, style = SIGNS[found["verdict"]]
    without = found.get("without_stock", {}).get("verdict")
    return found | {
        "title": UNITS[name],
        "short": SHORT[name],
        "sign": sign,
        "style": style,
        "rank": list(SIGNS).index(found["verdict"]),
        "svg": charts.ahead(id_, found),
        "without_stock": without if without != found["verdict"] else None,
    }


def _prompt(one: Tree, names: list[str]) -> Tree:
    said = zip(names, one["texts"], one["scores"], strict=True)
    return {
        "prompt": one["prompt"],
        "replies": [{"arm": "X", "who": name, "text": text, "score": score, "why": ""} for name, text, score in said],
    }
