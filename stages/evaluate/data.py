"""What there is to judge: rows of split and generations → replies by prompt set and arm."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stages.evaluate.replies import REAL, Reply, model_replies, real_replies
from twin.errors import DataError
from twin.protocol import Prompt, protocol

GENERATIONS = "data/generate/generations.jsonl"
BASE = "B0"
Arms = dict[str, list[Reply]]


@dataclass(frozen=True)
class Data:
    """Everything that is scored, by prompt set; `test`, `valid` and `protocol` by arm."""

    prompts: tuple[Prompt, ...]
    train: list[Reply]
    cal: list[Reply]
    cal_models: list[Reply]
    test: Arms
    valid: Arms
    protocol: Arms
    valid_person: list[Reply]
    """All of the person's replies in valid, of which `valid` has those that every arm answers."""
    further: list[Reply]
    """The twin's draws after the first, and the base's replies to the rest of valid."""


def gather(
    splits: Mapping[str, Sequence[Mapping[str, Any]]],
    generations: Sequence[Mapping[str, Any]],
    further: Sequence[Mapping[str, Any]] = (),
) -> Data:
    """Join the generated replies to the person's.

    Raises:
        DataError: an arm lacks a prompt, a prompt is unknown, or there is no base arm.
    """
    prompts = protocol()
    real = {name: real_replies(rows) for name, rows in splits.items()}
    asked_of = [one for name in ("valid", "cal", "test") for one in real[name]]
    replies = model_replies(generations, asked_of, prompts)
    test, valid, fixed = (_arms(replies, name) for name in ("test", "valid", "protocol"))
    for arms, name in ((test, "test"), (valid, "valid")):
        asked = {reply.prompt_id for reply in arms[BASE]}
        arms[REAL] = [reply for reply in real[name] if reply.prompt_id in asked]
    cal_models = [reply for reply in replies if reply.prompt_set == "cal"]
    more = model_replies(further, asked_of, prompts)
    return Data(prompts, real["train"], real["cal"], cal_models, test, valid, fixed, real["valid"], more)


def without_stock(arms: Mapping[str, Sequence[Reply]]) -> Arms:
    """Return the replies to prompts whose own reply is no stock phrase."""
    return {arm: [reply for reply in replies if not reply.stock] for arm, replies in arms.items()}


def _arms(replies: Sequence[Reply], prompt_set: str) -> Arms:
    arms: Arms = {}
    for reply in replies:
        if reply.prompt_set == prompt_set:
            arms.setdefault(reply.arm, []).append(reply)
    if BASE not in arms:
        raise DataError(f"{GENERATIONS}: arm {BASE} answers no {prompt_set} prompt. Run the generate stage again.")
    asked = sorted(reply.prompt_id for reply in arms[BASE])
    for arm, given in arms.items():
        if sorted(reply.prompt_id for reply in given) != asked:
            raise DataError(
                f"{GENERATIONS}: arm {arm} does not answer the {len(asked)} {prompt_set} prompts that {BASE} answers. "
                "Arms compare on the same prompts only: run the generate stage again."
            )
    return arms
