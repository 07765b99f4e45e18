"""The measures of the twin: metrics/evaluate.json → rows of raw, floor, ceiling, normalised, bounds, n, clusters."""

from collections.abc import Mapping
from typing import Any, Final

from stages.report.material import Tree, at

MEASURES: Final = (
    ("rubric 0–3, test prompts", "rubric_test.all.X", "rubric_test.all.X_similarity"),
    ("rubric of the prompted base", "rubric_test.all.B1", "rubric_test.all.B1_similarity"),
    ("rubric of the base", "rubric_test.all.B0", None),
    ("rubric of the person", "rubric_test.all.R", None),
    ("rubric 0–3, ten fixed prompts", "protocol10.X", None),
    ("bits per token gained over the prompted base", "likelihood.all.bits_per_token_gain_over_B1", None),
    ("bits per token gained over the base", "likelihood.all.bits_per_token_gain_over_B0", None),
    ("bits per byte gained over the prompted base", "likelihood.all.bits_per_byte_gain_over_B1", None),
    ("distance to the person closed (AUC)", "gap.closed", "gap.similarity"),
    ("the real reply found among four", "context_choice.X", None),
    ("… by the base", "context_choice.B0", None),
    ("acts agree (macro F1)", "act_agreement.X.macro_f1", "act_agreement.X.macro_f1"),
    ("corrections recalled", "act_agreement.X.correction_recall", None),
    ("went ahead though corrected", "act_agreement.X.false_go", None),
    ("length, Wasserstein in words", None, "length.all.wasserstein_words.X"),
    ("length, Kolmogorov–Smirnov", None, "length.all.kolmogorov_smirnov.X"),
    ("function words, Jensen–Shannon", None, "function_words.all.X"),
    ("slop", "alarms.slop.X", None),
    ("broken replies", "alarms.degenerate.X", None),
    ("rare verbatim copies", "alarms.rare_copy.X", None),
    ("… of the person", "alarms.rare_copy.R", None),
    ("train told from held-out (AUC)", "memorisation", None),
    ("plain questions answered, of four", "capability.X", None),
    ("… by the base", "capability.B0", None),
    ("… lost against the base", "capability.lost", None),
    ("rubric with facts over without", "facts.rubric.difference", None),
    ("facts said that it was asked for", "facts.reminders.said.F", None),
    ("… without being shown them", "facts.reminders.said.X", None),
    ("secrets and addresses", "secrets.X", None),
)
"""Title, where value and bounds stand, where the floor (the base) and the ceiling (the person) stand."""
COLUMNS: Final = ("raw", "floor", "ceiling", "normalised", "lower", "upper", "n", "clusters")


def measures(evaluate: Tree) -> list[dict[str, Any]]:
    """Return the measures that were taken; one that was not has no row."""
    rows = []
    for title, main, scale in MEASURES:
        found = at(evaluate, main) if main else {}
        similar = at(evaluate, scale) if scale else {}
        row = _row(found or {}, similar or {})
        if row["raw"] is not None:
            rows.append({"title": title, **row})
    return rows


def _row(found: Tree, similar: Tree) -> dict[str, Any]:
    first = (similar.get("raw"), *(found.get(key) for key in ("value", "auc", "hits")))
    raw = next((one for one in first if one is not None), None)
    floor = similar.get("floor", found.get("chance"))
    own = {key: found.get(key) for key in ("lower", "upper", "n", "clusters")}
    return {
        "raw": raw,
        "floor": floor,
        "ceiling": similar.get("ceiling"),
        "normalised": similar.get("normalised"),
        **own,
    }


def unmeasured(evaluate: Tree) -> str | None:
    """Return why the rubric scored nothing, if it did not."""
    instrument = evaluate.get("instrument")
    if not isinstance(instrument, Mapping) or instrument.get("state") == "PASS":
        return None
    broken = [name.replace("_", " ") for name, held in instrument.get("holds", {}).items() if not held]
    return str(instrument.get("why") or f"its self-test fails at: {', '.join(broken)}")
