"""decision.json: decision, gates, hashes → one document, checked against its schema before it is written."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from stages.promote.decision import NAMES, NUMBERS, Decision, Gate, Scope, State, Verdict
from stages.promote.human import Ratings
from stages.promote.words import MEANING, moves

VERSION: Final = 3
REPRODUCE: Final = ("make env", "dvc repro", "dvc metrics show", "twin promote --verify")
STANDING_LIMITS: Final = (
    "One adapter was judged: this says nothing about its recipe, which takes several seeds.",
    "The rubric sees register, that a reply is not an assistant's; it does not see whose it is.",
    "Two conversations of the same day may share what they are about; only the conversations are kept apart.",
)
SOURCES: Final = {
    "provenance": (
        "metrics/split.json: proofs",
        "models/adapter/recipe.json: base, prompt.tags",
        "data/generate/models.json: sha256 of the models that answered",
    ),
    "enough_data": ("metrics/split.json: strength",),
    "profile": ("models/base/identity.json: fixture", "metrics/ingest.json: synthetic"),
    "secrets": ("metrics/evaluate.json: secrets.X", "data/generate/generations.jsonl and further.jsonl: arm X"),
    "rare_copy": ("metrics/evaluate.json: alarms.rare_copy", "data/generate/generations.jsonl: test, arm X"),
    "degenerate": ("metrics/evaluate.json: alarms.degenerate", "data/evaluate/scores.jsonl: rules, arm X"),
    "memorisation": ("metrics/evaluate.json: memorisation", "data/generate/nll.jsonl: train and test, arms X and B0"),
    "instrument": ("metrics/evaluate.json: instrument", "data/evaluate/scores.jsonl: self_test, test, arms R and B0"),
    "protocol": (
        "metrics/evaluate.json: protocol10.X, rubric_test.all.X and X_over_B1",
        "data/evaluate/scores.jsonl: arm X",
    ),
    "likelihood": (
        "metrics/evaluate.json: likelihood.all.bits_per_token_gain_over_B1",
        "data/generate/nll.jsonl: test, arms X and B1",
    ),
    "gap": ("metrics/evaluate.json: gap.closed", "data/generate/generations.jsonl: test, arms X and B1"),
    "context": ("metrics/evaluate.json: context_choice.X", "data/generate/nll.jsonl: choice and alone, arm X"),
    "champion": (
        "metrics/evaluate.json: likelihood.all.bits_per_token_gain_over_C, rubric_test.all.X_over_C",
        "data/generate/nll.jsonl and data/evaluate/scores.jsonl: arms X and C",
    ),
    "human": ("data/ratings: sessions of this run",),
}
"""Where each gate's numbers stand, and the stored replies or likelihoods behind them."""

KEYS: Final = {
    "version": int,
    "decision": str,
    "scope": str,
    "reasons": list,
    "run": dict,
    "gates": dict,
    "ratings": dict,
    "explanations": list,
    "sources": list,
    "hashes": list,
    "parameters": list,
    "decoding": list,
    "meaning": list,
    "limits": list,
    "next": list,
    "reproduce": list,
}

RATINGS: Final[Mapping[str, Any]] = {
    "sessions": int,
    "pairs": {"wins": int, "losses": int, "better": bool, "worse": bool, "e": float, "given": int},
    "identified": {"right": int, "n": int},
    "protocol": (int, float),
    "cant_tell": (int,),
    "void": (str,),
    "ignored": (int,),
}
"""What the ratings come to: a kind, the kinds of named parts, or the kind of parts of any name."""


def limits(gates: Sequence[Gate]) -> list[str]:
    """Return what the decision does not cover."""
    unknown = [gate.name for gate in gates if gate.state is State.unknown]
    return [*([f"Not known: {', '.join(unknown)}."] if unknown else []), *STANDING_LIMITS]


def document(
    decision: Decision,
    gates: Sequence[Gate],
    ratings: Ratings,
    run_id: str,
    hashes: Mapping[str, str],
    *,
    settings: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """Return decision.json.

    Sentences, hashes and settings are lists, which `dvc metrics` leaves out: its tables show the states and numbers.
    """
    return checked(
        {
            "version": VERSION,
            "decision": decision.verdict.value,
            "scope": decision.scope.value,
            "reasons": list(decision.reasons),
            "run": {"id": run_id},
            "gates": {gate.name: gate.to_json() for gate in gates},
            "ratings": ratings.to_json(),
            "explanations": [f"{gate.name}: {gate.why}" for gate in gates],
            "sources": [f"{gate.name}: {source}" for gate in gates for source in SOURCES[gate.name]],
            "hashes": [{"path": path, "sha256": sha256} for path, sha256 in sorted(hashes.items())],
            "parameters": _listed(settings["parameters"]),
            "decoding": _listed(settings["decoding"]),
            "meaning": [MEANING[decision.verdict]],
            "limits": limits(gates),
            "next": moves(gates),
            "reproduce": list(REPRODUCE),
        }
    )


def _listed(values: Mapping[str, Any]) -> list[str]:
    return [f"{name}: {value}" for name, value in sorted(values.items())]


def checked(found: dict[str, Any]) -> dict[str, Any]:
    """Return a decision's document as it is.

    Raises:
        ValueError: it is not one: every fault is named.
    """
    faults = [f"{key} is missing" for key in KEYS if key not in found]
    faults += [f"{key} is unknown" for key in found if key not in KEYS]
    faults += [
        f"{key} is no {kind.__name__}" for key, kind in KEYS.items() if key in found and type(found[key]) is not kind
    ]
    if not faults:
        faults = [*_verdict_faults(found), *(fault for gate in found["gates"].items() for fault in _gate_faults(*gate))]
        faults += _rating_faults(found["ratings"])
    if faults:
        raise ValueError(f"decision.json: {'; '.join(faults)}")
    return found


def _verdict_faults(found: Mapping[str, Any]) -> list[str]:
    states = [gate.get("state") for gate in found["gates"].values()]
    promoted = found["decision"] == Verdict.promote.value
    return [
        *(
            []
            if found["decision"] in [one.value for one in Verdict]
            else [f"decision {found['decision']!r} is unknown"]
        ),
        *([] if found["scope"] in [one.value for one in Scope] else [f"scope {found['scope']!r} is unknown"]),
        *([] if promoted == (found["scope"] != Scope.none.value) else ["only what is promoted has a scope"]),
        *(["it promotes past a gate"] if promoted and not {"FAIL", "UNKNOWN"}.isdisjoint(states) else []),
        *([] if found["reasons"] else ["no reason is given"]),
        *(f"gate {name} is missing" for name in NAMES if name not in found["gates"]),
    ]


def _rating_faults(ratings: Mapping[str, Any]) -> list[str]:
    faults = [f"ratings: {key} is unknown" for key in ratings if key not in RATINGS]
    for key, kinds in RATINGS.items():
        found = ratings.get(key)
        if isinstance(kinds, type):
            fits = type(found) is kinds
        elif isinstance(kinds, Mapping):
            fits = isinstance(found, Mapping) and {name: type(one) for name, one in found.items()} == kinds
        else:
            fits = isinstance(found, Mapping) and all(isinstance(one, kinds) for one in found.values())
        faults += [] if fits else [f"ratings: {key} is {found!r}"]
    return faults


def _gate_faults(name: str, gate: Mapping[str, Any]) -> list[str]:
    odd = [key for key in gate if key not in ("state", *NUMBERS)]
    numbers = [gate[key] for key in NUMBERS if key in gate]
    usable = all(type(one) in (int, float) and math.isfinite(one) for one in numbers)
    return [
        *([] if gate.get("state") in [one.value for one in State] else [f"gate {name} has no state"]),
        *([] if usable else [f"gate {name} has a number that is none"]),
        *(f"gate {name}: {key} is unknown" for key in odd),
    ]
