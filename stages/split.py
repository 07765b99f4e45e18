"""Which conversations are learned from and which judge: examples.jsonl → train, valid, cal and test.

Whole conversations, oldest first, so that nothing a model is judged on comes from a conversation it learned
from. Replies of train that a judging part holds too are purged, unless they are stock phrases.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from rapidfuzz.fuzz import ratio
from rapidfuzz.process import cdist

from twin.config.load import load
from twin.config.split import SplitConfig
from twin.errors import ConfigError, DataError
from twin.files import read_jsonl, write_json, write_jsonl
from twin.text import normalise

EXAMPLES = Path("data/augment/examples.jsonl")
SPLIT = Path("data/split")
METRICS = Path("metrics/split.json")

PARTS = ("train", "valid", "cal", "test")
FEWEST = {"train": 1, "valid": 1, "cal": 2, "test": 1}
"""Conversations a part cannot do without; cal has two halves."""

STRONG_REPLIES = {"train": 200, "valid": 20, "cal": 198, "test": 60}
STRONG_CONVERSATIONS = {"test": 20}
"""With fewer the run goes on and the gates that rest on the part are UNKNOWN."""

BLOCK = 1024
"""Texts compared with as many others at a time; bounds the score matrix to 4 MB."""

Row = dict[str, Any]
Parts = dict[str, list[Row]]


def split(examples: Sequence[Row], config: SplitConfig) -> tuple[Parts, Row]:
    """Return the rows of each part and the metrics that prove the parts apart.

    Raises:
        ConfigError: the shares do not sum to 1.
        DataError: a part is empty, or more of train is purged than `purge_share_max`.
    """
    answerable = [row for row in examples if _prompt_fits(row, config.prompt_characters_max)]
    kept = [row for row in answerable if len(reply(row)) <= config.reply_characters_max]
    parts = _parts(kept, config)
    plain = {text: normalise(text) for text in {reply(row) for row in kept}}
    stock = _stock(parts["train"], plain, config.stock_conversations)
    for name, rows in parts.items():
        parts[name] = [row | {"split": name, "stock": plain[reply(row)] in stock} for row in rows]
    _halve(parts["cal"])
    equal, similar = near_duplicates(parts, plain, config)
    learned = parts["train"]
    parts["train"] = [row for row in learned if plain[reply(row)] not in equal | similar]
    dropped = {
        "prompt_too_long": len(examples) - len(answerable),
        "reply_too_long": len(answerable) - len(kept),
        "equal": sum(plain[reply(row)] in equal for row in learned),
        "similar": sum(plain[reply(row)] in similar for row in learned),
    }
    purge_share = (dropped["equal"] + dropped["similar"]) / len(learned)
    _check_purge(len(parts["train"]), len(learned), purge_share, config)
    return parts, _metrics(parts, plain, config) | {"dropped": dropped, "purge_share": round(purge_share, 6)}


def _prompt_fits(row: Row, characters_max: int | None) -> bool:
    characters = sum(len(message["content"]) for message in row["messages"][:-1])
    return characters_max is None or characters <= characters_max


def reply(row: Row) -> str:
    """Return what the person said."""
    return str(row["messages"][-1]["content"])


def _parts(rows: Sequence[Row], config: SplitConfig) -> Parts:
    conversations = _conversations(rows)
    if len(conversations) < sum(FEWEST.values()):
        raise DataError(
            f"{EXAMPLES}: {len(rows)} replies in {len(conversations)} conversations leave a part empty: train, valid "
            f"and test need a conversation each, cal two. Bring more conversations, or raise "
            f"split.reply_characters_max ({config.reply_characters_max}) if long replies were dropped."
        )
    cuts = [0, *_cuts([len(conversation) for conversation in conversations], config), len(conversations)]
    return {
        name: [row for conversation in conversations[start:stop] for row in conversation]
        for name, (start, stop) in zip(PARTS, pairwise(cuts), strict=True)
    }


def _conversations(rows: Iterable[Row]) -> list[list[Row]]:
    """Return the rows by conversation, in the order of first turns, ties by id."""
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row["conversation_id"]].append(row)
    return sorted(found.values(), key=lambda conversation: _start(conversation[0]))


def _start(row: Row) -> tuple[datetime, str]:
    return datetime.fromisoformat(row["conversation_started_at"]), row["conversation_id"]


def _cuts(sizes: Sequence[int], config: SplitConfig) -> list[int]:
    """Return where valid, cal and test begin: the edge between conversations nearest to each share of the replies."""
    shares = [getattr(config, name) for name in PARTS]
    if abs(sum(shares) - 1) > 1e-9:
        raise ConfigError(f"split.train + valid + cal + test is {sum(shares):g}; the four shares must sum to 1.")
    replies = list(accumulate(sizes, initial=0))
    cuts: list[int] = []
    for number, share in enumerate(accumulate(shares[:-1]), 1):
        first = (cuts[-1] if cuts else 0) + FEWEST[PARTS[number - 1]]
        last = len(sizes) - sum(FEWEST[name] for name in PARTS[number:])
        goal = share * replies[-1]
        cuts.append(min(range(first, last + 1), key=lambda edge: abs(replies[edge] - goal)))
    return cuts


def _stock(train: Iterable[Row], plain: dict[str, str], conversations: int) -> set[str]:
    """Return the normalised replies said in so many conversations of train, as it is before the purge."""
    where: dict[str, set[str]] = defaultdict(set)
    for row in train:
        where[plain[reply(row)]].add(row["conversation_id"])
    return {text for text, found in where.items() if len(found) >= conversations}


def _halve(cal: Iterable[Row]) -> None:
    """Write `half` into the rows of cal: conversations, largest first, go to the half with fewer replies.

    On a tie to `cut`, whose quantiles need a least number of replies; `fit` only grows weaker.
    """
    replies = {"cut": 0, "fit": 0}
    for conversation in sorted(_conversations(cal), key=len, reverse=True):
        half = min(replies, key=lambda name: replies[name])
        replies[half] += len(conversation)
        for row in conversation:
            row["half"] = half


def near_duplicates(parts: Parts, plain: dict[str, str], config: SplitConfig) -> tuple[set[str], set[str]]:
    """Return the normalised replies of train, stock phrases aside, that equal and that resemble a judging part's."""
    train = {plain[reply(row)] for row in parts["train"] if not row["stock"]}
    judging = {plain[reply(row)] for name in PARTS[1:] for row in parts[name]}
    equal = train & judging
    return equal, set(_similar(train - equal, judging, config))


def _similar(texts: Iterable[str], others: Iterable[str], config: SplitConfig) -> Iterator[str]:
    """Yield those of `texts` with a ratio to one of `others` at or above the limit, both of them long enough.

    The ratio is 200 · common / (a + b) and common ≤ min(a, b): sorted by length, most pairs need no look.
    """
    ours, theirs = (_long(group, config.near_duplicate_characters) for group in (texts, others))
    lengths = [len(text) for text in theirs]
    limit = config.near_duplicate_ratio
    for start in range(0, len(ours), BLOCK):
        block = ours[start : start + BLOCK]
        first = bisect_left(lengths, int(len(block[0]) * limit / (200 - limit)))
        last = bisect_right(lengths, int(len(block[-1]) * (200 - limit) / limit) + 1)
        found = [False] * len(block)
        for other in range(first, last, BLOCK):
            scores = cdist(block, theirs[other : min(other + BLOCK, last)], scorer=ratio, score_cutoff=limit, workers=1)
            hits = np.asarray((scores >= limit).any(axis=1))
            found = [seen or bool(hit) for seen, hit in zip(found, hits.tolist(), strict=True)]
        yield from (text for text, hit in zip(block, found, strict=True) if hit)


def _long(texts: Iterable[str], characters: int) -> list[str]:
    return sorted((text for text in texts if len(text) >= characters), key=lambda text: (len(text), text))


def _check_purge(left: int, learned: int, purge_share: float, config: SplitConfig) -> None:
    if purge_share > config.purge_share_max or not left:
        raise DataError(
            f"{EXAMPLES}: {learned - left} of {learned} replies of train ({purge_share:.0%}) equal or resemble replies "
            f"of valid, cal or test; split.purge_share_max is {config.purge_share_max:.0%}. The data repeat "
            "themselves: look for copies of whole conversations in the export, or raise the limit knowingly."
        )


def _metrics(parts: Parts, plain: dict[str, str], config: SplitConfig) -> Row:
    """Count and prove, from the rows that will be written and not from how they came about."""
    ids = {name: {row["conversation_id"] for row in rows} for name, rows in parts.items()}
    return {
        "parts": {
            name: {"replies": len(rows), "conversations": len(ids[name]), "stock": sum(row["stock"] for row in rows)}
            for name, rows in parts.items()
        },
        "halves": {half: sum(row["half"] == half for row in parts["cal"]) for half in ("fit", "cut")},
        "proofs": _proofs(parts, plain, config),
        "strength": {
            name: len(parts[name]) >= replies and len(ids[name]) >= STRONG_CONVERSATIONS.get(name, 1)
            for name, replies in STRONG_REPLIES.items()
        },
    }


def _proofs(parts: Parts, plain: dict[str, str], config: SplitConfig) -> Row:
    ids = [{row["conversation_id"] for row in rows} for rows in parts.values()]
    starts = [[_start(row) for row in rows] for rows in parts.values()]
    copies = set[str]().union(*near_duplicates(parts, plain, config))
    return {
        "conversations_in_two_parts": sum(map(len, ids)) - len(set[str]().union(*ids)),
        "time_order": all(max(older) < min(newer) for older, newer in pairwise(starts)),
        "near_duplicates_left": sum(plain[reply(row)] in copies for row in parts["train"]),
    }


def main() -> None:
    """Run the stage."""
    parts, metrics = split(read_jsonl(EXAMPLES), load(SplitConfig))
    for name, rows in parts.items():
        write_jsonl(SPLIT / f"{name}.jsonl", rows)
    write_json(METRICS, metrics)
