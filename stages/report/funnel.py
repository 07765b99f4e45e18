"""What became of the rows: counts of four stages → steps from the export to the parts, each with what fell away."""

from typing import Any

from stages.report.material import Material

Step = dict[str, Any]


def funnel(material: Material) -> list[Step]:
    """Return the steps in their order: what there is, how many, and what was left out on the way there, by reason."""
    ingest, augment, split = (material.metrics[name] for name in ("ingest", "augment", "split"))
    near = split["dropped"]
    return [
        _step("rows of the export", ingest["rows"]["in"]),
        _step("turns that somebody said", ingest["rows"]["out"], ingest["rows"]["dropped"]),
        _step("turns, those of one speaker in a row merged", augment["merged_turns"]),
        _step("replies of the person", augment["replies"]),
        _step("examples, each with its prompt", augment["examples"], augment["dropped"]),
        _step("examples without near-copies across parts", split["rows"]["written"], near),
    ]


def _step(what: str, n: int, left_out: dict[str, int] | None = None) -> Step:
    reasons = sorted((left_out or {}).items(), key=lambda one: (-one[1], one[0]))
    return {
        "what": what,
        "n": n,
        "left_out": [(reason, count) for reason, count in reasons if count],
        "none_of": [reason for reason, count in reasons if not count],
    }


def held(material: Material) -> list[tuple[str, int]]:
    """Return the turns that stay as context and are no example, by reason."""
    return [(reason, count) for reason, count in material.metrics["ingest"]["held"].items() if count]


def parts(material: Material) -> list[dict[str, Any]]:
    """Return the parts with their sizes, in the order of time."""
    found = material.metrics["split"]["parts"]
    told = {
        "train": "the adapter learns from these",
        "valid": "when to stop; replies side by side",
        "cal": "calibrates the rubric",
        "test": "opened by the evaluation only",
    }
    return [
        {"name": name, "use": use, **{key: found[name][key] for key in ("replies", "conversations", "stock")}}
        for name, use in told.items()
        if name in found
    ]
