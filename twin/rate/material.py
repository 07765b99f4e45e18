"""What may be shown: data/generate/, data/split/ → prompts with the replies to choose from."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from twin.errors import DataError, ModelError
from twin.files import canonical_json, read_json, read_jsonl, sha256_file, sha256_text
from twin.ratings import Mode

RECIPE: Final = Path("models/adapter/recipe.json")
ADAPTER: Final = Path("models/adapter/adapters.safetensors")
GENERATIONS: Final = Path("data/generate/generations.jsonl")
SPLITS: Final = Path("data/split")
CHALLENGER, PROMPTED, PERSON, GARBLED = "X", "B1", "R", "garbled"
ARMS: Final = {
    Mode.pairs: (PROMPTED, CHALLENGER),
    Mode.identify: (PERSON, CHALLENGER),
    Mode.protocol: (CHALLENGER,),
}
"""Arms that are shown, by what is asked; in mode `prefer` it depends on the prompt."""
SETS: Final = {Mode.pairs: "test", Mode.identify: "test", Mode.protocol: "protocol"}
CATCH_SETS: Final = ("valid", "cal")
"""Catch items use no reply that is judged."""
GARBLED_WORDS: Final = 12
Turn = tuple[str, str]
Key = tuple[str, str]
Row = Mapping[str, Any]


@dataclass(frozen=True)
class About:
    """Whose replies are rated: what the header of a session says of them."""

    run_id: str
    adapter_sha256: str
    generations_sha256: str


@dataclass(frozen=True)
class Question:
    """A prompt and the replies to it."""

    prompt_set: str
    prompt_id: str
    prompt: str
    before: tuple[Turn, ...]
    """(`partner` or `person`, text): what was said earlier, if the arms saw any of it."""
    replies: Mapping[str, str]
    """Arm → text."""

    def showing(self, replies: Mapping[str, str]) -> "Question":
        """Return the question with these replies only."""
        return replace(self, replies=replies)

    @property
    def key(self) -> Key:
        """What the question is known by."""
        return self.prompt_set, self.prompt_id


@dataclass(frozen=True)
class Material:
    """Everything that may be shown in one mode."""

    about: About
    questions: tuple[Question, ...]
    catches: tuple[Question, ...]
    """The person's own reply beside a garbled one; in mode `protocol` the garbled one alone."""
    same: int
    """Prompts left out, as both replies read the same: there is nothing to tell."""


def about(root: Path) -> About:
    """Return what a session of this project's present replies is about.

    Raises:
        ModelError: there is no adapter.
        DataError: there are no replies.
    """
    if not (root / RECIPE).exists() or not (root / ADAPTER).exists():
        raise ModelError(f"{root / ADAPTER} is missing. Train an adapter with `dvc repro`, or bring it: `dvc pull`.")
    if not (root / GENERATIONS).exists():
        raise DataError(f"{root / GENERATIONS} is missing. Let the arms answer with `dvc repro generate`.")
    run_id = read_json(root / RECIPE)["run"]["id"]
    return About(run_id, sha256_file(root / ADAPTER), sha256_file(root / GENERATIONS))


def material(root: Path, mode: Mode) -> Material:
    """Read what may be shown.

    Raises:
        ModelError: there is no adapter.
        DataError: there are no replies to rate, or none to make catch items of.
    """
    found = about(root)
    rows = read_jsonl(root / GENERATIONS)
    wanted = ARMS[mode]
    every = _questions(rows, SETS[mode], _contexts(root, SETS[mode]))
    complete = [one for one in every if one.replies.keys() >= set(wanted)]
    questions = [one.showing({arm: one.replies[arm] for arm in wanted}) for one in complete]
    told = [one for one in questions if len({text.strip() for text in one.replies.values()}) == len(wanted)]
    catches = [_catch(one, mode) for name in CATCH_SETS for one in _questions(rows, name, {}) if PERSON in one.replies]
    for what, some in (("prompt whose replies differ", told), ("reply for catch items", catches)):
        if not some:
            raise DataError(f"{root / GENERATIONS} has no {what} ({mode.value}). Make it again: `dvc repro generate`.")
    return Material(found, tuple(told), tuple(catches), len(questions) - len(told))


def _questions(rows: Iterable[Row], prompt_set: str, contexts: Mapping[str, tuple[Turn, ...]]) -> list[Question]:
    replies: dict[str, dict[str, str]] = {}
    first: dict[str, Row] = {}
    for row in rows:
        if row["prompt_set"] != prompt_set:
            continue
        first.setdefault(row["prompt_id"], row)
        replies.setdefault(row["prompt_id"], {})[row["arm"]] = row["text"]
        if "reply" in row:
            replies[row["prompt_id"]][PERSON] = row["reply"]
    return [
        Question(prompt_set, id_, row["prompt"], contexts.get(row["messages_sha256"], ()), replies[id_])
        for id_, row in first.items()
    ]


def _contexts(root: Path, prompt_set: str) -> dict[str, tuple[Turn, ...]]:
    """Return, by the hash of what an arm was asked, the turns between the system line and the prompt."""
    path = root / SPLITS / f"{prompt_set}.jsonl"
    if not path.exists():
        return {}
    asked = [row["messages"][:-1] for row in read_jsonl(path)]
    return {sha256_text(canonical_json(messages)): tuple(map(turn, messages[1:-1])) for messages in asked}


def turn(message: Mapping[str, str]) -> Turn:
    """Return who speaks in a chat message, and what."""
    return ("person" if message["role"] == "assistant" else "partner", message["content"])


def _catch(question: Question, mode: Mode) -> Question:
    text = garbled(question.replies.get("B0") or question.prompt)
    shown = {CHALLENGER: text} if mode is Mode.protocol else {PERSON: question.replies[PERSON], GARBLED: text}
    return Question(question.prompt_set, question.prompt_id, question.prompt, (), shown)


def garbled(text: str) -> str:
    """Return the words backwards, a few times over if they are few: nobody who reads it takes it for a reply."""
    words = text.split()[::-1] or ["…"]
    return " ".join(words * -(-GARBLED_WORDS // len(words)))
