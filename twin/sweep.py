"""What a parameter does: finished experiments → one series for each recipe, seeds together; a table and a picture."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from twin.compare.groups import is_seed
from twin.errors import ConfigError, DataError
from twin.files import canonical_json
from twin.trials import SCORES, Trial

if TYPE_CHECKING:
    from matplotlib.figure import Figure

IGNORED = ("campaign.", "memory.", "train.learn_by")
"""Keys that make no difference to what is learned."""
MARKERS = "osD^vPX"
INCHES = (6.4, 3.8)


@dataclass(frozen=True)
class Point:
    """All seeds of one recipe."""

    x: float
    values: tuple[float, ...]
    """One a run."""
    lower: float
    """The lowest of the runs' 95 % lower bounds."""
    upper: float
    names: tuple[str, ...]

    @property
    def mean(self) -> float:
        """Mean over the runs."""
        return sum(self.values) / len(self.values)


@dataclass(frozen=True)
class Series:
    """Runs that differ in the swept parameter and in seeds only."""

    label: str
    points: tuple[Point, ...]


def series(trials: Sequence[Trial], key: str, score: str) -> list[Series]:
    """Return what the finished runs say of `key`, the longest series first.

    Runs that were judged otherwise than most are left out: their scores mean something else.

    Raises:
        ConfigError: no run has such a parameter, or it is no number.
        DataError: no run has this score.
    """
    known = sorted({name for trial in trials for name in trial.params})
    if key not in known:
        near = [name for name in known if name.endswith(f".{key.rpartition('.')[2]}")]
        raise ConfigError(f"{key} is a parameter of no finished run.{f' Did you mean {near[0]}?' if near else ''}")
    scored = [one for one in trials if score in one.scores and key in one.params]
    if not scored:
        raise DataError(f"no finished run has {SCORES[score]}. `dvc exp run --queue -S '{key}=…'` makes some.")
    odd = [one for one in scored if isinstance(one.params[key], bool) or not isinstance(one.params[key], int | float)]
    if odd:
        raise ConfigError(f"{key} is {odd[0].params[key]!r} in {odd[0].name}; only numbers can be drawn.")
    judged = [one.judged for one in scored]
    usual = max(judged, key=lambda one: (judged.count(one), one))
    alike = [one for one in scored if one.judged == usual]
    recipes: dict[str, list[Trial]] = {}
    for one in alike:
        recipes.setdefault(canonical_json(_recipe(one, key)), []).append(one)
    differing = _differing([_recipe(runs[0], key) for runs in recipes.values()])
    found = [Series(_label(_recipe(runs[0], key), differing), _points(runs, key, score)) for runs in recipes.values()]
    return sorted(found, key=lambda one: (-len(one.points), one.label))


def _recipe(trial: Trial, key: str) -> dict[str, Any]:
    return {
        name: value
        for name, value in trial.params.items()
        if name != key and not is_seed(name) and not name.startswith(IGNORED)
    }


def _differing(recipes: Sequence[Mapping[str, Any]]) -> list[str]:
    keys = sorted({key for recipe in recipes for key in recipe})
    return [key for key in keys if len({canonical_json(recipe.get(key)) for recipe in recipes}) > 1]


def _label(recipe: Mapping[str, Any], differing: Sequence[str]) -> str:
    told = [f"{key.partition('.')[2] or key} {recipe.get(key)}" for key in differing]
    return ", ".join(told) or "all runs"


def _points(runs: Sequence[Trial], key: str, score: str) -> tuple[Point, ...]:
    at: dict[float, list[Trial]] = {}
    unique = {(canonical_json(dict(run.params)), run.scores[score]): run for run in runs}  # a copy is no seed
    for run in sorted(unique.values(), key=lambda one: one.name):
        at.setdefault(float(run.params[key]), []).append(run)
    return tuple(
        Point(
            x,
            tuple(run.scores[score].value for run in same),
            min(run.scores[score].lower for run in same),
            max(run.scores[score].upper for run in same),
            tuple(run.name for run in same),
        )
        for x, same in sorted(at.items())
    )


def table(found: Sequence[Series], key: str, score: str) -> str:
    """Return the series for a terminal."""
    form = "+.3f" if score == "bits" else ".3f"
    lines = [f"{SCORES[score]}, against {key}; bounds are one-sided, at 95 %, the widest of a point's runs"]
    for one in found:
        lines += ["", one.label]
        for point in one.points:
            runs = f"{len(point.values)} run{'s' if len(point.values) > 1 else ''}"
            bounds = f"({point.lower:{form}} to {point.upper:{form}})"
            lines.append(f"  {point.x:>10g}  {point.mean:{form}}  {bounds}  {runs}: {', '.join(point.names)}")
    return "\n".join(lines)


def draw(found: Sequence[Series], key: str, score: str) -> "Figure":
    """Draw every series with its bounds; each run is a dot, the mean of a point's runs is on the line."""
    from matplotlib.figure import Figure

    from twin.pictures import INK, LINE, REGIME_COLOURS, plain

    figure = Figure(figsize=INCHES, layout="constrained")
    axes = figure.add_subplot()
    colours = [LINE, INK, *REGIME_COLOURS.values()]
    xs = sorted({point.x for one in found for point in one.points})
    places = {x: float(place) for place, x in enumerate(xs)}  # ranks and rates are tried in steps, not along a scale
    for number, one in enumerate(found):
        shift = (number - (len(found) - 1) / 2) * min(0.12, 0.6 / len(found))
        at = [places[point.x] + shift for point in one.points]
        means = [point.mean for point in one.points]
        below = [point.mean - point.lower for point in one.points]
        above = [point.upper - point.mean for point in one.points]
        colour, marker = colours[number % len(colours)], MARKERS[number % len(MARKERS)]
        axes.errorbar(
            at, means, yerr=[below, above], color=colour, marker=marker, markersize=5, capsize=3, linewidth=1.2,
            linestyle=("-", "--", ":", "-.")[number % 4], label=one.label,
        )  # fmt: skip
        for place, point in zip(at, one.points, strict=True):
            if len(point.values) > 1:
                axes.plot([place] * len(point.values), point.values, ".", color=colour, alpha=0.5, markersize=4)
    axes.set_xticks(list(places.values()), [f"{x:g}" for x in xs])
    axes.margins(x=0.12)
    axes.set_xlabel(key)
    axes.set_ylabel(f"{SCORES[score]} (bars: 95 % bounds)")
    plain(axes, "left", "bottom")
    if len(found) > 1:
        figure.legend(loc="outside lower center", frameon=False, fontsize=8, ncols=1)
    return figure
