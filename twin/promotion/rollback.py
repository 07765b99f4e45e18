"""A promotion is taken back: the acts in git → the champion before it, or none, its commit and its tags."""

from functools import partial
from pathlib import Path

from twin.errors import ProvenanceError
from twin.promotion.apply import Done
from twin.promotion.commands import found, git
from twin.promotion.commit import committed, forwarded
from twin.promotion.facts import ADAPTER, NONE, REINSTATES, RUN, SCOPE, WITHDRAWS, message
from twin.promotion.finish import finish
from twin.promotion.history import Act, act, latest, previous
from twin.promotion.places import CONF, IGNORE, POINTER, champion_of, entry
from twin.promotion.requirements import check_branch, check_clean, check_kept


def rollback(root: Path) -> Done:
    """Put the champion before the last promotion in its place; finish a rollback that was cut off.

    Raises:
        ProvenanceError: there is nothing to take back, the tree is not clean, the champion was set by hand, or git, DVC
            or GTO refused. Unless the message says so, nothing was changed.
    """
    last = latest(root)
    if last is None or (last.known and last.promotion is None):
        if last is not None and (tags := finish(root, last)):
            return Done(last, tags, False)
        raise ProvenanceError(
            "no champion is registered: there is nothing to roll back. `twin promote --apply` sets one"
        )
    if not last.known:
        raise ProvenanceError(
            f"{POINTER} was changed in {last.commit[:12]}, not by `twin promote`. Go back by hand: "
            f"git revert {last.commit[:12]}"
        )
    tags = _finished(root, last)
    if last.withdrawn and tags:
        return Done(last, tags, False)
    check_branch(root)
    check_clean(root)
    check_kept(root)
    withdrawn = str(last.promotion)
    _check_named(root, withdrawn)
    commit = committed(root, _message(root, withdrawn), _entry_before(root, withdrawn), partial(_restore, withdrawn))
    forwarded(root, commit)
    made = act(root, commit)
    return Done(made, finish(root, made), True)


def _finished(root: Path, last: Act) -> list[str]:
    """Finish the last act; a promotion that cannot be finished, as its tag's name is taken, can still be taken back."""
    try:
        return finish(root, last)
    except ProvenanceError:
        if last.withdrawn:
            raise
        return []


def _check_named(root: Path, promotion: str) -> None:
    named, adapter = champion_of(git(root, "show", f"HEAD:{CONF}")), act(root, promotion).trailers[ADAPTER]
    if named != adapter:
        raise ProvenanceError(
            f"{CONF} names {named and named[:12]} as champion, the last promotion {adapter[:12]}: it was changed "
            f"by hand since. Put it back first: champion: {adapter}"
        )


def _message(root: Path, withdrawn: str) -> str:
    before, trailers = previous(root, withdrawn), act(root, withdrawn).trailers
    if before is None:
        title = f"No adapter is champion: that of run {trailers[RUN][:12]} is withdrawn"
    else:
        run = act(root, before).trailers[RUN][:12]
        title = f"The champion is again the adapter of run {run}: that of run {trailers[RUN][:12]} is withdrawn"
    facts = {ADAPTER: trailers[ADAPTER], SCOPE: trailers[SCOPE]}
    return message(title, {WITHDRAWS: withdrawn, REINSTATES: before or NONE} | facts)


def _entry_before(root: Path, promotion: str) -> str:
    return entry(git(root, "show", f"{promotion}~1:{CONF}"))


def _restore(promotion: str, tree: Path) -> None:
    for path in map(str, (POINTER, IGNORE)):
        if found(tree, "cat-file", "-e", f"{promotion}~1:{path}") is not None:
            git(tree, "checkout", "--quiet", f"{promotion}~1", "--", path)
        else:
            git(tree, "rm", "--quiet", "--force", "--ignore-unmatch", "--", path)
