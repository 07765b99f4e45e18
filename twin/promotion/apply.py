"""A decision is acted on: metrics/decision.json, models/adapter/ → the champion, its commit and its tags."""

import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from twin.adapter import RECIPE_FILE
from twin.card import CARD, card_of, put
from twin.files import sha256_file
from twin.promotion.commands import dvc, git
from twin.promotion.commit import committed, forwarded
from twin.promotion.facts import Promotion, message
from twin.promotion.finish import finish
from twin.promotion.history import Act, act, latest
from twin.promotion.places import ADAPTER, CHAMPION, CONF, WEIGHTS, champion_of, entry_for
from twin.promotion.requirements import (
    LOCK,
    Verify,
    check_adapter,
    check_branch,
    check_clean,
    check_displaces_no_rated,
    check_kept,
    check_names_free,
    check_up_to_date,
    check_verified,
    hashes,
    promoted,
)
from twin.verify import differences


@dataclass(frozen=True)
class Done:
    """What a command found or did."""

    act: Act
    tags: list[str]
    """Those made now."""
    new: bool
    """Whether the act's commit was made now."""


def apply(root: Path, verify: Verify = differences) -> Done:
    """Make the judged adapter the champion; where it is already, finish what is left of that.

    Raises:
        ProvenanceError: the decision, the tree, the verification, dvc.lock or the adapter does not allow it, or git,
            DVC or GTO refused. Unless the message says so, nothing was changed.
        DataError: the decision cannot be read.
    """
    decision = promoted(root)
    weights = hashes(decision)[f"{ADAPTER}/{WEIGHTS}"]
    last = latest(root)
    if last and last.known:
        tags = finish(root, last)
        if last.promotion and champion_of(git(root, "show", f"HEAD:{CONF}")) == weights:
            return Done(last, tags, False)
    check_displaces_no_rated(root, decision["scope"], last)
    check_branch(root)
    check_names_free(root)
    check_clean(root)
    check_verified(root, verify)
    check_up_to_date(root)
    check_adapter(root, decision)
    check_kept(root)
    promotion = _promotion(root, decision, weights)
    commit = committed(root, message(_title(promotion), promotion.trailers), entry_for(weights), partial(_copy, root))
    forwarded(root, commit)
    made = act(root, commit)
    return Done(made, finish(root, made), True)


def _promotion(root: Path, decision: dict[str, Any], weights: str) -> Promotion:
    return Promotion(
        adapter=weights,
        run=decision["run"]["id"],
        scope=decision["scope"],
        judged=git(root, "rev-parse", "HEAD"),
        lock=sha256_file(root / LOCK),
    )


def _title(promotion: Promotion) -> str:
    unrated = ", which nobody has rated" if promotion.scope == "staging" else ""
    return f"The champion is the adapter of run {promotion.run[:12]}{unrated}"


def _copy(root: Path, tree: Path) -> None:
    """Put the adapter of the project at `root`, with its card, under DVC as the champion of another tree."""
    shutil.copytree(root / ADAPTER, tree / CHAMPION)
    card = card_of(root / ADAPTER / RECIPE_FILE, root / CARD)
    if card is not None:
        put(card, tree / CHAMPION)
    dvc(tree, "add", "--quiet", str(CHAMPION))
