"""What the base knew and the twin may have lost: capability.yaml → answers, right and wrong, that are to be scored."""

from pathlib import Path

import yaml

from twin.asking.questions import protocol_questions
from twin.asking.tasks import Task
from twin.errors import DataError
from twin.files import read_text
from twin.prompt import PromptRecipe
from twin.protocol import Prompt

CAPABILITY = Path(__file__).with_suffix(".yaml")
ANSWERS = 4


def capability_tasks(recipe: PromptRecipe, path: Path = CAPABILITY) -> list[Task]:
    """Return every question with each of its answers, asked as the twin is asked; answer 0 is the right one.

    Raises:
        DataError: a question has no text, or not four different answers.
    """
    rows = yaml.safe_load(read_text(path))
    for place, row in enumerate(rows):
        if not row.get("ask") or len({str(answer) for answer in row.get("answers", ())}) != ANSWERS:
            raise DataError(f"{path}: question {place + 1} needs `ask` and {ANSWERS} different `answers`: {row}.")
    asked = protocol_questions(
        [Prompt(f"capability-{place}", row["ask"], ()) for place, row in enumerate(rows)], recipe
    )
    return [
        Task(
            "capability",
            question,
            {
                "id": f"{question.id}/{number}",
                "conversation_id": question.id,
                "stock": False,
                "messages": [{"role": "assistant", "content": answer}],
            },
        )
        for question, row in zip(asked, rows, strict=True)
        for number, answer in enumerate(row["answers"])
    ]
