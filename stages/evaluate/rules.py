"""The hard rules: a reply, what is usual for the person → the caps on its score, each with the rule's name."""

import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from rapidfuzz.fuzz import ratio

from stages.evaluate.patterns import RATE_MAX, Patterns
from stages.evaluate.person import (
    FAR,
    LONG_WORDS,
    Odd,
    Person,
    capital_words,
    copied_share,
    copies_whole,
    excess,
    familiar_bits,
    foreign_script_share,
    label,
    mixtures,
    order_bits,
    plain_sentences,
    words_per_sentence,
)
from stages.evaluate.replies import Reply, admissible
from stages.evaluate.words import emoji, invisible, sentences
from twin.protocol import Prompt
from twin.text import normalise

TOP = 3
ECHO_RATIO = 80
ECHO_CHARACTERS = 15
DISTINCT_PAIRS_MIN = 0.6
ZLIB_RATIO_MIN = 0.45
CAPITALS = 8
COPIED_MAX = 0.9
"""A copy is a copy, however often the person's few turns of phrase recur."""
PATCHES = 4
WRAPPERS = frozenset(
    map(tuple, ('""', "“”", "''", "‘’", "«»", "»«", "„“", "‚‘", "「」", "『』", "()", "[]", "<>", "**", "__", "``"))
)


@dataclass(frozen=True)
class Usual:
    """What a rule may know: the person, and the patterns that are not the person's."""

    person: Person
    patterns: Patterns


@dataclass(frozen=True)
class Rule:
    """One reason to cap a score; a matter of style is dropped when the person does it too."""

    name: str
    cap: int
    fires: Callable[[Reply, Usual], bool]
    style: bool = False


def empty(reply: Reply, usual: Usual) -> bool:
    """Nothing was said."""
    return not reply.text.strip()


def wordless(reply: Reply, usual: Usual) -> bool:
    """Marks or emoji only."""
    return not reply.words


def unfinished(reply: Reply, usual: Usual) -> bool:
    """The token limit ended it."""
    return not reply.stopped


def debris(reply: Reply, usual: Usual) -> bool:
    """Pieces of the chat format or the system line show."""
    return usual.patterns.hits("debris", reply) > 0


def hidden(reply: Reply, usual: Usual) -> bool:
    """Zero-width or control characters."""
    return invisible(reply.text)


def loop(reply: Reply, usual: Usual) -> bool:
    """The same words go round."""
    data = reply.text.encode("utf-8")
    if data and len(zlib.compress(data)) / len(data) < ZLIB_RATIO_MIN:
        return True
    pairs = list(zip(reply.words, reply.words[1:], strict=False))
    return len(reply.words) >= LONG_WORDS and len(set(pairs)) / len(pairs) < DISTINCT_PAIRS_MIN


def foreign_script(reply: Reply, usual: Usual) -> bool:
    """A fifth of the letters belong to scripts that the person does not use."""
    counts = usual.person.counts
    least = RATE_MAX * len(counts.conversations)
    return foreign_script_share(reply, frozenset(one for one, n in counts.scripts.items() if n > least)) >= 0.2


def echo(reply: Reply, usual: Usual) -> bool:
    """The prompt, or a sentence of it, comes back."""
    prompt = normalise(reply.prompt)
    shorter, longer = sorted((reply.plain, prompt), key=len)
    if len(shorter) >= ECHO_CHARACTERS and shorter in longer:
        return True
    if any(len(part) >= ECHO_CHARACTERS and part in reply.plain for part in map(normalise, sentences(reply.prompt))):
        return True
    return bool(shorter) and ratio(reply.plain, prompt) >= ECHO_RATIO


def slop_hard(reply: Reply, usual: Usual) -> bool:
    """A phrase of an assistant."""
    return usual.patterns.hits("hard", reply) == 1


def slop_hard_twice(reply: Reply, usual: Usual) -> bool:
    """Two phrases of an assistant."""
    return usual.patterns.hits("hard", reply) > 1


def slop_soft(reply: Reply, usual: Usual) -> bool:
    """A turn more usual with assistants."""
    return usual.patterns.hits("soft", reply) == 1


def slop_soft_twice(reply: Reply, usual: Usual) -> bool:
    """Two turns more usual with assistants."""
    return usual.patterns.hits("soft", reply) > 1


def profanity(reply: Reply, usual: Usual) -> bool:
    """Words the person does not use."""
    return usual.patterns.hits("profanity", reply) > 0


def test_talk(reply: Reply, usual: Usual) -> bool:
    """It speaks to the scorer."""
    return usual.patterns.hits("test_talk", reply) > 0


def markup(reply: Reply, usual: Usual) -> bool:
    """Lists, headings or bold type."""
    return usual.patterns.hits("markup", reply) > 0


def too_long(reply: Reply, usual: Usual) -> bool:
    """More words, or more sentences, than the person's longest replies, by far."""
    limits = usual.person.limits
    return len(reply.words) > FAR * limits.words or len(reply.sentences) > FAR * limits.sentences


def long_sentences(reply: Reply, usual: Usual) -> bool:
    """Longer sentences than the person's longest, by far."""
    return words_per_sentence(reply) > FAR * usual.person.limits.words_per_sentence


def capitals(reply: Reply, usual: Usual) -> bool:
    """Capitals throughout, for longer than the person ever writes so."""
    enough = sum(map(str.isalpha, reply.text)) >= CAPITALS
    return enough and capital_words(reply) > max(1, usual.person.limits.capital_words)


def rare_copy(reply: Reply, usual: Usual) -> bool:
    """More of it was said in one or two conversations only than the person repeats: memorised, not meant."""
    most = min(COPIED_MAX, usual.person.limits.copied_share)
    return copies_whole(reply, usual.person.counts) or copied_share(reply, usual.person.counts) > most


def quoted(reply: Reply, usual: Usual) -> bool:
    """The whole reply in quotation marks, brackets or marks of emphasis."""
    text = reply.text.strip().rstrip(".,;:!?…。！？ ")
    return len(text) > 2 and (text[0], text[-1]) in WRAPPERS


def labelled(reply: Reply, usual: Usual) -> bool:
    """A "Name:" in front that the person does not use."""
    counts = usual.person.counts
    name = label(reply)
    return bool(name) and not counts.elsewhere(counts.labels, name, reply)


def mixed_scripts(reply: Reply, usual: Usual) -> bool:
    """Letters of two scripts in one word, as the person never mixes them."""
    counts = usual.person.counts
    return any(not counts.elsewhere(counts.mixtures, mixture, reply) for mixture in mixtures(reply))


def off_topic(reply: Reply, usual: Usual) -> bool:
    """No admissible word in an answer to one of the ten prompts."""
    return not reply.on_topic


def _odd(reply: Reply, usual: Usual) -> Odd:
    limits = usual.person.limits
    return limits.long if len(reply.words) >= LONG_WORDS else limits.short


def foreign_words(reply: Reply, usual: Usual) -> bool:
    """More words unknown to the person and the prompt than in the person's oddest replies."""
    return bool(reply.words) and familiar_bits(reply, usual.person.counts) < _odd(reply, usual).familiar


def foreign_words_far(reply: Reply, usual: Usual) -> bool:
    """More by far: no reply of the person's, whatever it is about."""
    return bool(reply.words) and familiar_bits(reply, usual.person.counts) < _odd(reply, usual).foreign


def heap(reply: Reply, usual: Usual) -> bool:
    """Words in no order the person would put them in."""
    return bool(reply.words) and order_bits(reply, usual.person.counts) < _odd(reply, usual).order


def emoji_heap(reply: Reply, usual: Usual) -> bool:
    """More emoji than the person ever uses at once."""
    return emoji(reply.text) > usual.person.limits.emoji


def patchwork(reply: Reply, usual: Usual) -> bool:
    """Four or more sentences, all of them known from the person."""
    counts = usual.person.counts
    known = [counts.elsewhere(counts.sentences, sentence, reply) > 0 for sentence in plain_sentences(reply)]
    return len(known) >= PATCHES and all(known)


RULES = (
    Rule("empty", 0, empty),
    Rule("wordless", 0, wordless, style=True),
    Rule("unfinished", 0, unfinished),
    Rule("debris", 0, debris),
    Rule("hidden", 0, hidden),
    Rule("loop", 0, loop),
    Rule("foreign_script", 0, foreign_script),
    Rule("echo", 0, echo),
    Rule("heap", 0, heap),
    Rule("foreign_words_far", 0, foreign_words_far),
    Rule("slop_hard_twice", 0, slop_hard_twice),
    Rule("test_talk", 0, test_talk),
    Rule("slop_hard", 1, slop_hard),
    Rule("slop_soft_twice", 1, slop_soft_twice),
    Rule("slop_soft", 2, slop_soft),
    Rule("profanity", 1, profanity),
    Rule("markup", 1, markup),
    Rule("too_long", 1, too_long),
    Rule("long_sentences", 1, long_sentences),
    Rule("capitals", 1, capitals),
    Rule("rare_copy", 1, rare_copy),
    Rule("quoted", 1, quoted, style=True),
    Rule("labelled", 1, labelled, style=True),
    Rule("mixed_scripts", 1, mixed_scripts, style=True),
    Rule("off_topic", 1, off_topic),
    Rule("foreign_words", 1, foreign_words),
    Rule("patchwork", 1, patchwork, style=True),
    Rule("emoji_heap", 1, emoji_heap),
)
INVALID = frozenset({"empty", "wordless", "unfinished", "debris", "hidden", "loop", "foreign_script", "echo"})
SLOP_RULES = frozenset({"slop_hard", "slop_hard_twice", "slop_soft", "slop_soft_twice"})
REPEATED = "repeated"
WORN = "worn"


def rules_for(usual: Usual, train: Sequence[Reply], prompts: Sequence[Prompt]) -> tuple[Rule, ...]:
    """Return the rules in use: a matter of style counts only if at most 0.5 % of the person's replies show it.

    What is off topic is known only of somebody whose replies hold admissible words for half of the prompts: the words
    are English, and another language has others.
    """
    most = RATE_MAX * len(train)
    shown = (rule for rule in RULES if not rule.style or sum(rule.fires(reply, usual) for reply in train) <= most)
    return tuple(rule for rule in shown if rule.fires is not off_topic or _speaks_of(train, prompts))


def _speaks_of(train: Sequence[Reply], prompts: Sequence[Prompt]) -> bool:
    known = sum(any(admissible(prompt, reply.lower) for reply in train) for prompt in prompts)
    return 2 * known >= len(prompts)


def fired(reply: Reply, usual: Usual, rules: Sequence[Rule]) -> dict[str, int]:
    """Return the caps of the rules that fire, by name."""
    return {rule.name: rule.cap for rule in rules if rule.fires(reply, usual)}


def repeated(replies: Sequence[Reply], usual: Usual) -> list[bool]:
    """Tell which replies of a set occur in it more often than one reply does in the person's own sets of ten."""
    times = Counter(reply.plain for reply in replies)
    return [times[reply.plain] > usual.person.limits.repeats for reply in replies]


def worn(replies: Sequence[Reply], usual: Usual) -> list[bool]:
    """Tell which replies of an arm it gives more often than the person would in as many.

    Each text is held against its own share of the person's replies, with room for chance and drift, so that neither one
    safe reply nor a handful of them carries an arm. As much excess as the person's own habits show from one time to a
    later one is left aside, the smallest first: one text given far too often is never among it.
    """
    person = usual.person
    over = sorted(excess([reply.plain for reply in replies], person.said, person.limits.repeats).items(), key=_smallest)
    left = person.limits.drift * len(replies)
    too_often = {
        text for (text, _), sum_so_far in zip(over, accumulate(n for _, n in over), strict=True) if sum_so_far > left
    }
    return [reply.plain in too_often for reply in replies]


def _smallest(text_and_excess: tuple[str, float]) -> tuple[float, str]:
    text, replies = text_and_excess
    return replies, text
