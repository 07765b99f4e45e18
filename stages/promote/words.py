"""What a decision means and what to do about a gate, in sentences for people."""

from collections.abc import Sequence
from typing import Final

from stages.promote.decision import Gate, State, Verdict

MEANING: Final = {
    Verdict.promote: "The twin may be used.",
    Verdict.hold: "The twin is not promoted: something is unknown, or a benefit is not shown. No harm is shown.",
    Verdict.reject: "The twin is refused: harm is shown.",
}
MOVES: Final = {
    "provenance": "Run `dvc repro` from a clean checkout, so that every file belongs to one run.",
    "enough_data": "Bring a longer export: `twin bring PATH --as NAME`, then `dvc exp run -S ingest.source=NAME`.",
    "profile": "Bring your own history (`twin bring`) and train on a real base: `dvc exp run -S model=qwen2.5-3b`.",
    "secrets": "Find the leaked text in data/generate/generations.jsonl, scrub the export and train again.",
    "rare_copy": "Train for fewer updates or at a lower rate; the twin recites.",
    "degenerate": "Read the replies with rules in data/evaluate/scores.jsonl; more training or more data may help.",
    "memorisation": "Train for fewer updates or with a smaller rank: the twin knows train replies too well.",
    "instrument": "See `instrument` in metrics/evaluate.json; until its self-test holds, rubric scores decide nothing.",
    "protocol": "Compare the replies, data/generate/generations.jsonl, with the scores, data/evaluate/scores.jsonl.",
    "likelihood": "Train on more of the person's replies, or with another adapter: `dvc exp run -S adapter=dora_r8`.",
    "gap": "Read where the twin still sounds like the base; lengths and slop are in metrics/evaluate.json.",
    "context": "See whether prompts and replies belong together in the data; show more of the conversation with "
    "augment.context_turns.",
    "champion": "Run again with the champion's adapter in place, so that both answer the same prompts.",
    "human": "Have people rate the twin blind, or decide for staging only: `dvc exp run -S promote.human=waived`.",
}


def moves(gates: Sequence[Gate]) -> list[str]:
    """Return what to do next, harm first."""
    pending = [gate for gate in gates if gate.state in (State.failed, State.unknown)]
    pending.sort(key=lambda gate: not (gate.rejects and gate.state is State.failed))
    return [MOVES[gate.name] for gate in pending] or ["Put the adapter into use."]
