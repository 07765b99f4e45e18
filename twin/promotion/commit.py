"""An act as one commit: the tree at HEAD and a change → the branch one commit ahead, or nothing at all.

The change is made in a working tree of its own, which shares only git's objects and DVC's cache with the project.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from twin.config.load import read
from twin.errors import ConfigError, ProvenanceError
from twin.files import write_text
from twin.promotion.commands import dvc, found, git, parameters
from twin.promotion.places import COMMITTED, CONF, PARAMS, champion_of, with_entry


def committed(root: Path, message: str, line: str, change: Callable[[Path], None]) -> str:
    """Commit what `change` does to models/champion together with the line that names the champion; return the commit.

    The project itself does not change yet: `forwarded` takes it there.

    Raises:
        ProvenanceError: git, DVC or the parameters refused.
        ConfigError: conf/ has no such line, or it is not the one in use.
    """
    with _beside(root) as tree:
        parameters(tree, "check")
        change(tree)
        write_text(tree / CONF, with_entry((tree / CONF).read_text(encoding="utf-8"), line))
        parameters(tree, "reset")
        _check_in_use(tree, line)
        git(tree, "add", "--all", "--", *_there(tree))
        left = git(tree, "status", "--porcelain", "--untracked-files=all")
        more = [name for name in left.splitlines() if name[1] != " "]
        if more:
            raise ProvenanceError(f"more would change than the champion: {', '.join(more)}. Nothing was changed.")
        git(tree, "commit", "--quiet", "--message", message)
        return git(tree, "rev-parse", "HEAD")


def forwarded(root: Path, commit: str) -> None:
    """Move the branch, the index and the files to the commit, which follows HEAD.

    Raises:
        ProvenanceError: the project changed meanwhile.
    """
    git(root, "merge", "--ff-only", "--quiet", commit)


@contextmanager
def _beside(root: Path) -> Iterator[Path]:
    cache = dvc(root, "cache", "dir")
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch) / "tree"
        git(root, "worktree", "prune")
        # DVC's own hook would check out every file of the project.
        git(root, "-c", f"core.hooksPath={os.devnull}", "worktree", "add", "--quiet", "--detach", str(tree), "HEAD")
        try:
            dvc(tree, "cache", "dir", "--local", cache)
            yield tree
        finally:
            found(root, "worktree", "remove", "--force", str(tree))


def _there(tree: Path) -> list[str]:
    tracked = set(git(tree, "ls-files", "--", *map(str, COMMITTED)).splitlines())
    return [str(path) for path in COMMITTED if (tree / path).exists() or str(path) in tracked]


def _check_in_use(tree: Path, line: str) -> None:
    wanted, got = champion_of(line), read(tree / PARAMS).get("promote", {}).get("champion")
    if got != wanted:
        raise ConfigError(
            f"{CONF} says {line}, and {PARAMS} has promote.champion {got}: conf/ chooses or overrides another. Let the "
            "defaults of conf/config.yaml choose promote: standard."
        )
