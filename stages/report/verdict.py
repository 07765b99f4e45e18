"""The decision as it is read: decision.json → verdict, gates with their states in word and sign, open ones first."""

from typing import Any, Final

from stages.report.material import Tree

SIGNS: Final = {
    "FAIL": ("✗", "failed", "fail"),
    "UNKNOWN": ("?", "unknown", "unknown"),
    "PASS": ("✓", "passed", "pass"),
    "NOT_APPLICABLE": ("–", "does not apply", "none"),
}
"""State → sign, word, and name in the style sheet; in the order in which gates are shown."""


def verdict(decision: Tree) -> dict[str, Any]:
    """Return what the head of the page says."""
    scope = decision["scope"]
    return {
        "word": decision["decision"],
        "scope": None if scope == "none" else scope,
        "meaning": " ".join(decision["meaning"]),
        "gates": gates(decision),
        "next": decision["next"],
        "limits": decision["limits"],
    }


def gates(decision: Tree) -> list[dict[str, Any]]:
    """Return the gates, those that keep the twin from being promoted first."""
    why = dict(line.split(": ", 1) for line in decision["explanations"])
    order = list(SIGNS)
    found = [
        {
            "name": name,
            "why": why[name].removeprefix("awaiting_human: "),
            "open": gate["state"] in ("FAIL", "UNKNOWN"),
            **dict(zip(("sign", "state", "style"), SIGNS[gate["state"]], strict=True)),
            **{key: gate.get(key) for key in ("value", "bound", "threshold", "n")},
            "rank": order.index(gate["state"]),
        }
        for name, gate in decision["gates"].items()
    ]
    # Within a state as the decision lists them.
    return sorted(found, key=lambda gate: (gate["rank"], list(why).index(str(gate["name"]))))
