"""What is usual for the person: train replies → counts and limits, nothing of it written in code.

A train reply is measured against the other conversations only, so that its numbers compare with those of a
reply that was never seen.
"""

import itertools
import math
import random
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from stages.evaluate.replies import Reply
from stages.evaluate.words import emoji, script, scripts, words
from twin.text import normalise

RUN_WORDS = 6
RUN_CHARACTERS = 30
RARE_CONVERSATIONS = 2
LONG_WORDS = 6
"""From here on sums over the words of a reply mean something; shorter replies are held against short ones."""
ODD_REPLIES = 99
"""Fewer different replies have no 1 % quantile: none of them is odd."""
SET_REPLIES = 10
FAR = 1.25
"""How far outside what is usual for the person is too far."""
WORN_FROM = 2
"""A reply may come twice, whoever gives it."""
WORN_QUANTILE = 0.995
DRIFT_CUTS = 4
"""The person's past is cut at each quarter, and what came later held against what came before."""
BACKOFF = 2.0
"""Weight of a word's own frequency in the pair model."""
UNKNOWN_BITS = 5.0
"""On real transcripts 4 to 6 refuse nine heaps of keywords in ten and 1 % of real replies; 2 half of them."""
T = TypeVar("T", bound=Hashable)


@dataclass(frozen=True)
class Odd:
    """How little the words of the person's oddest replies have to do with the others', in bits; the 1 % quantiles."""

    order: float
    familiar: float
    foreign: float
    """A quarter further from the median than `familiar`."""


NOTHING_ODD = Odd(-math.inf, -math.inf, -math.inf)


@dataclass(frozen=True)
class Limits:
    """The person's own 99.5 % quantiles."""

    words: float
    sentences: float
    words_per_sentence: float
    capital_words: float
    """Words of a reply in capitals throughout."""
    copied_share: float
    emoji: float
    short: Odd
    """Of replies of up to five words."""
    long: Odd
    repeats: int
    """How often one reply occurs among ten in a row, 99 % quantile."""
    drift: float
    """Greatest share of later replies in excess of what earlier ones foretell, 0 to 1."""


@dataclass(frozen=True)
class Counts:
    """In how many of the person's conversations something occurs."""

    conversations: frozenset[str]
    replies: Counter[str]
    words: Counter[str]
    pairs: Counter[tuple[str, str]]
    runs: Counter[str]
    sentences: Counter[str]
    labels: Counter[str]
    scripts: Counter[str]
    mixtures: Counter[frozenset[str]]

    def elsewhere(self, counter: Counter[T], item: T, reply: Reply) -> int:
        """Return the number of conversations with `item`, without the reply's own."""
        return max(0, counter[item] - (reply.conversation_id in self.conversations))


@dataclass(frozen=True)
class Person:
    """Counts, the limits they give, and how often each reply was said."""

    counts: Counts
    limits: Limits
    said: Counter[str]
    """Normalised replies, every time counted."""


def measure(train: Sequence[Reply]) -> Person:
    """Count and measure the person's replies; `train` in the order they were said."""
    counts = count(train)
    return Person(counts, _limits(train, counts), Counter(reply.plain for reply in train))


def count(train: Sequence[Reply]) -> Counts:
    """Count in how many conversations each thing occurs."""
    return Counts(
        conversations=frozenset(reply.conversation_id for reply in train),
        replies=_conversations(train, lambda reply: [reply.plain]),
        words=_conversations(train, lambda reply: ["", *reply.words]),
        pairs=_conversations(train, pairs),
        runs=_conversations(train, lambda reply: runs(reply).values()),
        sentences=_conversations(train, plain_sentences),
        labels=_conversations(train, lambda reply: [label(reply)]),
        scripts=_conversations(train, lambda reply: scripts(reply.text)),
        mixtures=_conversations(train, mixtures),
    )


def _conversations(train: Sequence[Reply], items: Callable[[Reply], Iterable[T]]) -> Counter[T]:
    seen = {(reply.conversation_id, item) for reply in train for item in items(reply)}
    return Counter(item for _, item in seen)


def pairs(reply: Reply) -> list[tuple[str, str]]:
    """Return each word with the one before it, "" before the first."""
    return list(zip(["", *reply.words], reply.words, strict=False))


def runs(reply: Reply) -> dict[int, str]:
    """Return all runs of six words that are long enough to be nobody's commonplace, by their first word's place."""
    starts = range(len(reply.words) - RUN_WORDS + 1)
    found = ((start, " ".join(reply.words[start : start + RUN_WORDS])) for start in starts)
    return {start: run for start, run in found if len(run) >= RUN_CHARACTERS}


def copied_share(reply: Reply, counts: Counts) -> float:
    """Return the share of words in runs that the person said in one or two conversations only."""
    rare = [start for start, run in runs(reply).items() if is_rare(run, reply, counts)]
    copied = {place for start in rare for place in range(start, start + RUN_WORDS)}
    return len(copied) / max(1, len(reply.words))


def copies_whole(reply: Reply, counts: Counts) -> bool:
    """Tell whether it equals a long reply that the person gave in one or two conversations only."""
    long = len(reply.words) >= RUN_WORDS and len(reply.plain) >= RUN_CHARACTERS
    return long and 0 < counts.elsewhere(counts.replies, reply.plain, reply) <= RARE_CONVERSATIONS


def is_rare(run: str, reply: Reply, counts: Counts) -> bool:
    """Tell whether the person said it, but hardly ever."""
    return 0 < counts.elsewhere(counts.runs, run, reply) <= RARE_CONVERSATIONS


def plain_sentences(reply: Reply) -> list[str]:
    """Return the sentences, normalised."""
    return [normalise(sentence) for sentence in reply.sentences]


def label(reply: Reply) -> str:
    """Return what stands before a colon at the start, up to three words; "" if nothing does."""
    head, colon, rest = reply.text.lstrip(" *_[(").partition(":")
    named = colon and rest.strip() and "\n" not in head and 0 < len(head.split()) <= 3
    return normalise(head) if named else ""


def mixtures(reply: Reply) -> list[frozenset[str]]:
    """Return the sets of two or more scripts that meet inside one word."""
    return [found for word in reply.words if len(found := scripts(word)) > 1]


def order_bits(reply: Reply, counts: Counts) -> float:
    """Return how much the order of words explains: bits gained by knowing the word before, / √words.

    Words thrown in a heap come near or below 0. The root makes replies of different lengths compare.
    """
    total = counts.words.total()
    bits = 0.0
    for before, word in pairs(reply):
        alone = (counts.elsewhere(counts.words, word, reply) + 0.5) / total
        together = counts.elsewhere(counts.pairs, (before, word), reply) + BACKOFF * alone
        bits += math.log2(together / (counts.elsewhere(counts.words, before, reply) + BACKOFF) / alone)
    return bits / math.sqrt(len(reply.words))


def familiar_bits(reply: Reply, counts: Counts) -> float:
    """Return `order_bits` less five bits for each word that neither the person nor the prompt used."""
    given = set(words(reply.prompt))
    unknown = sum(not counts.elsewhere(counts.words, word, reply) and word not in given for word in reply.words)
    return order_bits(reply, counts) - UNKNOWN_BITS * unknown / math.sqrt(len(reply.words))


def foreign_script_share(reply: Reply, usual: frozenset[str]) -> float:
    """Return the share of letters in scripts other than the usual ones."""
    letters = [script(letter) for letter in reply.text if letter.isalpha()]
    return sum(one not in usual for one in letters) / len(letters) if letters else 0.0


def _limits(train: Sequence[Reply], counts: Counts) -> Limits:
    repeats = _usual_repeats(train)
    return Limits(
        words=_quantile([len(reply.words) for reply in train], 0.995),
        sentences=_quantile([len(reply.sentences) for reply in train], 0.995),
        words_per_sentence=_quantile([words_per_sentence(reply) for reply in train], 0.995),
        capital_words=_quantile([capital_words(reply) for reply in train], 0.995),
        copied_share=_quantile([copied_share(reply, counts) for reply in train], 0.995),
        emoji=_quantile([emoji(reply.text) for reply in train], 0.995),
        short=_telling([reply for reply in train if 0 < len(reply.words) < LONG_WORDS], counts),
        long=_odd([reply for reply in train if len(reply.words) >= LONG_WORDS], counts),
        repeats=repeats,
        drift=_drift([reply.plain for reply in train], repeats),
    )


def _telling(replies: Sequence[Reply], counts: Counts) -> Odd:
    """Where half of the heaps made of the replies' own words would pass, a limit only costs: none is set."""
    odd = _odd(replies, counts)
    heaps = _heaps(replies)
    refused = sum(order_bits(heap, counts) < odd.order or familiar_bits(heap, counts) < odd.familiar for heap in heaps)
    return odd if 2 * refused > len(heaps) else NOTHING_ODD


def _heaps(replies: Sequence[Reply]) -> list[Reply]:
    """Deal the words of the replies out again at random, as many to each as it had; single words are no heap."""
    several = [reply for reply in replies if len(reply.words) > 1]
    pool = iter(random.Random(0).sample(words := [word for reply in several for word in reply.words], len(words)))
    texts = (" ".join(itertools.islice(pool, len(reply.words))) for reply in several)
    return [replace(reply, conversation_id="", text=text) for reply, text in zip(several, texts, strict=True)]


def _odd(replies: Sequence[Reply], counts: Counts) -> Odd:
    if len({reply.plain for reply in replies}) < ODD_REPLIES:
        return NOTHING_ODD
    familiar = [familiar_bits(reply, counts) for reply in replies]
    least = _quantile(familiar, 0.01)
    return Odd(
        order=_quantile([order_bits(reply, counts) for reply in replies], 0.01),
        familiar=least,
        foreign=least - (FAR - 1) * (_quantile(familiar, 0.5) - least),
    )


def words_per_sentence(reply: Reply) -> float:
    """Return the mean number of words a sentence."""
    return len(reply.words) / max(1, len(reply.sentences))


def capital_words(reply: Reply) -> int:
    """Return the number of words if all letters are capitals, else 0."""
    return len(reply.words) if reply.text.isupper() else 0


def excess(texts: Sequence[str], said: Counter[str], repeats: int) -> dict[str, float]:
    """Return by how many replies each normalised text passes what `said` makes likely in as many; only those above 0.

    Likely is the 99.5 % quantile of a binomial at 1.25 times the text's share, at least 2 and `repeats`.
    """
    from scipy.stats import binom

    total, least = max(1, said.total()), max(WORN_FROM, repeats)
    times = {text: n for text, n in Counter(texts).items() if n > least}
    shares = [min(1.0, FAR * said[text] / total) for text in times]
    likely = np.maximum(least, binom.ppf(WORN_QUANTILE, len(texts), shares))
    return {text: n - float(most) for (text, n), most in zip(times.items(), likely, strict=True) if n > most}


def _drift(texts: Sequence[str], repeats: int) -> float:
    """`texts` in the order they were said."""
    cuts = [len(texts) * part // DRIFT_CUTS for part in range(1, DRIFT_CUTS)]
    parts = [(texts[:cut], texts[cut:]) for cut in cuts]
    shares = (sum(excess(later, Counter(earlier), repeats).values()) / max(1, len(later)) for earlier, later in parts)
    return max(shares, default=0.0)


def _quantile(values: Sequence[float], share: float) -> float:
    """An observed value, never one between two; for no values the limit that nothing passes."""
    if not values:
        return math.inf if share > 0.5 else -math.inf
    return float(np.quantile(values, share, method="higher" if share > 0.5 else "lower"))


def _usual_repeats(train: Sequence[Reply]) -> int:
    starts = range(0, len(train) - SET_REPLIES + 1, SET_REPLIES)
    most = [max(Counter(one.plain for one in train[start : start + SET_REPLIES]).values()) for start in starts]
    return int(np.quantile(most, 0.99, method="lower")) if most else 1
