"""Lets every arm answer: models/adapter/, data/split/{train,cal,test}.jsonl → data/generate/.

B0 is the base, B1 the base shown a few of the person's replies, X the adapter. All get the same system line and
context, greedy decoding and the same limit. B0 and B1 answer the ten fixed prompts, test prompts and all of
cal; X answers the first two. The real replies of test are scored under all three. Everything after this
stage reads its files and needs no model.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx

from stages.generate.questions import (
    Message,
    Question,
    few_shot,
    messages_sha256,
    protocol_questions,
    questions,
    spread,
    with_examples,
)
from twin.adapter import RECIPE_FILE
from twin.base import resolve
from twin.config.generate import GenerateConfig
from twin.config.load import load
from twin.config.model import ModelConfig
from twin.files import read_json, read_jsonl, staged_folder, write_jsonl
from twin.model import Base, attach, load_base
from twin.progress import Eta, Progress
from twin.prompt import PromptRecipe
from twin.protocol import protocol
from twin.reply import Speaker
from twin.runlog import record
from twin.tokens import encode, prompt_tokens

SPLITS = {name: Path(f"data/split/{name}.jsonl") for name in ("train", "cal", "test")}
ADAPTER = Path("models/adapter")
OUT = Path("data/generate")

Row = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """The questions of a run."""

    protocol: list[Question]
    test: list[Question]
    """Answered by every arm."""
    cal: list[Question]
    """Answered by the base arms, to calibrate the judge."""
    held_out: list[Question]
    """All of test: what is scored."""
    pairs: list[Message]
    """Few-shot pairs of arm B1."""


def ask(splits: Mapping[str, list[Row]], recipe: PromptRecipe, config: GenerateConfig) -> Asked:
    """Choose what is asked."""
    return Asked(
        protocol=protocol_questions(protocol(), recipe),
        test=questions("test", spread(splits["test"], config.test_prompts)),
        cal=questions("cal", splits["cal"]),
        held_out=questions("test", splits["test"]),
        pairs=few_shot(splits["train"], config.few_shot),
    )


class Arm:
    """One way to answer: a model, and how it is shown a question."""

    def __init__(self, name: str, base: Base, speaker: Speaker, pairs: Sequence[Message] = ()) -> None:
        self.name = name
        self._base = base
        self._speaker = speaker
        self._pairs = pairs

    def answers(self, asked: Sequence[Question], max_tokens: int, tell: Callable[[], None]) -> list[Row]:
        """Answer each question."""
        shown = [with_examples(question.messages, self._pairs) for question in asked]
        tokens = [prompt_tokens(messages, self._base.tokenizer) for messages in shown]
        rows = []
        for place, reply in self._speaker.replies(tokens, max_tokens):
            said = {"arm": self.name, "text": reply.text, "tokens": reply.tokens, "stopped": reply.stopped}
            rows.append(asked[place].known() | said | {"messages_sha256": messages_sha256(shown[place])})
            tell()
        return rows

    def likelihoods(self, asked: Sequence[Question]) -> list[Row]:
        """Score the real reply to each question."""
        tokenizer = self._base.tokenizer
        examples = [
            encode([*with_examples(question.messages, self._pairs), question.reply], tokenizer, question.id)
            for question in asked
        ]
        rows = []
        # Prompts that begin alike follow each other, so that less is computed.
        for question, example in sorted(zip(asked, examples, strict=True), key=lambda pair: pair[1].tokens):
            likelihood = self._speaker.score(example)
            known = {key: question.known()[key] for key in ("prompt_set", "prompt_id", "conversation_id", "stock")}
            measured = {"total_nats": likelihood.total_nats, "tokens": likelihood.tokens}
            rows.append(known | measured | {"arm": self.name, "bytes": len(question.reply["content"].encode())})
        return rows


def generate(base: Base, adapter: Path, asked: Asked, config: GenerateConfig) -> tuple[list[Row], list[Row]]:
    """Return every arm's answers and likelihoods; puts the adapter on `base`."""
    speaker = Speaker(base)
    all_arms, base_only = [*asked.protocol, *asked.test], asked.cal
    tell = _teller(3 * len(all_arms) + 2 * len(base_only))
    answers, likelihoods = [], []
    for arm in (Arm("B0", base, speaker), Arm("B1", base, speaker, asked.pairs)):
        for some in (asked.protocol, asked.test, asked.cal):
            answers += arm.answers(some, config.max_new_tokens, tell)
        likelihoods += arm.likelihoods(asked.held_out)
    attach(base, adapter)
    speaker.forget()
    tuned = Arm("X", base, speaker)
    for some in (asked.protocol, asked.test):
        answers += tuned.answers(some, config.max_new_tokens, tell)
    likelihoods += tuned.likelihoods(asked.held_out)
    order = {(question.prompt_set, question.id): place for place, question in enumerate(_all(asked))}

    def key(row: Row) -> tuple[int, str]:
        return order[row["prompt_set"], row["prompt_id"]], row["arm"]

    return sorted(answers, key=key), sorted(likelihoods, key=key)


def _all(asked: Asked) -> list[Question]:
    return [*asked.protocol, *asked.held_out, *asked.cal]


def _teller(total: int) -> Callable[[], None]:
    progress, eta, done = Progress(), Eta(total), 0

    def tell() -> None:
        nonlocal done
        done += 1
        line = f"reply {done}/{total}  {eta.left(done)} left"
        # A log gets a line at every tenth of the way.
        (progress.keep if done * 10 // total > (done - 1) * 10 // total else progress.show)(line)

    return tell


def main() -> None:
    """Ask, answer, score."""
    config = load(GenerateConfig)
    recipe = read_json(ADAPTER / RECIPE_FILE)
    splits = {name: read_jsonl(path) for name, path in SPLITS.items()}
    asked = ask(splits, PromptRecipe.from_json(recipe["prompt"]), config)
    base = load_base(resolve(recipe["base"], load(ModelConfig).folder))
    started_s = time.perf_counter()
    answers, likelihoods = generate(base, ADAPTER, asked, config)
    with staged_folder(OUT) as part:
        write_jsonl(part / "generations.jsonl", answers)
        write_jsonl(part / "nll.jsonl", likelihoods)
    record(
        "generate",
        {
            "replies": len(answers),
            "reply_tokens": sum(row["tokens"] for row in answers),
            "answering_s": round(time.perf_counter() - started_s, 3),
            "peak_array_bytes": mx.get_peak_memory(),
        },
    )
