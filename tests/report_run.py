"""A finished run as the report reads it, made by hand: numbers of the committed run, replies that try to be markup."""

from pathlib import Path
from typing import Any

from stages.promote.decision import decide
from stages.promote.document import document
from stages.promote.gates import gates
from stages.promote.human import Ratings
from stages.report.material import Material, read_curves
from tests.structure import ROOT
from tests.test_promote import CONFIG, changed, good
from twin.config.promote import Human
from twin.files import read_json
from twin.protocol import protocol

HOSTILE = "<script>document.title='broken'</script><img src=x onerror=alert(1)> & \u202eso on\x07 {{ 7 * 7 }}"
ARMS = ("B0", "B1", "X")
TEST = 24
PREDICTED = {"weights": 2**20, "adapter": 2**18, "optimizer": 2**19, "kept": 2**24, "passing": 2**23, "total": 2**25}
METRICS = ("config", "ingest", "augment", "split", "train", "evaluate")


def made(reply: str = HOSTILE, **metrics: Any) -> Material:
    """Return a run that is held; `metrics` replace those of the committed run, or are new ones."""
    found = {name: read_json(ROOT / f"metrics/{name}.json") for name in METRICS}
    found["train"] |= {"predicted_bytes": PREDICTED}
    asked = [("protocol", one.id, one.text) for one in protocol()]
    asked += [("test", f"t{number:02}", f"Question {number}? {reply}") for number in range(TEST)]
    return Material(
        metrics={**found, "decision": held(), **metrics},
        curves=read_curves((ROOT / "metrics/train.csv").read_text()),
        generations=[generation(arm, *one, reply) for one in asked for arm in ARMS],
        scores=[score(arm, *one[:2]) for one in asked for arm in (*ARMS, "R")],
        scalars={
            "bins": 4,
            "ranges": {"commitment": [0.0, 1.0], "transition_pressure": [-2 / 3, 2 / 3]},
            "by_regime": {"stalled": {"commitment": [4, 0, 0, 4], "transition_pressure": [0, 5, 3, 0]}},
        },
        recipe=recipe(),
    )


def held() -> dict[str, Any]:
    """Return the decision about evidence of which one gate fails and one is unknown."""
    evidence = changed("evaluate/protocol10/X/value", 1.5, changed("evaluate/gap/closed", None, good()))
    found = gates(evidence, CONFIG)
    hashes = {"models/adapter/adapters.safetensors": "a" * 64, "data/generate/generations.jsonl": "b" * 64}
    settings: dict[str, Any] = {"parameters": {}, "decoding": {"method": "greedy", "seed": 17}}
    return document(decide(found, Human.waived), found, Ratings(), "0" * 64, hashes, settings=settings)


def generation(arm: str, prompt_set: str, prompt_id: str, prompt: str, reply: str) -> dict[str, Any]:
    """Return a stored reply."""
    row = {
        "prompt_set": prompt_set,
        "prompt_id": prompt_id,
        "arm": arm,
        "prompt": prompt,
        "text": f"{arm} says {reply}",
    }
    return row | ({"reply": f"the person says {reply}"} if prompt_set == "test" else {})


def score(arm: str, prompt_set: str, prompt_id: str) -> dict[str, Any]:
    """Return a stored score: the twin is capped by two rules, the base by none, the person by none."""
    level, rules, cap = {"X": (3, ["off_topic", "slop_soft"], 1), "B1": (0, ["echo"], 0)}.get(arm, (2, [], 3))
    row = {"prompt_set": prompt_set, "prompt_id": prompt_id, "arm": arm, "level": level, "cap": cap, "rules": rules}
    return row | {"score": min(level, cap)}


def recipe() -> dict[str, Any]:
    """Return what the adapter says of itself."""
    base = {"id": "mlx-community/Qwen2.5-3B-Instruct-4bit", "kind": "hub", "folder": None, "revision": "c" * 40}
    return {
        "base": base,
        "prompt": {"version": 2, "tags": "context", "persona": "You are Sam, secretly."},
        "adapter": {"keys": ["q_proj", "v_proj"]},
        "run": {"id": "0" * 64, "inputs": {"train": {"params": {"optimizer": {"clip": 0.3}}}}},
    }


def write_page(folder: Path, reply: str = HOSTILE, **metrics: Any) -> Path:
    """Write the page of the run into a folder."""
    from stages.report import page

    path = folder / "report.html"
    path.write_text(page(made(reply, **metrics)), encoding="utf-8")
    return path
