"""Where train ends and judging begins: conversations, oldest first → the four parts, and the halves of cal."""

from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise

from stages.split.examples import Conversation
from twin.config.split import SplitConfig
from twin.errors import ConfigError, DataError

PARTS = ("train", "valid", "cal", "test")
FEWEST = {"train": 1, "valid": 1, "cal": 2, "test": 1}
"""Conversations a part cannot do without; cal has two halves."""

Parts = dict[str, list[Conversation]]


def apportion(conversations: Sequence[Conversation], config: SplitConfig) -> Parts:
    """Return the conversations of each part.

    Raises:
        ConfigError: the shares do not sum to 1.
        DataError: there are too few conversations for four parts.
    """
    sizes = [len(conversation.replies) for conversation in conversations]
    if len(sizes) < sum(FEWEST.values()):
        raise DataError(
            f"data/augment/examples.jsonl: {sum(sizes)} replies in {len(sizes)} conversations leave a part empty: "
            "train, valid and test need a conversation each, cal two. Bring more conversations, or raise "
            f"split.reply_characters_max ({config.reply_characters_max}) if long replies were dropped."
        )
    edges = [0, *_cuts(sizes, config), len(sizes)]
    return {name: list(conversations[start:stop]) for name, (start, stop) in zip(PARTS, pairwise(edges), strict=True)}


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


def halves(cal: Iterable[Conversation]) -> dict[str, str]:
    """Return the half of each conversation of cal, by id: largest first, each to the half with fewer replies.

    On a tie to `cut`, whose quantiles need a least number of replies; `fit` only grows weaker.
    """
    replies = {"cut": 0, "fit": 0}
    chosen: dict[str, str] = {}
    for conversation in sorted(cal, key=lambda conversation: len(conversation.replies), reverse=True):
        half = min(replies, key=lambda name: replies[name])
        replies[half] += len(conversation.replies)
        chosen[conversation.id] = half
    return chosen
