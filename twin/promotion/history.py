"""Which adapter is champion and which was before: the commits of the acts → a stack of promotions."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from twin.errors import ProvenanceError
from twin.promotion.commands import found, git
from twin.promotion.facts import ADAPTER, NONE, REINSTATES, SCOPE, WITHDRAWS, read_trailers
from twin.promotion.places import POINTER


@dataclass(frozen=True)
class Act:
    """A commit that changed the champion."""

    commit: str
    trailers: dict[str, str]

    @property
    def known(self) -> bool:
        """Whether `twin promote` made it."""
        return REINSTATES in self.trailers or {ADAPTER, SCOPE} <= self.trailers.keys()

    @property
    def withdrawn(self) -> str | None:
        """The promotion that a rollback took back; None for a promotion."""
        return self.trailers.get(WITHDRAWS)

    @property
    def promotion(self) -> str | None:
        """The commit that promoted the adapter which is champion since; None where there is no champion since."""
        standing = self.trailers.get(REINSTATES, self.commit)
        return None if standing == NONE else standing


def act(root: Path, commit: str) -> Act:
    """Return the act of a commit."""
    return Act(commit, read_trailers(git(root, "log", "-1", "--format=%B", commit)))


def latest(root: Path, revision: str = "HEAD") -> Act | None:
    """Return the last act on the champion up to a revision; None if there was none."""
    commit = found(root, "log", "-1", "--format=%H", revision, "--", str(POINTER))
    return act(root, commit) if commit else None


def previous(root: Path, promotion: str) -> str | None:
    """Return the promotion that stood before this one; None if there was no champion.

    Raises:
        ProvenanceError: the champion before was not promoted by `twin promote --apply`.
    """
    before = latest(root, f"{promotion}~1")
    if before is None:
        return None
    if not before.known:
        raise ProvenanceError(
            f"{POINTER} was changed in {before.commit[:12]}, not by `twin promote`: what was champion then is not "
            f"known. Go back by hand: git revert {promotion[:12]}"
        )
    return before.promotion


def before_in_stage(root: Path, promotion: str) -> str | None:
    """Return the promotion that held this one's stage before it; None if none did.

    Raises:
        ProvenanceError: a champion before was not promoted by `twin promote --apply`.
    """
    stage = act(root, promotion).trailers[SCOPE]
    return next((one for one in _before(root, promotion) if act(root, one).trailers[SCOPE] == stage), None)


def first(root: Path, promotion: str) -> str:
    """Return the oldest promotion below this one; before it there was no champion."""
    return [promotion, *_before(root, promotion)][-1]


def _before(root: Path, promotion: str) -> Iterator[str]:
    one = previous(root, promotion)
    while one is not None:
        yield one
        one = previous(root, one)
