"""What the data are enough for: examples, supervised tokens, a configuration → sentences.

Source of the figures: the research note's rank table, effective batch and learning rates, for about 150,000 supervised
tokens.
"""

import math
from dataclasses import dataclass
from pathlib import Path

from twin.config.model import ModelConfig
from twin.files import read_json, read_jsonl
from twin.plan.candidates import Planned

METRICS = Path("metrics/train.json")
SPLIT = Path("data/split/train.jsonl")
BYTES_PER_TOKEN = 4  # of English, with vocabularies of 100 thousand and more

KNOWN_TOKENS = 150_000
KNOWN_RANK = 32
KNOWN_RANKS = (
    "32 first choice, 16 second choice, 8 only with DoRA, 64 only with weight decay 0.1 and dropout 0.1, "
    "128 and more not"
)
EFFECTIVE_BATCH = "8 is advised, 4 is too noisy, 16 makes too few updates"


@dataclass(frozen=True)
class Data:
    """What there is to learn from."""

    examples: int
    supervised: int
    source: Path
    estimated: bool


def read_data() -> Data | None:
    """Return what the last training counted, else an estimate from the split, else None."""
    if METRICS.exists():
        metrics = read_json(METRICS)
        return Data(metrics["examples"]["train"], metrics["supervised_tokens"]["train"], METRICS, estimated=False)
    if SPLIT.exists():
        replies = [row["messages"][-1]["content"] for row in read_jsonl(SPLIT)]
        tokens = sum(len(reply.encode()) // BYTES_PER_TOKEN + 1 for reply in replies)  # 1: the stop token
        return Data(len(replies), tokens, SPLIT, estimated=True)
    return None


def advise(planned: Planned, data: Data | None, rate: float, model: ModelConfig | None) -> list[str]:
    """Return the advice for `planned` at the learning rate `rate`, one sentence an entry."""
    effective = planned.train.batch * planned.train.accumulate
    lines = [f"No data are counted yet: `dvc repro split` makes {SPLIT}."] if data is None else _data(planned, data)
    return [
        *lines,
        f"Ranks, for about {KNOWN_TOKENS:,} supervised tokens: {KNOWN_RANKS}.{_scaled(data)}",
        _rate(rate, model),
        f"The effective batch is {effective}; {EFFECTIVE_BATCH}.",
    ]


def _data(planned: Planned, data: Data) -> list[str]:
    seen = planned.train.updates * planned.train.batch * planned.train.accumulate
    about = "about " if data.estimated else ""
    how = (
        f"estimated from {data.source} at {BYTES_PER_TOKEN} bytes a token"
        if data.estimated
        else f"the last training: {data.source}"
    )
    per_token = planned.parameters / max(data.supervised, 1)
    return [
        f"{data.examples:,} examples with {about}{data.supervised:,} supervised tokens ({how}).",
        f"{planned.train.updates:,} updates of {planned.train.batch * planned.train.accumulate} examples are "
        f"{seen / max(data.examples, 1):.2f} epochs.",
        f"{planned.title} trains {planned.parameters:,} parameters, {about}{per_token:,.1f} a supervised token.",
    ]


def _scaled(data: Data | None) -> str:
    """Say which rank gives these data as many parameters a token, where that is another."""
    tokens = data.supervised if data else KNOWN_TOKENS
    rank = matched_rank(tokens)
    if rank == KNOWN_RANK:
        return ""
    return (
        f" These data have {tokens / KNOWN_TOKENS:.2g} times as many; rank {rank} gives them about as many parameters "
        f"a token as {KNOWN_RANK} gives those."
    )


def matched_rank(tokens: int) -> int:
    """Return the rank, a power of two, that gives so many supervised tokens the note's number of parameters a token."""
    share = tokens / KNOWN_TOKENS
    return max(1, 2 ** round(math.log2(KNOWN_RANK * share))) if share else 1


def _rate(rate: float, model: ModelConfig | None) -> str:
    if model is None:
        return f"optimizer.learning_rate is {rate:g}; its safe range belongs to the model's file in conf/model/."
    low, high = model.learning_rate_min, model.learning_rate_max
    where = "lies in" if low <= rate <= high else "is below" if rate < low else "is above"
    move = "" if low <= rate <= high else f" -S optimizer.learning_rate={math.sqrt(low * high):.0e} is its middle."
    return f"optimizer.learning_rate {rate:g} {where} the safe range of {model.id}, {low:g} to {high:g}.{move}"
