"""What a run asks its arms: splits and the prompt's recipe → questions and tasks."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from twin.asking.arm import Row
from twin.asking.capability import capability_tasks
from twin.asking.questions import Message, Question, few_shot, protocol_questions, questions, spread
from twin.asking.tasks import Task, canary_tasks, choice_tasks, real_tasks
from twin.config.generate import GenerateConfig
from twin.files import read_jsonl
from twin.prompt import PromptRecipe
from twin.protocol import protocol

SPLITS = {name: Path(f"data/split/{name}.jsonl") for name in ("train", "valid", "cal", "test", "canaries")}
SIDE_BY_SIDE = 20
"""Prompts of valid that every arm answers, to be looked at side by side."""


@dataclass(frozen=True)
class Asked:
    """The questions of a run."""

    protocol: list[Question]
    test: list[Question]
    valid: list[Question]
    """These three are answered by every arm."""
    cal: list[Question]
    """Answered by the base arms, to calibrate the judge, and by the twin, to calibrate its confidence."""
    pairs: list[Message]
    """Few-shot pairs of arm B1."""
    held_out: list[Task]
    """All of test: what every arm is scored on."""
    unseen: list[Question]
    """What else valid holds, if the twin draws several replies: the base arms' replies fit the re-ranker."""
    extra: list[Task]
    """As many replies of train, choices among real replies, canaries and answers to plain questions: for B0 and X."""

    @property
    def shared(self) -> list[Question]:
        """What every arm answers."""
        return [*self.protocol, *self.test, *self.valid]

    @property
    def every(self) -> list[Question]:
        """What any arm answers."""
        return [*self.shared, *self.cal, *self.unseen]


def ask(splits: Mapping[str, list[Row]], recipe: PromptRecipe, config: GenerateConfig) -> Asked:
    """Choose what is asked."""
    several = config.samples > 1
    test = questions("test", spread(splits["test"], config.test_prompts))
    side_by_side = spread(splits["valid"], SIDE_BY_SIDE)
    shown = {row["id"] for row in side_by_side}
    learned = questions("train", spread(splits["train"], len(splits["test"])))
    return Asked(
        protocol=protocol_questions(protocol(), recipe),
        test=test,
        valid=questions("valid", side_by_side),
        cal=questions("cal", splits["cal"]),
        pairs=few_shot(splits["train"], config.few_shot),
        unseen=questions("valid", [row for row in splits["valid"] if row["id"] not in shown] if several else []),
        held_out=real_tasks(questions("test", splits["test"])),
        extra=[
            *real_tasks(learned),
            *choice_tasks(test, recipe),
            *canary_tasks(splits["canaries"]),
            *capability_tasks(recipe),
        ],
    )


def split_rows() -> dict[str, list[Row]]:
    """Read data/split/: its rows by split."""
    return {name: read_jsonl(path) for name, path in SPLITS.items()}
