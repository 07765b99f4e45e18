"""What must hold before the champion changes: project → nothing, or what is missing and the next move."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from twin.errors import DataError, ProvenanceError
from twin.files import read_json, sha256_file
from twin.promotion import registry
from twin.promotion.commands import dvc, found, git
from twin.promotion.facts import SCOPE
from twin.promotion.history import Act, act
from twin.promotion.places import ADAPTER, CHAMPION, CONF, POINTER, WEIGHTS, champion_of

DECISION: Final = Path("metrics/decision.json")
LOCK: Final = Path("dvc.lock")
RATED: Final = "champion"
SCOPES: Final = (RATED, "staging")
Verify = Callable[[Path], Sequence[str]]
"""Says, a sentence each, where a decision is not what the stored replies give."""


def promoted(root: Path) -> dict[str, Any]:
    """Return the decision, which is PROMOTE.

    Raises:
        ProvenanceError: it is another.
        DataError: it cannot be read, or names no scope.
    """
    decision: dict[str, Any] = read_json(root / DECISION)
    if decision["decision"] != "PROMOTE":
        raise ProvenanceError(f"the decision is {decision['decision']}: `twin promote` says why. Nothing was changed.")
    if decision.get("scope") not in SCOPES:
        raise DataError(f"{root / DECISION}: scope is {decision.get('scope')}, not {' or '.join(SCOPES)}. `dvc repro`.")
    return decision


def hashes(decision: dict[str, Any]) -> dict[str, str]:
    """Return the sha256 of every file of the adapter that a decision names, by path.

    Raises:
        DataError: it names no weights.
    """
    named = {one["path"]: one["sha256"] for one in decision["hashes"]}
    if f"{ADAPTER}/{WEIGHTS}" not in named:
        raise DataError(f"{DECISION} names no sha256 of {ADAPTER}/{WEIGHTS}. Make it again with `dvc repro promote`.")
    return {path: sha256 for path, sha256 in named.items() if Path(path).parent == ADAPTER}


def check_displaces_no_rated(root: Path, scope: str, last: Act | None) -> None:
    """Pass unless an adapter that nobody rated would take the place of a champion that people rated, or may have.

    Raises:
        ProvenanceError: it would.
    """
    named = champion_of(git(root, "show", f"HEAD:{CONF}"))
    if scope == RATED or named is None:
        return
    standing = last.promotion if last and last.known else None
    before = act(root, standing).trailers[SCOPE] if standing else "unknown"
    if before in (RATED, "unknown"):
        raise ProvenanceError(
            f"the champion is {named[:12]}, of scope {before}; the decision is for staging, as nobody rated this "
            "adapter. Have people rate it (`twin rate`), or take the champion back first: twin promote --rollback. "
            "Nothing was changed."
        )


def check_branch(root: Path) -> None:
    """Pass if HEAD is on a branch: the commit of the act would be lost with the next checkout.

    Raises:
        ProvenanceError: it is on none.
    """
    if found(root, "symbolic-ref", "--quiet", "HEAD") is None:
        raise ProvenanceError(
            f"HEAD is detached at {git(root, 'rev-parse', '--short', 'HEAD')}. Go to a branch (git switch BRANCH, or "
            "git switch -c NAME) and run the same command again. Nothing was changed."
        )


def check_names_free(root: Path) -> None:
    """Pass if no tag has a name that GTO may give and is none of GTO's.

    Raises:
        ProvenanceError: some have.
    """
    taken = registry.strangers(root)
    if taken:
        raise ProvenanceError(
            f"{', '.join(taken)} {'is' if len(taken) == 1 else 'are'} no annotated tag of the registry, and in the way "
            f"of those. Remove with: git tag -d {' '.join(taken)}. Nothing was changed."
        )


def check_clean(root: Path) -> None:
    """Pass if git sees no change.

    Raises:
        ProvenanceError: it sees some.
    """
    changed = git(root, "status", "--porcelain", "--untracked-files=all").splitlines()
    if changed:
        more = f" and {len(changed) - 5} more" if len(changed) > 5 else ""
        names = ", ".join(line[3:] for line in changed[:5])
        raise ProvenanceError(f"the tree is not clean: {names}{more}. Commit them, or put them aside: git stash -u")


def check_verified(root: Path, verify: Verify) -> None:
    """Pass if the stored replies give the decision.

    Raises:
        ProvenanceError: they do not.
    """
    faults = verify(root)
    if faults:
        raise ProvenanceError("not verified: " + "; ".join(faults) + ". `dvc repro` makes them anew.")


def check_up_to_date(root: Path) -> None:
    """Pass if DVC would run no stage; verification does not look at commands, parameters and conf/.

    Raises:
        ProvenanceError: it would.
    """
    changed = json.loads(dvc(root, "status", "--json") or "{}")
    if changed:
        raise ProvenanceError(
            f"{LOCK} is not up to date for {', '.join(changed)}: the decision is of another state. `dvc repro`, then "
            "look at the decision again: `twin promote`"
        )


def check_adapter(root: Path, decision: dict[str, Any]) -> None:
    """Pass if the adapter on disk is the one that was judged.

    Raises:
        ProvenanceError: it is another or missing.
    """
    for path, wanted in hashes(decision).items():
        there = sha256_file(root / path) if (root / path).exists() else None
        if there != wanted:
            raise ProvenanceError(
                f"{path} is {there[:12] if there else 'missing'}; the decision is about {wanted[:12]}. Bring it back: "
                f"dvc checkout {ADAPTER}"
            )


def check_kept(root: Path) -> None:
    """Pass if the champion's folder is the one that its .dvc file names, so that DVC can bring it back.

    Raises:
        ProvenanceError: it was changed.
    """
    # A folder that is missing, as in a fresh clone, loses nothing.
    both = (root / POINTER).exists() and (root / CHAMPION).exists()
    if both and json.loads(dvc(root, "status", "--json", str(POINTER)) or "{}"):
        raise ProvenanceError(f"{CHAMPION} is not what {POINTER} names. Bring it back: dvc checkout --force {POINTER}")
