"""What people said who rated blind: sessions, prompts → pairs, and why other answers make none.

A rating may teach only what training may see: pairs of the replies that this stage made to prompts of train and valid.
Ratings of test, of cal and of the fixed prompts judge the twin, and would no longer if it learned from them. A session
that teaches is one of mode `prefer` whose `generations_sha256` is that of data/prefer/replies.jsonl, with two of its
arms: base, twin, R.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from stages.prefer.pairs import RATING, Asked, Pair
from twin.ratings import Answer, Mode, Session, void

Votes = dict[tuple[str, str, frozenset[str]], dict[str, str]]
"""(part, prompt, both arms) → rater → the arm chosen."""


def rated(sessions: Sequence[Session], asked: Iterable[Asked], replies_sha256: str) -> tuple[list[Pair], Counter[str]]:
    """Return a pair for each question that most raters answered alike, and why other answers make none.

    Args:
        sessions: blind ratings.
        asked: the prompts, with the replies to them.
        replies_sha256: of the file with these replies; ratings of other replies are not used.
    """
    prompts = {(one.part, one.row["id"]): one for one in asked}
    left_out, votes = Counter[str](), Votes()
    for session in sessions:
        for answer in session.answers:
            reason = _refused(session, answer, prompts, replies_sha256)
            if reason:
                left_out[reason] += 1
            else:
                about = (answer.prompt_set, answer.prompt_id, frozenset(answer.arms.values()))
                votes.setdefault(about, {}).setdefault(session.rater, str(answer.chosen))
    return _decided(votes, prompts, left_out), left_out


def _refused(
    session: Session, answer: Answer, prompts: dict[tuple[str, str], Asked], replies_sha256: str
) -> str | None:
    one = prompts.get((answer.prompt_set, answer.prompt_id))
    reasons = {
        "repeat_or_catch": not answer.counts,
        "prompt_that_judges": answer.prompt_set not in {part for part, _ in prompts},
        "other_question": session.mode is not Mode.prefer,
        "other_replies": session.generations_sha256 != replies_sha256,
        "void_session": void(session) is not None,
        "cant_tell": answer.chosen is None,
        "unknown_reply": one is None or not set(answer.arms.values()) <= one.replies.keys(),
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def _decided(votes: Votes, prompts: dict[tuple[str, str], Asked], left_out: Counter[str]) -> list[Pair]:
    pairs = []
    for (part, prompt_id, arms), by_rater in votes.items():
        (first, ahead), *others = Counter(by_rater.values()).most_common()
        if others and others[0][1] == ahead:
            left_out["raters_disagree"] += len(by_rater)
            continue
        (other,) = arms - {first}
        pairs.append(prompts[part, prompt_id].pair(first, other, RATING))
    return pairs
