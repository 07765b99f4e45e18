"""Two replies to one prompt, of which one is preferred: prompts, replies → pairs, and why others make none."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rapidfuzz import fuzz

from twin.config.prefer import PreferConfig
from twin.preference import PERSON, unusable
from twin.text import normalise

RATING = "rating"

Row = Mapping[str, Any]
LeftOut = dict[str, Counter[str]]
"""Part → reason → how many."""


@dataclass(frozen=True)
class Said:
    """A reply to a prompt; tokens without the stop token."""

    arm: str
    text: str
    tokens: int


@dataclass(frozen=True)
class Asked:
    """A prompt of a part, and the whole replies to it: the person's and those of the models."""

    part: str
    row: Row
    replies: Mapping[str, Said]
    """Arm → reply."""

    def pair(self, chosen: str, rejected: str, source: str) -> "Pair":
        """Return the pair of two arms' replies."""
        return Pair(
            id=f"{self.row['id']}/{chosen}/{rejected}",
            split=self.part,
            source=source,
            conversation_id=self.row["conversation_id"],
            messages=self.row["messages"][:-1],
            chosen=self.replies[chosen].text,
            rejected=self.replies[rejected].text,
            chosen_tokens=self.replies[chosen].tokens,
            rejected_tokens=self.replies[rejected].tokens,
        )


@dataclass(frozen=True)
class Pair:
    """A line of pairs.jsonl."""

    id: str
    split: str
    source: str
    """`base` or `twin`, whose reply is rejected; `rating` where a rater chose."""
    conversation_id: str
    messages: Sequence[Mapping[str, str]]
    """The prompt of both."""
    chosen: str
    rejected: str
    chosen_tokens: int
    rejected_tokens: int

    def to_json(self) -> dict[str, Any]:
        """Return the pair as JSON values."""
        return asdict(self)


def whole(asked: Mapping[str, Sequence[Row]], replies: Iterable[Row]) -> tuple[list[Asked], LeftOut]:
    """Join prompts with the replies that may teach, and count the others."""
    left_out: LeftOut = {part: Counter() for part in asked}
    said: dict[tuple[str, str], dict[str, Said]] = {}
    for reply in replies:
        reason = unusable(reply)
        if reason:
            left_out[reply["split"]][reason] += 1
        else:
            arms = said.setdefault((reply["split"], reply["prompt_id"]), {})
            arms[reply["arm"]] = Said(reply["arm"], reply["text"], reply["tokens"])
    joined = [Asked(part, row, said.get((part, row["id"]), {})) for part, rows in asked.items() for row in rows]
    return [one for one in joined if PERSON in one.replies], left_out


def made(asked: Iterable[Asked], judged: Iterable[Pair], left_out: LeftOut) -> list[Pair]:
    """Prefer the person's reply to every other one, unless a rater said otherwise."""
    overruled = {(pair.split, pair.id) for pair in judged}
    pairs = []
    for one in asked:
        for arm in sorted(one.replies.keys() - {PERSON}):
            ids = {f"{one.row['id']}/{PERSON}/{arm}", f"{one.row['id']}/{arm}/{PERSON}"}
            if overruled.isdisjoint((one.part, name) for name in ids):
                pairs.append(one.pair(PERSON, arm, arm))
            else:
                left_out[one.part]["rated"] += 1
    return pairs


def sift(pairs: Iterable[Pair], config: PreferConfig, left_out: LeftOut) -> tuple[list[Pair], list[Pair]]:
    """Leave out pairs that say nothing; return the others, and those of them whose lengths match."""
    told, seen = [], set[tuple[str, str, str, str]]()
    for pair in pairs:
        reason = _idle(pair, config.agreement, seen)
        if reason:
            left_out[pair.split][reason] += 1
        else:
            told.append(pair)
    matched = [pair for pair in told if _matches(pair, config.length_ratio)]
    for pair in told:
        left_out[pair.split]["length"] += not _matches(pair, config.length_ratio)
    return told, matched


def _idle(pair: Pair, agreement: float, seen: set[tuple[str, str, str, str]]) -> str | None:
    chosen, rejected = normalise(pair.chosen), normalise(pair.rejected)
    if fuzz.ratio(chosen, rejected) >= agreement:
        return "agree"
    known = (pair.split, normalise(pair.messages[-1]["content"]), chosen, rejected)
    if known in seen:
        return "duplicate"
    seen.add(known)
    return None


def _matches(pair: Pair, ratio: float | None) -> bool:
    # The stop token is a token of both: a reply of one token is at most twice as short as one of three.
    shorter, longer = sorted((pair.chosen_tokens + 1, pair.rejected_tokens + 1))
    return ratio is None or longer <= ratio * shorter
