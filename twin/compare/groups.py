"""Which runs may be set side by side: stored runs → groups of seeds, refusals, and what is to be said.

Everything that would make a difference between two runs mean something else than their models is refused here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from twin.compare.cache import Row
from twin.compare.stored import REAL, Stored
from twin.errors import DataError, ProvenanceError

RECIPE_SEEDS = 3
"""Runs a side from which on something may be said about the recipe."""


@dataclass(frozen=True)
class Group:
    """One side: a run, or several of one recipe with other seeds."""

    runs: tuple[Stored, ...]

    @property
    def name(self) -> str:
        """The runs as they were named."""
        return ",".join(run.name for run in self.runs)


def require_one_recipe(group: Group) -> None:
    """Refuse runs of one side that differ in more than their seeds, or not at all.

    Raises:
        ProvenanceError: their parameters, code or data differ, or two of them are the same run.
    """
    first = group.runs[0]
    for place, run in enumerate(group.runs[1:], 1):
        other = [key for key in changed(first.params, run.params) if not is_seed(key)]
        other += changed(first.sources, run.sources)
        if other:
            raise ProvenanceError(
                f"{first.name} and {run.name} differ in {_few(other)}: runs joined by a comma are one recipe and "
                "differ in seeds only. Name them as two sides."
            )
        for earlier in group.runs[:place]:
            if earlier.id == run.id:
                raise ProvenanceError(
                    f"{earlier.name} and {run.name} are the same run {run.id[:12]}: a seed counts once. "
                    "Train another with `dvc exp run -S train.seed=N`."
                )


def require_comparable(reference: Stored, other: Stored) -> None:
    """Refuse runs that were not asked, or did not answer, in the same way.

    Raises:
        ProvenanceError: they decode differently.
        DataError: their held-out replies, contexts or answered prompts differ.
    """
    both = f"{reference.name} and {other.name}"
    # Facts are shown to an arm of their own, which is not compared.
    changes = changed(reference.params, other.params)
    decoding = [key for key in changes if key.startswith("generate.") and key != "generate.graph"]
    if decoding:
        told = ", ".join(f"{key} {reference.params.get(key)} v {other.params.get(key)}" for key in decoding)
        raise ProvenanceError(f"{both} decode differently: {told}. Run one again with the other's generate section.")
    ours, theirs = _test(reference), _test(other)
    _require_same(both, "test sets", ours, theirs, "Split both alike: same data/raw, ingest and split sections.")
    _require_equal(both, "real replies", _each(_reply, ours), _each(_reply, theirs), "Ingest both alike.")
    _require_equal(both, "contexts", _each(_context, ours), _each(_context, theirs), "Set augment.context_turns alike.")
    for name in ("test", "protocol"):
        asked, answered = reference.answers(name), other.answers(name)
        _require_same(both, f"answered {name} prompts", asked, answered, "Run `generate` again with one section.")
        texts = _each(_prompt, asked), _each(_prompt, answered)
        _require_equal(both, f"{name} prompts", *texts, "Run `generate` again.")
    for run in (reference, other):
        for name in ("test", "protocol"):
            _require_same(
                run.name,
                f"{name} replies and their scores",
                run.answers(name),
                run.scored(name),
                "Run `evaluate` again.",
            )
        held_out = run.likelihood()
        _require_same(run.name, "test.jsonl and nll.jsonl", _test(run), held_out, "Run `generate` again.")
        odd = [one for one, row in _test(run).items() if len(_reply(row).encode()) != held_out[one]["bytes"]]
        if odd:
            raise DataError(f"{run.name}: nll.jsonl scored another reply than test.jsonl has for {_few(odd)}.")


def changed(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """Return the keys whose values differ, sorted."""
    return sorted(key for key in {*ours, *theirs} if key not in ours or key not in theirs or ours[key] != theirs[key])


def is_seed(key: str) -> bool:
    """Tell whether a parameter is a seed by its name."""
    name = key.rpartition(".")[2]
    return name == "seed" or name.endswith("_seed")


def scope(reference: Group, other: Group) -> tuple[str, str]:
    """Return what the differences are about, in a word and in a sentence."""
    seeds = len(reference.runs), len(other.runs)
    if min(seeds) >= RECIPE_SEEDS:
        return "recipe", f"Recipe: {seeds[0]} v {seeds[1]} seeds; the bounds resample seeds and conversations."
    more = f"It takes {RECIPE_SEEDS} seeds a side, each side joined by commas."
    if max(seeds) == 1:
        return "artefact", f"This artefact only: one run a side says nothing of the recipe. {more}"
    return "artefact", f"These artefacts only: {seeds[0]} v {seeds[1]} runs say nothing of the recipe. {more}"


def notes(reference: Group, other: Group) -> list[str]:
    """Return what a reader has to know to read the differences right."""
    ours, theirs = reference.runs[0], other.runs[0]
    told = []
    if {run.id for run in reference.runs} & {run.id for run in other.runs}:
        told.append("Both sides have a run of the same id: same inputs of the adapter.")
    lines = [_system(row) != _system(_test(theirs)[one]) for one, row in _test(ours).items()]
    if any(lines):
        tags = " v ".join(str(run.params.get("augment.tags")) for run in (ours, theirs))
        told.append(
            f"The system lines differ in {sum(lines)} of {len(lines)} test prompts (augment.tags: {tags}); contexts "
            "and replies are the same, so the system line is part of what is compared."
        )
    return told + _instruments([*reference.runs, *other.runs])


def _instruments(runs: Sequence[Stored]) -> list[str]:
    instruments = {(run.rubric, run.sources.get("stages/evaluate")) for run in runs}
    if len(instruments) == 1 or any(run.instrument != "PASS" for run in runs):
        return []
    means = {run.name: _mean(run.scored("test", REAL)) for run in runs}
    told = ", ".join(f"{name} {mean:.2f}" for name, mean in means.items())
    return [
        "The rubrics are not the same: fitted against each base's own replies, or by other code. The person's own "
        f"replies, the same in all, score {told}: as much of a rubric difference may be the instrument's."
    ]


def training_loss(reference: Group, other: Group) -> dict[str, Any]:
    """Return both sides' mean best loss on held-out replies, or why it is not compared. Never a verdict."""
    runs = [run.train for run in (*reference.runs, *other.runs)]
    kinds = sorted({"/".join(key for key in run.get("valid", {}) if "nats" in key) or "no known kind" for run in runs})
    if len(kinds) > 1 or kinds == ["no known kind"]:
        return {"refused": f"{' v '.join(kinds)}: losses over different tokens are not compared"}
    tokens = sorted({str(run.get("supervised_tokens", {}).get("valid")) for run in runs})
    if len(tokens) > 1:
        return {"refused": f"{' v '.join(tokens)} supervised tokens: not the same replies, or another tokenizer"}
    best = [[run.train["valid"][kinds[0]]["best"] for run in side.runs] for side in (reference, other)]
    means = [sum(side) / len(side) for side in best]
    return {"kind": kinds[0], "reference": means[0], "compared": means[1]}


def _test(run: Stored) -> dict[str, Row]:
    return {row["id"]: row for row in run.test}


def _each(part: Callable[[Row], object], rows: Mapping[str, Row]) -> dict[str, object]:
    return {one: part(row) for one, row in rows.items()}


def _prompt(row: Row) -> object:
    return row["prompt"]


def _reply(row: Row) -> str:
    return str(row["messages"][-1]["content"])


def _context(row: Row) -> list[tuple[str, str]]:
    return [(one["role"], one["content"]) for one in row["messages"][:-1] if one["role"] != "system"]


def _system(row: Row) -> list[str]:
    return [one["content"] for one in row["messages"] if one["role"] == "system"]


def _mean(rows: Mapping[str, Row]) -> float:
    return sum(float(row["score"]) for row in rows.values()) / len(rows)


def _require_same(both: str, what: str, ours: Mapping[str, Row], theirs: Mapping[str, Row], move: str) -> None:
    missing, added = sorted({*ours} - {*theirs}), sorted({*theirs} - {*ours})
    if missing or added:
        raise DataError(
            f"{both}: the {what} differ: {len(missing)} only in the first, {len(added)} only in the second "
            f"({_few([*missing, *added])}). {move}"
        )


def _require_equal(both: str, what: str, ours: Mapping[str, Any], theirs: Mapping[str, Any], move: str) -> None:
    odd = changed(ours, theirs)
    if odd:
        raise DataError(f"{both}: the {what} differ in {len(odd)} of {len(ours)} prompts ({_few(odd)}). {move}")


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
