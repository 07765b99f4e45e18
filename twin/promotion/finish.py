"""What follows from an act's commit: tags, and the champion's folder as its .dvc file names it.

Each step is left out where it is done already, so that a run which was cut off is finished by the next one.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import yaml

from twin.errors import DataError, ProvenanceError
from twin.identity import md5_path
from twin.promotion import registry
from twin.promotion.commands import dvc, git
from twin.promotion.facts import BY, SCOPE, message, read_trailers
from twin.promotion.history import Act, act, before_in_stage, first
from twin.promotion.places import CHAMPION, POINTER


def finish(root: Path, one: Act) -> list[str]:
    """Do what is left of an act; return the names of the tags that were made.

    Raises:
        ProvenanceError: GTO or DVC refused.
    """
    from gto.exceptions import GTOException

    before = {tag.name for tag in registry.tags(root)}
    try:
        # Tags come last: where one is missing, the act is not finished.
        _bring_folder(root, one)
        if one.withdrawn:
            _tag_rollback(root, one, one.withdrawn)
        else:
            _tag_promotion(root, one.commit)
    except (ProvenanceError, DataError, GTOException) as error:
        raise ProvenanceError(
            f"the commit {one.commit[:12]} is made, what follows from it is not: {error} The same command finishes it."
        ) from error
    return sorted({tag.name for tag in registry.tags(root)} - before)


def _tag_promotion(root: Path, commit: str) -> None:
    stage, text = _told(root, commit, commit)
    if registry.version_of(root, commit) is None:
        registry.register(root, commit, text)
    _unless_done(root, "assign", commit, commit, lambda: registry.assign(root, commit, stage, text))


def _tag_rollback(root: Path, one: Act, withdrawn: str) -> None:
    if registry.version_of(root, withdrawn) is None:
        return  # it was taken back before it could be registered
    stage, text = _told(root, withdrawn, one.commit)
    again = before_in_stage(root, withdrawn)
    # GTO keeps a version in its stage when another comes: without this it would be the newest again later.
    _unless_done(root, "unassign", withdrawn, one.commit, lambda: registry.unassign(root, withdrawn, stage, text))
    if again is not None:
        _, reason = _told(root, again, one.commit)
        _unless_done(root, "assign", again, one.commit, lambda: registry.assign(root, again, stage, reason))
        return
    bare = one.commit if one.promotion is None else f"{first(root, withdrawn)}~1"
    empty = git(root, "rev-parse", bare)
    _unless_done(root, "unassign", empty, one.commit, lambda: registry.empty(root, empty, stage, text))


def _told(root: Path, promotion: str, by: str) -> tuple[str, str]:
    """Return a promotion's stage, and the message of a tag that the act `by` makes about it."""
    trailers = act(root, promotion).trailers
    title = git(root, "log", "-1", "--format=%s", by)
    return trailers[SCOPE], message(title, trailers | {BY: by})


def _unless_done(root: Path, action: str, commit: str, by: str, do: Callable[[], None]) -> None:
    done = any(
        tag.action == action and tag.commit == commit and read_trailers(tag.message).get(BY) == by
        for tag in registry.tags(root)
    )
    if not done:
        do()


def _bring_folder(root: Path, one: Act) -> None:
    wanted = _md5(root, one.commit) if one.promotion else None
    there = md5_path(root / CHAMPION) if (root / CHAMPION).exists() else None
    if wanted == there:
        return
    if wanted is not None:
        dvc(root, "checkout", str(POINTER))
        return
    if there != _md5(root, str(one.withdrawn)):
        raise DataError(f"{CHAMPION} is not what was withdrawn. Look what it is, and remove it.")
    shutil.rmtree(root / CHAMPION)


def _md5(root: Path, commit: str) -> str:
    outs = yaml.safe_load(git(root, "show", f"{commit}:{POINTER}"))["outs"]
    return str(outs[0]["md5"])
