"""When not to answer: a reply and how sure it is → auto, draft or abstain, with the reason.

Each gate can only make an action stricter, so a lower confidence never permits more. What a turn does is read by its
English form (`twin.acts`): in other languages corrections are not seen, and the confidence alone decides.
"""

import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from twin.acts import act
from twin.live.interface import Action
from twin.live.settings import GateSettings

REFUSING: Final = ("correction", "refusal")
MOST_CONVERSATIONS: Final = 10_000
"""Remembered; of more, the one that was answered longest ago is forgotten, whose time is over in practice."""
_SENTENCE: Final = re.compile(r"(?<=[.!?…\n])\s+|\n+")


@dataclass(frozen=True)
class Judged:
    """What the gates look at."""

    message: str
    reply: str
    finish: str
    """`stop` or `length`."""
    confidence: float | None
    unsure: str = "there is no calibration"
    """Why there is no confidence."""
    distance: float | None = None
    """Of the message from the nearest training prompt."""
    novel_from: float | None = None


class Gates:
    """Decides about replies; remembers when each conversation was answered unseen, for as long as it lives."""

    def __init__(self, settings: GateSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._irreversible = _pattern(settings.irreversible)
        self._sent: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()

    def decide(self, judged: Judged, conversation: str | None) -> tuple[Action, str]:
        """Return what may be done with a reply, and why; an `auto` counts as sent.

        Conversations without a name count as one.
        """
        if against := "; ".join(self._abstaining(judged)):
            return Action.abstain, against
        if against := "; ".join(self._drafting(judged)):
            return Action.draft, against
        if wait_s := self._claim(conversation or ""):
            return Action.draft, f"this conversation was answered unseen; the next may go in {wait_s:.0f} s"
        return Action.auto, f"confidence {judged.confidence:.2f}"

    def _abstaining(self, judged: Judged) -> Iterator[str]:
        if not judged.reply.strip():
            yield "the reply is empty"
        if judged.distance is not None and judged.novel_from is not None and judged.distance > judged.novel_from:
            yield f"the question is far from all training prompts ({judged.distance:.2f} > {judged.novel_from:.2f})"
        if judged.confidence is not None and judged.confidence < self._settings.abstain_below:
            yield f"confidence {judged.confidence:.2f} is below {self._settings.abstain_below:.2f}"

    def _drafting(self, judged: Judged) -> Iterator[str]:
        for name, text in (("message", judged.message), ("reply", judged.reply)):
            if refuses(text):
                yield f"the {name} corrects or stops"
            if found := self._irreversible.search(text):
                yield f"the {name} speaks of what cannot be taken back ({found[0].lower()})"
        if judged.finish == "length":
            yield "the reply was cut at its limit"
        if judged.confidence is None:
            yield judged.unsure
        elif judged.confidence < self._settings.auto_from:
            yield f"confidence {judged.confidence:.2f} is below {self._settings.auto_from:.2f}"

    def _claim(self, conversation: str) -> float:
        """Count an automatic reply, or return how long the conversation has to wait for it."""
        with self._lock:
            now_s = self._clock()
            if conversation in self._sent:
                left_s = self._sent[conversation] + self._settings.auto_every_s - now_s
                if left_s > 0:
                    return left_s
            self._sent[conversation] = now_s
            self._sent.move_to_end(conversation)
            if len(self._sent) > MOST_CONVERSATIONS:
                self._sent.popitem(last=False)
            return 0.0


def refuses(text: str) -> bool:
    """Return whether any sentence of a text corrects, refuses or stops, by its form."""
    return any(act(sentence.strip()) in REFUSING for sentence in _SENTENCE.split(text) if sentence.strip())


def _pattern(words: Sequence[str]) -> re.Pattern[str]:
    parts = (re.escape(word.removesuffix("*")) + (r"\w*" if word.endswith("*") else "") for word in words)
    return re.compile(rf"(?<!\w)(?:{'|'.join(parts)})(?!\w)" if words else r"(?!)", re.IGNORECASE)
