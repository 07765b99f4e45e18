"""The model registry, which is annotated tags in GTO's format: a promotion's commit → version and stage."""

import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from twin.errors import ProvenanceError
from twin.promotion.commands import git

NAME: Final = "twin"
"""The artifact's name in dvc.yaml."""
FUTURE_S: Final = 5
"""A tag of a later time than this is a clock's fault."""


@dataclass(frozen=True)
class Tag:
    """One registered fact."""

    name: str
    action: str
    """`register`, `assign` or `unassign` among others."""
    stage: str | None
    version: str | None
    commit: str
    """What it points at."""
    message: str
    time_s: int
    """Seconds since 1970."""


def tags(root: Path) -> list[Tag]:
    """Return the artifact's tags, oldest first."""
    from gto.tag import find, parse_name
    from scmrepo.git import Git

    with closing(Git(str(root))) as scm:
        found = find(name=NAME, scm=scm)
    named = [(tag, parse_name(tag.name)) for tag in found]
    return [
        Tag(tag.name, at["action"].value, at.get("stage"), at.get("version"), tag.target, tag.message, tag.tag_time)
        for tag, at in named
    ]


def strangers(root: Path) -> list[str]:
    """Return the names of tags that look like the artifact's and that GTO does not see, as lightweight ones."""
    named = git(root, "tag", "--list", f"{NAME}@*", f"{NAME}#*").splitlines()
    return sorted(set(named) - {tag.name for tag in tags(root)})


def version_of(root: Path, commit: str) -> str | None:
    """Return the version that is registered at a commit."""
    return next((tag.version for tag in tags(root) if tag.action == "register" and tag.commit == commit), None)


def register(root: Path, commit: str, message: str) -> None:
    """Register the next version at a commit: the next minor one, or GTO's first."""
    import gto.api

    some = any(tag.action == "register" for tag in tags(root))
    gto.api.register(str(root), NAME, commit, message=message, bump_minor=some)


def assign(root: Path, commit: str, stage: str, message: str) -> None:
    """Put the version at a commit into a stage, also if it was there before.

    Raises:
        ProvenanceError: no version is registered there, or a tag is dated in the future.
    """
    import gto.api

    version = _version(root, commit)
    _wait(root, stage)
    gto.api.assign(str(root), NAME, stage, version=version, message=message, force=True)


def unassign(root: Path, commit: str, stage: str, message: str) -> None:
    """Take the version at a commit out of a stage.

    Raises:
        ProvenanceError: no version is registered there, or a tag is dated in the future.
    """
    import gto.api

    version = _version(root, commit)
    _wait(root, stage)
    gto.api.unassign(str(root), NAME, version=version, stage=stage, message=message, force=True)


def empty(root: Path, commit: str, stage: str, message: str) -> None:
    """Let DVC, too, find nothing in a stage that no version is in any more.

    `dvc artifacts get --stage` (3.67) takes the commit of the stage's newest tag and reads an unassignment like an
    assignment: it would fetch what was withdrawn. One at a commit without a champion makes it fail.

    Raises:
        ProvenanceError: a tag is dated in the future.
    """
    from gto.constants import Action
    from gto.tag import create_tag, name_tag
    from scmrepo.git import Git

    _wait(root, stage)
    with closing(Git(str(root))) as scm:
        create_tag(scm, name_tag(Action.UNASSIGN, NAME, stage=stage, scm=scm), rev=commit, message=message)


def _version(root: Path, commit: str) -> str:
    version = version_of(root, commit)
    if version is None:
        raise ProvenanceError(
            f"no version of {NAME} is registered at {commit[:12]}. Bring the tags (git fetch --tags), or register it: "
            f"gto register {NAME} {commit[:12]}"
        )
    return version


def _wait(root: Path, stage: str) -> None:
    """Wait for the second after the stage's newest tag: GTO and DVC order tags by whole seconds."""
    newest = max((tag.time_s for tag in tags(root) if tag.stage == stage), default=0)
    ahead_s = newest + 1 - time.time()
    if ahead_s > FUTURE_S:
        raise ProvenanceError(f"a tag of stage {stage} is dated {ahead_s:.0f} s in the future. Set the clock.")
    time.sleep(max(0.0, ahead_s))
