"""A conversation as a strip: merged turns and their readings → one step a turn → a picture.

The reading at a turn is the last step of the path that ends with it. A reply is told the reading at the turn it
answers, the one before it, and nothing later.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from twin import pictures
from twin.config.augment import Scalar, Tags
from twin.conversation import Turn
from twin.geometry import REGIMES, Reading, prefixes
from twin.prompt import Prompt, PromptRecipe, prompts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TOPIC_SHIFT: Final = 0.3
"""A turn with less commitment than this changes the topic."""
DECISION: Final = 0.5
"""At a turn with more transition pressure than this something is being decided."""

LETTERS: Final = {regime: regime[0].upper() for regime in REGIMES}
HATCHES: Final = dict(zip(REGIMES, ("////", "", "xxxx", "----", "\\\\"), strict=True))
THRESHOLDS: Final = {"commitment": TOPIC_SHIFT, "transition_pressure": DECISION}
DOTS: Final = {
    Tags.context: "large dot: what the next reply is told",
    Tags.none: "large dot: before a reply, which is told nothing (tags: none)",
    Tags.shuffled: "large dot: before a reply, which is told another reply's reading (tags: shuffled)",
}

TURN_INCHES, LEAST_INCHES, MOST_INCHES = 0.28, 8.5, 24.0
LEFT_INCHES, TOP_INCHES, BOTTOM_INCHES = 2.15, 0.8, 1.0
BAND_INCHES, PANEL_INCHES, GAP_INCHES = (0.78, 0.28), 0.5, 0.12
LABEL_POINTS = 11
DOTTED_TURNS = 400
"""With more turns, lines only: dots would run together."""
LETTER_RUNS = 60
"""A run of one regime carries its letter if it is at least so small a part of the strip."""


@dataclass(frozen=True)
class Step:
    """One merged turn: the reading of the path that ends with it, and the prompt of the reply that answers it."""

    number: int
    """Counted from 0, as `position` in examples.jsonl."""
    turn: Turn
    reading: Reading | None
    """None at the first turn, a path of one state."""
    reply: Turn | None
    """The person's next turn, where this is the partner's."""
    prompt: Prompt | None
    """Of that reply; its reading is None where it is a cold start."""

    @property
    def shifts(self) -> bool:
        """Whether the topic changes here."""
        return self.reading is not None and self.reading.commitment < TOPIC_SHIFT

    @property
    def decides(self) -> bool:
        """Whether this is a decision point."""
        return self.reading is not None and self.reading.transition_pressure > DECISION


def steps(merged: Sequence[Turn], recipe: PromptRecipe, states_T_D: NDArray[np.float64]) -> list[Step]:
    """Return one step for each turn of a merged conversation, given the state of each."""
    readings = prefixes(states_T_D, recipe.window, recipe.neighbours, recipe.bins, recipe.smoothing)
    answers = dict(prompts(merged, recipe, states_T_D))
    return [
        Step(number, turn, reading, merged[number + 1] if number + 1 in answers else None, answers.get(number + 1))
        for number, (turn, reading) in enumerate(zip(merged, readings, strict=True))
    ]


def draw(path: Sequence[Step], title: str, tags: Tags) -> "Figure":
    """Draw who spoke, what is marked, the regimes and one panel a scalar, over the turns."""
    from matplotlib.figure import Figure

    names = list(Reading.__dataclass_fields__)
    heights = [*BAND_INCHES, *[PANEL_INCHES] * len(names)]
    width = min(MOST_INCHES, max(LEAST_INCHES, TURN_INCHES * len(path) + LEFT_INCHES))
    height = sum(heights) + GAP_INCHES * (len(heights) - 1) + TOP_INCHES + BOTTOM_INCHES
    figure = Figure(figsize=(width, height))
    grid = {"height_ratios": heights, "hspace": GAP_INCHES * len(heights) / sum(heights)}
    rows: list[Axes] = list(figure.subplots(len(heights), 1, sharex=True, gridspec_kw=grid))
    figure.subplots_adjust(LEFT_INCHES / width, BOTTOM_INCHES / height, 1 - 0.25 / width, 1 - TOP_INCHES / height)
    figure.text(0.15 / width, 1 - 0.32 / height, title, size=11, weight="bold")
    figure.text(0.15 / width, 1 - 0.55 / height, _facts(path), size=8.5, color=pictures.QUIET)
    for axes in rows:
        pictures.plain(axes)
        axes.set_yticks([])
        axes.set_xlim(-0.6, len(path) - 0.4)
    _events(rows[0], path)
    _regimes(rows[1], path)
    for axes, name in zip(rows[2:], names, strict=True):
        _scalar(axes, path, name)
    _turns(rows[-1], path, width)
    _key(figure, width, height, DOTS[tags] if _dotted(path) else "")
    return figure


def _facts(path: Sequence[Step]) -> str:
    began = f"{path[0].turn.created_at:%Y-%m-%d %H:%M} UTC"
    if len(path) == 1:
        return f"one merged turn, {began}: no path yet, so no reading"
    return (
        f"{len(path):,} merged turns from {began}, {sum(step.prompt is not None for step in path):,} of them answered"
    )


def _events(axes: "Axes", path: Sequence[Step]) -> None:
    kinds: dict[str, tuple[str, str, list[int]]] = {
        "person": ("o", pictures.INK, [step.number for step in path if step.turn.role == "person"]),
        "partner": ("s", pictures.CARD, [step.number for step in path if step.turn.role == "partner"]),
        "topic shift": ("v", pictures.CARD, [step.number for step in path if step.shifts]),
        "decision point": (
            "D",
            pictures.REGIME_COLOURS["transitioning"],
            [step.number for step in path if step.decides],
        ),
    }
    for row, (marker, fill, numbers) in enumerate(kinds.values()):
        axes.plot(numbers, [row] * len(numbers), marker, markersize=_dot(path), markerfacecolor=fill,
                  markeredgecolor=pictures.INK, markeredgewidth=0.7)  # fmt: skip
    axes.set_ylim(len(kinds) - 0.5, -0.5)
    for row, (name, (_, _, numbers)) in enumerate(kinds.items()):
        _name(axes, f"{name} · {len(numbers):,}", row)


def _name(axes: "Axes", text: str, height: float) -> None:
    axes.annotate(text, (LABEL_POINTS, height), xycoords=("figure points", "data"), va="center",
                  annotation_clip=False)  # fmt: skip


def _dot(path: Sequence[Step]) -> float:
    return min(4.5, max(1.2, 450 / len(path)))


def _dotted(path: Sequence[Step]) -> bool:
    return len(path) <= DOTTED_TURNS


def _regimes(axes: "Axes", path: Sequence[Step]) -> None:
    axes.set_ylim(0, 1)
    _name(axes, "regime", 0.5)
    for regime, run in groupby(path, key=lambda step: step.reading and step.reading.regime):
        numbers = [step.number for step in run]
        if regime is None:
            continue
        axes.barh(0.5, len(numbers), 0.8, numbers[0] - 0.5, facecolor=pictures.REGIME_COLOURS[regime],
                  edgecolor=pictures.CARD, linewidth=0.5 if _dotted(path) else 0, hatch=HATCHES[regime])  # fmt: skip
        if len(numbers) * LETTER_RUNS >= len(path):
            axes.text((numbers[0] + numbers[-1]) / 2, 0.48, LETTERS[regime], ha="center", va="center", size=8,
                      weight="bold", bbox={"color": pictures.CARD, "pad": 1.2})  # fmt: skip


def _scalar(axes: "Axes", path: Sequence[Step], name: str) -> None:
    values = {step.number: float(getattr(step.reading, name)) for step in path if step.reading}
    signed = name == "transition_pressure"
    # A recipe's own smoothing may take the pressure beyond what width 3 allows.
    high = max([2 / 3 if signed else 1.0, *map(abs, values.values())])
    low = -high if signed else 0.0
    axes.set_ylim(low - 0.08 * (high - low), high + 0.08 * (high - low))
    axes.set_yticks([low, high], [f"{end:.2g}".replace("-", "−") for end in (low, high)], size=7)
    axes.axhline(0, color=pictures.FAINT, linewidth=0.8, zorder=0)
    if name in THRESHOLDS:
        axes.axhline(THRESHOLDS[name], color=pictures.QUIET, linewidth=0.8, linestyle=(0, (1, 2)), zorder=0)
    _name(axes, f"{Scalar[name].value} · {name.replace('_', ' ')}", (low + high) / 2)
    dotted = _dotted(path)
    axes.plot(list(values), list(values.values()), color=pictures.LINE, linewidth=1.1 if dotted else 0.6,
              marker="o" if dotted else "", markersize=_dot(path) * 0.3)  # fmt: skip
    told = [step.number for step in path if dotted and step.prompt and step.prompt.reading]
    axes.plot(told, [values[number] for number in told], "o", color=pictures.LINE, markersize=_dot(path))


def _turns(axes: "Axes", path: Sequence[Step], width: float) -> None:
    every = -(-len(path) * 5 // int(8 * (width - LEFT_INCHES)))
    moments = [step.turn.created_at for step in path]
    form = "%H:%M" if len({moment.date() for moment in moments}) == 1 else "%H:%M\n%m-%d"
    shown = range(0, len(path), every)
    axes.set_xticks(shown, [f"{number}\n{moments[number]:{form}}" for number in shown])
    axes.tick_params(bottom=False, labelbottom=True)
    axes.annotate("turn\ntime, UTC", (LABEL_POINTS, 0), xycoords=("figure points", "axes fraction"), va="top",
                  xytext=(0, -4), textcoords="offset points", size=8, color=pictures.QUIET)  # fmt: skip


def _key(figure: "Figure", width: float, height: float, dots: str) -> None:
    from matplotlib.patches import Patch

    bands = [
        Patch(facecolor=pictures.REGIME_COLOURS[regime], edgecolor=pictures.CARD, hatch=HATCHES[regime],
              label=f"{LETTERS[regime]} {regime}") for regime in REGIMES
    ]  # fmt: skip
    figure.legend(handles=bands, loc="lower left", bbox_to_anchor=(0.15 / width, 0.25 / height), borderaxespad=0,
                  borderpad=0, ncols=len(bands), frameon=False, fontsize=8, handlelength=1.6)  # fmt: skip
    text = " · ".join(filter(None, [dots, f"topic shift: c < {TOPIC_SHIFT}", f"decision point: p > {DECISION}"]))
    figure.text(0.15 / width, 0.11 / height, text, size=8, color=pictures.QUIET)
