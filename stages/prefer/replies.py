"""Lets base and trained adapter answer: rows of train and valid → replies, kept from one run to the next.

Answering is the dear part, and a rating or another filter changes none of it: what was answered is kept in
`.work/prefer/` under the hash of all that decides it, some prompts a file.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from twin.config.prefer import PreferConfig, Rejected
from twin.errors import DataError
from twin.files import canonical_json, read_jsonl, sha256_file, sha256_text, write_jsonl
from twin.model import Base, attach, load_base
from twin.preference import PERSON
from twin.progress import teller
from twin.reply import Speaker
from twin.runlog import work_folder
from twin.tokens import Example, encode, prompt_tokens
from twin.training.checkpoint import machine

CHUNK = 32  # prompts whose replies are kept together; a kill costs at most these
ARMS = {Rejected.base: ["base"], Rejected.twin: ["twin"], Rejected.both: ["base", "twin"]}

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Answers:
    """What was answered."""

    rows: list[dict[str, Any]]
    """The person's replies, then the models', part by part."""
    too_long: dict[str, int]
    """Part → prompts that do not fit with a reply, and were not asked."""


def answers(
    folder: Path,
    adapter: Path,
    asked: Mapping[str, Sequence[Row]],
    config: PreferConfig,
    *,
    max_tokens: int,
    code: object,
) -> Answers:
    """Answer the prompts of each part, greedily.

    Args:
        folder: of the base.
        adapter: of the trained adapter.
        asked: the rows of each part.
        config: from params.yaml.
        max_tokens: that the adapter was trained with; a prompt has to fit with each reply.
        code: what else decides a reply.

    Raises:
        DataError: no prompt of a part fits.
    """
    base = load_base(folder)
    fitting, rows = dict[str, list[Row]](), list[dict[str, Any]]()
    for part, some in asked.items():
        own = {row["id"]: encode(row["messages"], base.tokenizer, row["id"]) for row in some}
        fitting[part] = [row for row in some if _room(own[row["id"]], config.max_new_tokens) <= max_tokens]
        if some and not fitting[part]:
            raise DataError(
                f"data/split/{part}.jsonl: none of {len(some)} prompts fits into the {max_tokens} tokens that the "
                f"adapter was trained with, beside a reply of prefer.max_new_tokens, {config.max_new_tokens}. Lower "
                "that, or raise train.max_tokens."
            )
        rows += [_own(part, row, own[row["id"]]) for row in fitting[part]]
    arms = ARMS[config.rejected]
    tell = teller(len(arms) * sum(map(len, fitting.values())))
    key = {"base": _weights(folder), "max_new_tokens": config.max_new_tokens, "code": code, "machine": machine()}
    for arm in arms:
        if arm == "twin":
            attach(base, adapter)
            key["adapter"] = _weights(adapter)
        speaker = Speaker(base)
        for part, some in fitting.items():
            said = chain.from_iterable(_kept(key, list(chunk), base, speaker, tell) for chunk in _chunks(some))
            rows += [
                {"split": part, "prompt_id": row["id"], "arm": arm, **reply}
                for row, reply in zip(some, said, strict=True)
            ]
    return Answers(rows, {part: len(asked[part]) - len(fitting[part]) for part in asked})


def _room(own: Example, max_new_tokens: int) -> int:
    return own.prompt_tokens + max(own.supervised, max_new_tokens + 1)


def _own(part: str, row: Row, own: Example) -> dict[str, Any]:
    said = {"text": row["messages"][-1]["content"], "tokens": own.supervised - 1, "stopped": True}
    return _of(part, row, PERSON, said)


def _of(part: str, row: Row, arm: str, said: Row) -> dict[str, Any]:
    return {"split": part, "prompt_id": row["id"], "arm": arm, **said}


def _weights(folder: Path) -> dict[str, str]:
    return {file.name: sha256_file(file) for file in sorted(folder.glob("*.safetensors"))}


def _chunks(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    return (rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK))


def _kept(
    key: Mapping[str, Any], rows: Sequence[Row], base: Base, speaker: Speaker, tell: Callable[[], None]
) -> list[Row]:
    """Return the reply to each row, as it was kept or else as the speaker says it."""
    prompts = [prompt_tokens(row["messages"][:-1], base.tokenizer) for row in rows]
    path = work_folder() / "prefer" / f"{sha256_text(canonical_json([key, prompts]))[:32]}.jsonl"
    if path.exists():
        for _ in rows:
            tell()
        return read_jsonl(path)
    said: dict[int, Row] = {}
    for place, reply in speaker.replies(prompts, key["max_new_tokens"]):
        said[place] = {"text": reply.text, "tokens": reply.tokens, "stopped": reply.stopped}
        tell()
    found = [said[place] for place in range(len(rows))]
    write_jsonl(path, found)
    return found
