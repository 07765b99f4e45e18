"""What a rater can do: answer, undo, end → the journal, and what the page may know of it.

`step` counts what has happened so far. Each request says at which step it was meant: the same one twice does nothing
the second time, and one from a tab that is behind is refused.
"""

import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Final

from twin.rate.journal import ENDED, Journal
from twin.rate.material import CHALLENGER, PERSON, Key, Question
from twin.rate.plan import Item
from twin.ratings import CANT_TELL, Mode, read_sessions, void
from twin.ratings.session import SCORES, SHOWN, SIDES
from twin.sequential import CAP, walk

PACED: Final = 3
"""Answers before a pace is told."""
LONGEST_S: Final = 3600.0
NEXT: Final = dict.fromkeys(Mode, "dvc repro promote") | {Mode.prefer: "dvc repro align"}
"""What takes the ratings up."""
Row = dict[str, Any]


class StaleError(Exception):
    """The request was meant for a step that is over."""


class RefusedError(Exception):
    """The request makes no sense, at this step or at any."""


@dataclass
class Sitting:
    """One session in progress; its methods may be called by several threads."""

    journal: Journal
    items: Sequence[Item]
    questions: Mapping[Key, Question]
    won_before: Sequence[bool] = ()
    """Of mode `pairs`: the decided pairs of earlier sessions, which the sequential test goes on from."""
    same: int = 0
    """Prompts left out, as their replies are the same."""
    ended: Row | None = None
    """How it ended: why it is void, None if it counts, its file, and what takes it up."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def mode(self) -> Mode:
        """What is asked."""
        return Mode(self.journal.header["mode"])

    @property
    def step(self) -> int:
        """How much has happened."""
        return len(self.journal.events)

    @property
    def given(self) -> list[Row]:
        """The answers that stand, in the order of the items."""
        answers: list[Row] = []
        for event in self.journal.events:
            if event["kind"] == "answer":
                answers.append(event)
            elif event["kind"] == "undo":
                answers.pop()
        return answers

    @property
    def done(self) -> bool:
        """Whether nothing more is asked."""
        return len(self.given) == len(self.items) or self._stopped

    def answer(self, step: object, item: object, answer: object, seconds: object) -> None:
        """Keep an answer.

        Raises:
            StaleError: another answer was kept at this step.
            RefusedError: it is no answer to the present item.
            StorageError: the disk refused; the answer is not kept.
        """
        event = {"kind": "answer", "item": item, "answer": answer}
        with self.lock:
            if not self._due(step, event):
                return
            if self.done or type(item) is not int or item != len(self.given) or not self._allowed(answer):
                raise RefusedError(f"{answer!r} is no answer to item {item!r}; item {len(self.given)} is asked")
            self.journal.add(event | {"seconds": _seconds(seconds)})
            # Told only at the end of a block: where a session ends says little of the answer before it. Once told it
            # stands, or an undo would show which answers matter.
            if self.items[len(self.given) - 1].closes and not self._stopped and self._decided():
                self.journal.add({"kind": "stop"})

    def undo(self, step: object) -> None:
        """Take the last answer back.

        Raises:
            StaleError: something else happened at this step.
            RefusedError: there is none.
        """
        with self.lock:
            if not self._due(step, {"kind": "undo"}):
                return
            if not self.given:
                raise RefusedError("there is no answer to take back")
            self.journal.add({"kind": "undo"})

    def end(self, step: object) -> None:
        """End the session: its file appears in data/ratings/ and says what lay where.

        Raises:
            StaleError: something else happened at this step.
            RefusedError: items are left.
        """
        with self.lock:
            if self.ended is not None:
                return
            if step != self.step:
                raise StaleError
            if not self.done:
                raise RefusedError(f"item {len(self.given)} is asked")
            self.journal.end([self._row(event) for event in self.given])
            self.ended = self._outcome()

    def view(self) -> Row:
        """Return what the page may know."""
        with self.lock:
            given = self.given
            seen: Row = {
                "mode": self.mode.value, "step": self.step, "item": len(given), "n_items": len(self.items),
                "may_be_fewer": self.mode is Mode.pairs, "can_undo": bool(given) and self.ended is None,
                "done": self.done, "ended": self.ended, "pace_s": None, "shown": None,
            }  # fmt: skip
            if len(given) >= PACED:
                seen["pace_s"] = round(median(event["seconds"] for event in given), 1)
            if not self.done and self.ended is None:
                seen["shown"] = self._shown(len(given))
            return seen

    @property
    def _stopped(self) -> bool:
        """Whether the test was over at the end of a block, and as much has been answered since."""
        stops = [place for place, event in enumerate(self.journal.events) if event["kind"] == "stop"]
        return bool(stops) and len(self.given) >= self.journal.events[stops[0] - 1]["item"] + 1

    def _due(self, step: object, event: Row) -> bool:
        """Return whether the event has yet to be kept; it is if the step before was this very one."""
        if self.ended is None and step == self.step:
            return True
        acts = [(at, one) for at, one in enumerate(self.journal.events) if one["kind"] != "stop"]
        if acts and acts[-1][0] == step and event.items() <= acts[-1][1].items():
            return False
        raise StaleError

    def _allowed(self, answer: object) -> bool:
        if self.mode is Mode.protocol:
            return isinstance(answer, int) and not isinstance(answer, bool) and answer in SCORES
        return answer in (*SIDES, CANT_TELL)

    def _decided(self) -> bool:
        if self.mode is not Mode.pairs:
            return False
        rows = map(self._row, self.given)
        chosen = [row["arms"].get(row["answer"]) for row in rows if not row["catch"] and row["repeat_of"] is None]
        walked = walk([*self.won_before, *(arm == CHALLENGER for arm in chosen if arm)])
        return walked.better or walked.worse or walked.n == CAP

    def _arms(self, item: Item) -> dict[str, str]:
        if self.mode is Mode.protocol:
            return {SHOWN: CHALLENGER}
        arms = sorted(self.questions[item.question].replies)
        return dict(zip(SIDES, arms if item.first_left else arms[::-1], strict=True))

    def _shown(self, number: int) -> Row:
        item = self.items[number]
        question = self.questions[item.question]
        before = [{"who": who, "text": text} for who, text in question.before]
        replies = {side: question.replies[arm] for side, arm in self._arms(item).items()}
        return {"prompt": question.prompt, "before": before, "replies": replies}

    def _row(self, event: Row) -> Row:
        item = self.items[event["item"]]
        arms = self._arms(item)
        prompt_set, prompt_id = item.question
        row = {
            "kind": "answer", "item": event["item"], "prompt_set": prompt_set, "prompt_id": prompt_id, "arms": arms,
            "answer": event["answer"], "repeat_of": item.repeat_of, "catch": item.catch, "seconds": event["seconds"],
        }  # fmt: skip
        right = 0 if self.mode is Mode.protocol else next((side for side, arm in arms.items() if arm == PERSON), None)
        return row | ({"right": right} if item.catch else {})

    def _outcome(self) -> Row:
        target = self.journal.target
        (session,) = (one for one in read_sessions(self.journal.root / ENDED) if one.path.name == target.name)
        return {"void": void(session), "file": target.as_posix(), "next": NEXT[self.mode]}


def _seconds(value: object) -> float:
    usable = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return round(min(max(float(value), 0.0), LONGEST_S), 1) if usable and isinstance(value, int | float) else 0.0
