"""What people say who rated blind: sessions → counts → the gate, PASS, FAIL or UNKNOWN with what is missing."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean

from stages.promote.decision import DECIMALS, Gate, State
from twin.config.promote import Human, PromoteConfig
from twin.intervals import rate_bounds
from twin.protocol import protocol
from twin.ratings import Answer, Mode, Session, void
from twin.sequential import CAP, STOP_E, walk

CHALLENGER, PROMPTED, PERSON = "X", "B1", "R"
SHOWN = {
    Mode.pairs: {CHALLENGER, PROMPTED},
    Mode.identify: {CHALLENGER, PERSON},
    Mode.protocol: {CHALLENGER},
}
"""The arms whose ratings decide, by what was asked."""
PROMPTS = 10
"""The fixed prompts of twin/protocol.yaml."""
MOST = 3
ROUNDING = 1e-9
"""Means of three raters are thirds."""
IDENTIFIED_N = 80
IDENTIFIED_MAX = 0.70
"""Upper bound of the rate at which the person's own reply is told from the twin's: at most 48 of 80."""


@dataclass(frozen=True)
class Judged:
    """What the ratings must be about."""

    run_id: str
    adapter_sha256: str
    generations_sha256: str


@dataclass(frozen=True)
class Ratings:
    """What the valid sessions about this adapter say, in the order they came."""

    sessions: int = 0
    """Valid ones."""
    won: tuple[bool, ...] = ()
    """For each decided pair of twin and prompted base: the twin was preferred."""
    told: tuple[bool, ...] = ()
    """For each decided pair of twin and person: the person's own reply was found."""
    scores: Mapping[str, float] = field(default_factory=dict)
    """Mean score of the twin for each fixed prompt that was rated."""
    cant_tell: Mapping[str, int] = field(default_factory=dict)
    """By what was asked; in none of the counts above."""
    void: Mapping[str, str] = field(default_factory=dict)
    """Session → why it does not count."""
    ignored: Mapping[str, int] = field(default_factory=dict)
    """Why sessions or answers are about something else, with how many."""

    def to_json(self) -> dict[str, object]:
        """Return the counts, for decision.json."""
        walked = walk(self.won)
        return {
            "sessions": self.sessions,
            "pairs": asdict(walked) | {"e": round(walked.e, DECIMALS), "given": len(self.won)},
            "identified": {"right": sum(self.told[:IDENTIFIED_N]), "n": len(self.told[:IDENTIFIED_N])},
            "protocol": {prompt: round(score, DECIMALS) for prompt, score in self.scores.items()},
            "cant_tell": dict(self.cant_tell),
            "void": dict(self.void),
            "ignored": dict(self.ignored),
        }


def summarise(sessions: Sequence[Session], judged: Judged) -> Ratings:
    """Count what the sessions say of the judged adapter; one rater's second answer to one question is left out."""
    ignored, cant_tell = Counter[str](), Counter[str]()
    voided: dict[str, str] = {}
    kept: dict[Mode, dict[tuple[str, ...], Answer]] = {mode: {} for mode in Mode}
    valid = 0
    for session in sessions:
        other = _of_another(session, judged)
        reason = None if other else void(session)
        if other:
            ignored[other] += 1
        elif reason:
            voided[session.id] = reason
        else:
            valid += 1
            ignored.update(_keep(session, kept[session.mode]))
    for mode in (Mode.pairs, Mode.identify):
        cant_tell[mode.value] = sum(answer.chosen is None for answer in kept[mode].values())
    won = [answer.chosen == CHALLENGER for answer in kept[Mode.pairs].values() if answer.chosen]
    told = [answer.chosen == PERSON for answer in kept[Mode.identify].values() if answer.chosen]
    scores = _scores(kept[Mode.protocol].values())
    return Ratings(valid, tuple(won), tuple(told), scores, dict(cant_tell), voided, dict(ignored))


def _of_another(session: Session, judged: Judged) -> str | None:
    differences = {
        "sessions that teach": session.mode not in SHOWN,
        "sessions of another run": session.run_id != judged.run_id,
        "sessions of another adapter": session.adapter_sha256 != judged.adapter_sha256,
        "sessions of other generations": session.generations_sha256 != judged.generations_sha256,
    }
    return next((words for words, differs in differences.items() if differs), None)


def _keep(session: Session, kept: dict[tuple[str, ...], Answer]) -> list[str]:
    """Add the session's answers that count to `kept`; return why others do not."""
    ignored = []
    for answer in session.answers:
        key = (session.rater, answer.prompt_set, answer.prompt_id)
        if not answer.counts:
            continue
        if set(answer.arms.values()) != SHOWN[session.mode]:
            ignored.append("answers about other arms")
        elif session.mode is Mode.protocol and answer.prompt_set != "protocol":
            ignored.append("scores of other than the fixed prompts")
        elif key in kept:
            ignored.append("answers given before by the same rater")
        else:
            kept[key] = answer
    return ignored


def _scores(answers: Iterable[Answer]) -> dict[str, float]:
    by_prompt: dict[str, list[int]] = {prompt.id: [] for prompt in protocol()}
    for answer in answers:
        if answer.prompt_id in by_prompt and isinstance(answer.answer, int):
            by_prompt[answer.prompt_id].append(answer.answer)
    return {prompt_id: fmean(scores) for prompt_id, scores in by_prompt.items() if scores}


@dataclass(frozen=True)
class _Part:
    """One of the three measurements: what it says, and whether it has missed, or wants more ratings."""

    words: str
    failed: bool
    missing: str | None
    """What has yet to be rated; None where nothing has."""


def human(ratings: Ratings, config: PromoteConfig) -> Gate:
    """People prefer the twin to the prompted base, hardly tell it from the person, and find it could be them.

    A measurement FAILs as soon as no further rating could make it pass, so that more wins never worsen the gate. The
    waiver stands for ratings that are missing, never against those that are there.
    """
    waived = config.human is Human.waived
    if not waived and not (ratings.won or ratings.told or ratings.scores or ratings.void or ratings.ignored):
        return Gate("human", State.unknown, "awaiting_human: nobody has rated the twin blind.")
    walked = walk(ratings.won)
    parts = [_preferred(ratings), _told(ratings), _fits(ratings, config)]
    missing = [part.missing for part in parts if part.missing]
    failed = walked.worse or any(part.failed for part in parts)
    said = " ".join([*(part.words for part in parts), *_left_out(ratings)])
    numbers = (walked.e, None, float(STOP_E), walked.n)
    if failed:
        return Gate("human", State.failed, said, walked.worse, *numbers)
    if waived:
        return Gate("human", State.not_applicable, "Ratings are waived, so a promotion reaches staging only.")
    if missing:
        return Gate("human", State.unknown, f"awaiting_human: {'; '.join(missing)}. {said}", False, *numbers)
    return Gate("human", State.passed, said, False, *numbers)


def _preferred(ratings: Ratings) -> _Part:
    walked = walk(ratings.won)
    unsure = ratings.cant_tell.get(Mode.pairs.value, 0)
    verdict = ", worse than the prompted base" if walked.worse else "" if walked.can_win else ", out of reach"
    words = (
        f"The twin won {walked.wins} of {walked.n} decided pairs against the prompted base, {unsure} undecided "
        f"(E {walked.e:.3g} of {STOP_E}{verdict})."
    )
    wanted = None if walked.better or not walked.can_win else f"up to {CAP - walked.n} more decided pairs"
    return _Part(words, not walked.can_win, wanted)


def _told(ratings: Ratings) -> _Part:
    told = ratings.told[:IDENTIFIED_N]
    right, left = sum(told), IDENTIFIED_N - len(told)
    upper = rate_bounds(right, len(told))[1]
    unsure = ratings.cant_tell.get(Mode.identify.value, 0)
    words = (
        f"The person's own reply was told in {right} of {len(told)} decided pairs, {unsure} undecided (upper bound "
        f"{upper:.2f}; {IDENTIFIED_MAX:.2f} is the most)."
    )
    failed = rate_bounds(right, IDENTIFIED_N)[1] > IDENTIFIED_MAX
    return _Part(words, failed, f"{left} more identifications" if left and not failed else None)


def _fits(ratings: Ratings, config: PromoteConfig) -> _Part:
    scores, least = ratings.scores.values(), config.protocol_min
    left = PROMPTS - len(scores)
    failed = sum(scores) + MOST * left < least * PROMPTS - ROUNDING
    mean = f"a mean of {fmean(scores):.2f}" if scores else "no score"
    words = f"{len(scores)} of the ten prompts have {mean}; {least:.2f} is the least."
    return _Part(words, failed, f"scores of {left} more of the ten prompts" if left and not failed else None)


def _left_out(ratings: Ratings) -> list[str]:
    """Return sentences about what was rated and does not count."""
    voided = [f"Session {session} is void: {reason}." for session, reason in sorted(ratings.void.items())]
    ignored = [f"{count} {what}" for what, count in sorted(ratings.ignored.items())]
    return [*voided, *([f"Not counted: {', '.join(ignored)}."] if ignored else [])]
