"""Opens a session: the project's replies and the sessions there are → a sitting, begun or gone on with."""

import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from twin.errors import DataError
from twin.files import sha256_text
from twin.rate.journal import ENDED, Journal, Row, create, opened, unfinished
from twin.rate.material import ARMS, CHALLENGER, Key, Material, material
from twin.rate.plan import plan
from twin.rate.sitting import NEXT, Sitting
from twin.rate.teaching import teaching
from twin.ratings import Answer, Mode, Session, read_sessions, void
from twin.sequential import CAP, walk

KEY_BYTES: Final = 32
VERSION: Final = 1


@contextmanager
def sitting(root: Path, mode: Mode, rater: str) -> Iterator[Sitting]:
    """Go on with the rater's unfinished session about the present replies, or begin one.

    Raises:
        ModelError: there is no adapter.
        DataError: there is nothing to rate, nothing left to rate, or the session is open elsewhere.
    """
    shown = teaching(root) if mode is Mode.prefer else material(root, mode)
    wanted = {"mode": mode.value, "rater": rater, "version": VERSION, **asdict(shown.about)}
    name = unfinished(root, wanted) or _begin(root, shown, wanted)
    with opened(root, name) as journal:
        yield _sitting(journal, shown)


def _begin(root: Path, shown: Material, wanted: Row) -> str:
    mode, rater = Mode(wanted["mode"]), wanted["rater"]
    earlier = [one for one in read_sessions(root / ENDED) if _counts(one, shown, mode)]
    won, rated = _known(earlier, mode, rater)
    walked = walk(won)
    if mode is Mode.pairs and (walked.better or walked.worse or walked.n == CAP):
        raise DataError(
            "the pairs of this run are rated to the end; no more are needed. Go on with `dvc repro promote`."
        )
    left = [question.key for question in shown.questions if question.key not in rated]
    if not left:
        raise DataError(
            f"{rater} has rated every prompt of this run ({mode.value}). Go on with `{NEXT[mode]}`, or let "
            "somebody else rate: --rater NAME."
        )
    key, id_ = secrets.token_hex(KEY_BYTES), secrets.token_hex(8)
    dealt = {"questions": sorted(left), "catches": sorted(one.key for one in shown.catches)}
    secret = {"key": key, **dealt, "won_before": won}
    items = plan(key, dealt["questions"], dealt["catches"], CAP)
    header = {"kind": "session", "id": id_, "key_sha256": sha256_text(key), "n_items": len(items), **wanted}
    name = f"{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}-{mode.value}-{id_}"
    create(root, name, header, secret)
    return name


def _sitting(journal: Journal, shown: Material) -> Sitting:
    secret = journal.secret
    questions, catches = ([(one[0], one[1]) for one in secret[name]] for name in ("questions", "catches"))
    items = plan(secret["key"], questions, catches, CAP)
    if sha256_text(secret["key"]) != journal.header["key_sha256"] or len(items) != journal.header["n_items"]:
        raise DataError(
            f"{journal.root / '.work/ratings' / journal.name}: the key is not the one that the session began with. "
            "Delete the folder, and begin again: `twin rate`."
        )
    by_key = {one.key: one for one in [*shown.questions, *shown.catches]}
    return Sitting(journal, items, by_key, secret["won_before"], shown.same)


def _counts(session: Session, shown: Material, mode: Mode) -> bool:
    about = shown.about
    ours = (session.run_id, session.adapter_sha256, session.generations_sha256)
    same = ours == (about.run_id, about.adapter_sha256, about.generations_sha256)
    return same and session.mode is mode and void(session) is None


def _known(sessions: Iterable[Session], mode: Mode, rater: str) -> tuple[list[bool], set[Key]]:
    """Return whether the twin won, for each pair decided so far, and what this rater has answered."""
    shown = set(ARMS.get(mode, ()))
    first: dict[tuple[str, str, str], Answer] = {}
    for session in sessions:
        for answer in session.answers:
            if answer.counts and shown in (set(), set(answer.arms.values())):
                first.setdefault((session.rater, answer.prompt_set, answer.prompt_id), answer)
    won = [answer.chosen == CHALLENGER for answer in first.values() if answer.chosen is not None]
    return won, {(prompt_set, id_) for who, prompt_set, id_ in first if who == rater}
