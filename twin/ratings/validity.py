"""Whether a session counts: a session → None, or why it is void."""

from collections.abc import Callable, Iterator

from twin.files import sha256_text
from twin.ratings.session import Answer, Mode, Session, left_items

AGREEMENT_MIN = 0.70
"""Share of repeats answered alike."""
CATCH_MISSES_MAX = 1
SCORE_SLACK = 1
"""Points by which two scores of one reply may differ and still agree."""
REPEAT_EVERY, CATCH_EVERY = 10, 20
"""Items for each repeat and each catch item at the least: half the design's shares, as a session may end early."""


def void(session: Session) -> str | None:
    """Return why the session does not count, None if it does."""
    return next((reason for check in _CHECKS for reason in check(session)), None)


def _ended(session: Session) -> Iterator[str]:
    if session.key is None:
        yield "it was not ended"
    elif session.answers_declared != len(session.answers):
        yield f"its end line declares {session.answers_declared} answers and it holds {len(session.answers)}"


def _key(session: Session) -> Iterator[str]:
    if session.key is not None and sha256_text(session.key) != session.key_sha256:
        yield "its key is not the one committed to before the first answer"


def _items(session: Session) -> Iterator[str]:
    seen: set[int] = set()
    for answer in session.answers:
        if answer.item in seen:
            yield f"item {answer.item} is answered twice"
        seen.add(answer.item)


def _sides(session: Session) -> Iterator[str]:
    if session.mode is Mode.protocol or session.key is None:
        return
    left = left_items(session.key, session.n_items)
    for answer in session.answers:
        first = answer.arms["left"] < answer.arms["right"]
        if answer.repeat_of is None and first is not (answer.item in left):
            yield f"the sides of item {answer.item} are not those of its key"


def _repeats(session: Session) -> Iterator[str]:
    by_item = {answer.item: answer for answer in session.answers}
    repeats = [answer for answer in session.answers if answer.repeat_of is not None]
    alike = sum(_agree(by_item[answer.repeat_of], answer) for answer in repeats if answer.repeat_of is not None)
    yield from _enough(session, len(repeats), REPEAT_EVERY, "repeats")
    if repeats and alike < AGREEMENT_MIN * len(repeats):
        yield f"{alike} of {len(repeats)} repeats were answered alike; {AGREEMENT_MIN:.0%} are needed"


def _agree(first: Answer, again: Answer) -> bool:
    one, other = first.chosen, again.chosen
    if isinstance(one, int) and isinstance(other, int):
        return abs(one - other) <= SCORE_SLACK
    return one == other


def _catches(session: Session) -> Iterator[str]:
    catches = [answer for answer in session.answers if answer.catch]
    missed = sum(not _right(answer) for answer in catches)
    yield from _enough(session, len(catches), CATCH_EVERY, "catch items")
    if missed > CATCH_MISSES_MAX:
        yield f"{missed} of {len(catches)} catch items were missed; {CATCH_MISSES_MAX} may be"


def _right(answer: Answer) -> bool:
    if isinstance(answer.right, int) and isinstance(answer.answer, int):
        return abs(answer.right - answer.answer) <= SCORE_SLACK
    return answer.right == answer.answer


def _enough(session: Session, found: int, every: int, what: str) -> Iterator[str]:
    counted = sum(answer.counts for answer in session.answers)
    if found < counted // every:
        yield f"{found} {what} are too few to check {counted} answers; {counted // every} are needed"


_CHECKS: tuple[Callable[[Session], Iterator[str]], ...] = (_ended, _key, _items, _sides, _repeats, _catches)
