"""An arm: a model and how it is shown a question → answers and likelihoods as rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from twin.asking.questions import Message, Question, messages_sha256, with_examples
from twin.asking.tasks import Task
from twin.config.generate import GenerateConfig
from twin.files import sha256_text
from twin.model import Base
from twin.reply import Speaker
from twin.sampling import Choose, Drawn, likeliest
from twin.tokens import encode, prompt_tokens

Row = dict[str, Any]


@dataclass(frozen=True)
class Decoder:
    """How every arm decodes; what is drawn depends on the question and the sample, not on the arm."""

    max_tokens: int
    temperature: float
    seed: int

    def choose(self, asked: Sequence[Question], sample: int) -> Choose:
        """Return how the tokens of these questions' replies are chosen."""
        if not self.temperature:
            return likeliest
        names = [f"{self.seed}/{question.prompt_set}/{question.id}/{sample}" for question in asked]
        return Drawn(self.temperature, [int(sha256_text(name)[:16], 16) for name in names])


def decoder(config: GenerateConfig) -> Decoder:
    """Return the decoder that params.yaml asks for."""
    return Decoder(config.max_new_tokens, config.temperature, config.seed)


class Arm:
    """One way to answer: a model, and how it is shown a question."""

    def __init__(self, name: str, base: Base, speaker: Speaker, pairs: Sequence[Message] = ()) -> None:
        self.name = name
        self._base = base
        self._speaker = speaker
        self._pairs = pairs

    def answers(
        self, asked: Sequence[Question], decoder: Decoder, tell: Callable[[], None], sample: int = 0
    ) -> list[Row]:
        """Answer each question; another sample is another draw."""
        shown = [with_examples(question.messages, self._pairs) for question in asked]
        tokens = [prompt_tokens(messages, self._base.tokenizer) for messages in shown]
        rows = []
        for place, reply in self._speaker.replies(tokens, decoder.max_tokens, decoder.choose(asked, sample)):
            said: Row = {"arm": self.name, "text": reply.text, "tokens": reply.tokens, "stopped": reply.stopped}
            said |= {"nats": reply.nats, "worst_nats": reply.worst_nats}
            rows.append(asked[place].known() | said | {"messages_sha256": messages_sha256(shown[place])})
            tell()
        return rows

    def likelihoods(self, tasks: Sequence[Task]) -> list[Row]:
        """Score the reply of each task."""
        tokenizer = self._base.tokenizer
        examples = [
            encode([*with_examples(task.question.messages, self._pairs), task.said], tokenizer, task.question.id)
            for task in tasks
        ]
        rows = []
        # Prompts that begin alike follow each other, so that less is computed.
        for task, example in sorted(zip(tasks, examples, strict=True), key=lambda pair: pair[1].tokens):
            likelihood = self._speaker.score(example)
            measured = {"total_nats": likelihood.total_nats, "tokens": likelihood.tokens}
            rows.append(task.known() | measured | {"arm": self.name, "bytes": len(task.said["content"].encode())})
        return rows
