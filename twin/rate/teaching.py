"""What may be shown to teach: data/prefer/replies.jsonl, data/split/{train,valid}.jsonl → prompts with two replies.

These prompts judge nothing: what is said of them makes pairs for preference training, and no gate counts it.
"""

from collections.abc import Iterable, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any, Final

from twin.errors import DataError, ModelError
from twin.files import read_json, read_jsonl, sha256_file, sha256_text
from twin.identity import fingerprint
from twin.preference import PERSON, unusable
from twin.rate.material import GARBLED, SPLITS, About, Material, Question, garbled, turn

RECIPE: Final = Path("models/sft/recipe.json")
ADAPTER: Final = Path("models/sft/adapters.safetensors")
REPLIES: Final = Path("data/prefer/replies.jsonl")
PARTS: Final = ("train", "valid")
CATCHES: Final = 10
"""One prompt in so many is asked for a catch item only."""
MOVE: Final = "Make them with `dvc exp run -S align=dpo`, and rate then."

Row = Mapping[str, Any]


def teaching(root: Path) -> Material:
    """Read what may be shown.

    Raises:
        ModelError: there is no trained adapter.
        DataError: there are no replies, or none that differ.
    """
    if not (root / RECIPE).exists() or not (root / ADAPTER).exists():
        raise ModelError(f"{root / ADAPTER} is missing. Train an adapter with `dvc repro`, or bring it: `dvc pull`.")
    rows = read_jsonl(root / REPLIES) if (root / REPLIES).exists() else []
    if not rows:
        raise DataError(f"{root / REPLIES} has no replies: preference training is off, which needs none. {MOVE}")
    asked = _asked(root, rows)
    ranked = sorted(asked, key=lambda one: sha256_text(one.prompt_id))
    caught = -(-len(ranked) // CATCHES)
    catches, questions = map(_catch, ranked[:caught]), list(map(_two, ranked[caught:]))
    told = [one for one in questions if len({text.strip() for text in one.replies.values()}) > 1]
    if not told:
        raise DataError(f"{root / REPLIES} has no prompt with two whole replies that differ. Raise prefer.pairs.")
    about = About(
        fingerprint(read_json(root / RECIPE)["run"]["inputs"]["train"]),
        sha256_file(root / ADAPTER),
        sha256_file(root / REPLIES),
    )
    return Material(about, tuple(told), tuple(catches), len(questions) - len(told))


def _asked(root: Path, rows: Iterable[Row]) -> list[Question]:
    """Return the prompts with all whole replies to them: the person's and at least one model's."""
    said: dict[tuple[str, str], dict[str, str]] = {}
    for row in rows:
        if unusable(row) is None:
            said.setdefault((row["split"], row["prompt_id"]), {})[row["arm"]] = row["text"]
    found = []
    for part in PARTS:
        for row in read_jsonl(root / SPLITS / f"{part}.jsonl"):
            replies = said.get((part, row["id"]), {})
            if PERSON in replies and len(replies) > 1:
                _, *before, prompt, _ = row["messages"]
                found.append(Question(part, row["id"], prompt["content"], tuple(map(turn, before)), replies))
    return found


def _two(question: Question) -> Question:
    """Choose two of a prompt's replies, by its id: each two arms about as often as any other."""
    pairs = list(combinations(sorted(question.replies), 2))
    arms = pairs[int(sha256_text(f"arms of {question.prompt_id}"), 16) % len(pairs)]
    return question.showing({arm: question.replies[arm] for arm in arms})


def _catch(question: Question) -> Question:
    other = next(text for arm, text in question.replies.items() if arm != PERSON)
    return question.showing({PERSON: question.replies[PERSON], GARBLED: garbled(other)})
