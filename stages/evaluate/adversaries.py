"""Sets of ten replies that must fail: the person's own answers, the ten prompts → broken, foreign and gaming ones.

Most sets wrap a good answer of the person, on topic and in voice, so that only the rule they aim at can refuse them.
"""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from stages.evaluate.person import RARE_CONVERSATIONS, Person, familiar_bits, runs
from stages.evaluate.replies import Reply, fixed
from twin.files import read_text
from twin.protocol import Prompt

TEXTS = Path(__file__).with_name("adversaries.yaml")
LOOKALIKES = str.maketrans(
    "aeopcyxABEHKMOPCTXаеорсухАВЕНКМОРСТХ",
    "аеорсухАВЕНКМОРСТХaeopcyxABEHKMOPCTX",
)
ZERO_WIDTH_SPACE = "\u200b"
SALAD_WORDS = 8
SHORT_SALAD_WORDS = 4
COMMON_WORDS = 100
LANGUAGES = 2
LOOPS = 6


def adversaries(
    own: Sequence[str], prompts: Sequence[Prompt], person: Person, train: Sequence[Reply]
) -> dict[str, list[str]]:
    """Return the adversarial sets by name, a text for each prompt; `own` are the person's answers to them."""
    texts = yaml.safe_load(read_text(TEXTS))
    asked = [prompt.text for prompt in prompts]
    sets = {
        "empty": [""] * len(own),
        "spaces": [" " * (1 + place) + "\n" for place in range(len(own))],
        "dots": ["…"] * len(own),
        "emoji": list(texts["emoji"]),
        "echo": asked,
        "echo_tail": [f"{prompt} {reply}" for prompt, reply in zip(asked, own, strict=True)],
        "continue": ["continue"] * len(own),
        "yes": ["Yes."] * len(own),
        "train_copies": train_copies(train, prompts, person),
        "profanity": _wrapped(texts["swearing"], own),
        "capitals": [reply.upper() for reply in own],
        "loop": [" ".join([reply] * LOOPS) for reply in own],
        "debris": _wrapped(texts["debris"], own),
        "slop_opener": _wrapped(texts["openers"], own),
        "keyword_salad": salads(prompts, SALAD_WORDS),
        "short_salad": salads(prompts, SHORT_SALAD_WORDS),
        "own_words": heaps(prompts, person),
        "concatenated": [" ".join(_next(own, place, len(own))) for place in range(len(own))],
        "nonsense": list(texts["nonsense"]),
        "as_an_ai": _wrapped(texts["disclaimers"], own),
        "zero_width": [ZERO_WIDTH_SPACE.join((reply[:1], reply[1:])) for reply in own],
        "homoglyphs": [reply.translate(LOOKALIKES) for reply in own],
        "markdown_list": ["\n".join(f"- {one}" for one in _next(own, place, 3)) for place in range(len(own))],
        "score_this": _wrapped(texts["test_talk"], own),
        "quoted": [f'"{reply}"' for reply in own],
        "named": _wrapped(texts["names"], own),
        "leaked_tag": _wrapped(texts["tags"], own),
    }
    return sets | {f"language_{name}": list(lines) for name, lines in _foreign(texts["languages"], person)}


def _wrapped(templates: Sequence[str], own: Sequence[str]) -> list[str]:
    return [template.format(reply=reply) for template, reply in zip(templates, own, strict=True)]


def _next(own: Sequence[str], place: int, count: int) -> list[str]:
    return [own[(place + step) % len(own)] for step in range(count)]


def salads(prompts: Sequence[Prompt], count: int) -> list[str]:
    """Return so many admissible words of each prompt in a heap."""
    return [" ".join(random.Random(prompt.id).sample(_stems(prompt), count)) for prompt in prompts]


def heaps(prompts: Sequence[Prompt], person: Person) -> list[str]:
    """Return four of the person's commonest words in a heap for each prompt, behind an admissible one."""
    counted = sorted(person.counts.words.items(), key=lambda item: (-item[1], item[0]))
    common = [word for word, _ in counted if word][:COMMON_WORDS]
    if len(common) < SHORT_SALAD_WORDS:
        return []
    drawn = ((random.Random(prompt.id), prompt) for prompt in prompts)
    return [" ".join([dice.choice(_stems(prompt)), *dice.sample(common, SHORT_SALAD_WORDS)]) for dice, prompt in drawn]


def _stems(prompt: Prompt) -> list[str]:
    return [anchor.removesuffix("*") for anchor in prompt.anchors if " " not in anchor]


def train_copies(train: Sequence[Reply], prompts: Sequence[Prompt], person: Person) -> list[str]:
    """Return verbatim train replies that were said once or twice, on topic where there are such."""
    counts = person.counts.replies
    rare = [one for one in train if runs(one) and counts[one.plain] <= RARE_CONVERSATIONS]
    return pick(rare, prompts) if rare else []


def pick(replies: Sequence[Reply], prompts: Sequence[Prompt]) -> list[str]:
    """Return a reply for each prompt: the first on-topic one not yet taken, else the first not yet taken."""
    taken: list[str] = []
    for prompt in prompts:
        free = [one.text for one in replies if one.text not in taken] or [one.text for one in replies]
        fits = (text for text in free if fixed(prompt, "", text).on_topic)
        taken.append(next(fits, free[0]))
    return taken


def _foreign(languages: dict[str, Any], person: Person) -> list[tuple[str, list[str]]]:
    def known(lines: Sequence[str]) -> float:
        replies = [Reply("", "", "", "", line, "") for line in lines]
        return sum(familiar_bits(reply, person.counts) for reply in replies)

    return sorted(languages.items(), key=lambda item: (known(item[1]), item[0]))[:LANGUAGES]
