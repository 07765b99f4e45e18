"""The charts of the report: curves, arms, memory, funnel and readings → inline SVG."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from stages.report.material import Tree, at
from twin import pictures
from twin.arms import ARMS
from twin.histogram import quantiles
from twin.page.chart import INCHES, SERIES, chart
from twin.progress import size_text

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Curves = Sequence[dict[str, float | None]]
TERMS: Final = {
    "weights": "weights",
    "adapter": "adapter",
    "optimizer": "optimizer",
    "kept": "kept for backward",
    "passing": "passing",
}
SMALL_INCHES: Final = (2.35, 1.15)


def _figure(size: tuple[float, float] = INCHES, **margins: float) -> "tuple[Figure, Axes]":
    from matplotlib.figure import Figure

    made = Figure(figsize=size)
    axes = made.add_subplot()
    made.subplots_adjust(**{"left": 0.11, "right": 0.98, "top": 0.96, "bottom": 0.2, **margins})
    pictures.plain(axes, "bottom", "left")
    axes.grid(axis="y", color=pictures.FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=9)
    return made, axes


def _points(curves: Curves, key: str) -> tuple[list[float], list[float]]:
    pairs = [(row["update"], row[key]) for row in curves]
    kept = [(x, y) for x, y in pairs if x is not None and y is not None]
    return [x for x, _ in kept], [y for _, y in kept]


def loss(curves: Curves) -> "Markup":
    """Draw the loss on train batches and on held-out replies."""
    losses, valid = (_points(curves, key)[1] for key in ("loss", "valid_loss"))
    told = f"Loss in nats per supervised token. Train batches: {_ends(losses)}. Held-out replies: {_ends(valid)}."
    return chart("loss", told, lambda: loss_figure(curves))


def loss_figure(curves: Curves) -> "Figure":
    """Return the figure of the loss."""
    (updates, losses), (looked, valid) = _points(curves, "loss"), _points(curves, "valid_loss")
    figure, axes = _figure()
    axes.plot(updates, losses, color=SERIES[0], linewidth=1.1)
    axes.plot(looked, valid, color=SERIES[1], linewidth=1.4, marker="o", markersize=4)
    axes.set(xlabel="update", ylim=(0, max([*losses, *valid, 0.1]) * 1.08))
    _label(axes, updates, losses, "train batches", SERIES[0], above=True)
    _label(axes, looked, valid, "held-out replies", SERIES[1], above=False)
    return figure


def _label(axes: "Axes", xs: Sequence[float], ys: Sequence[float], text: str, colour: str, *, above: bool) -> None:
    """Name a line where it stands, in its colour: no key to look up."""
    if not xs:
        return
    place = len(xs) // 3 if above else len(xs) - 1
    away = (0, 26) if above else (0, -16)
    axes.annotate(text, (xs[place], ys[place]), xytext=away, textcoords="offset points", color=colour, size=9,
                  ha="left" if above else "right", va="center")  # fmt: skip


def _ends(values: Sequence[float]) -> str:
    return f"{values[0]:.2f} at first, {values[-1]:.2f} at last" if values else "none"


def learning_rate(curves: Curves) -> "Markup":
    """Draw the schedule."""
    updates, rates = _points(curves, "learning_rate")

    def draw() -> "Figure":
        figure, axes = _figure(left=0.17)
        axes.plot(updates, rates, color=SERIES[0], linewidth=1.4)
        axes.set(xlabel="update", ylim=(0, max([*rates, 1e-9]) * 1.08))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:.1e}".replace("e-0", "e−") if value else "0")
        return figure

    most = max(rates, default=0.0)
    return chart("rate", f"Learning rate: rises to {most:.2g}, ends at {rates[-1] if rates else 0:.2g}.", draw)


def gradient_norm(curves: Curves, clip: float | None) -> "Markup":
    """Draw the gradient's norm before clipping, and where it is clipped."""
    updates, norms = _points(curves, "gradient_norm")

    def draw() -> "Figure":
        figure, axes = _figure()
        axes.plot(updates, norms, color=SERIES[0], linewidth=1.1)
        axes.set(xlabel="update", ylim=(0, max([*norms, clip or 0, 0.1]) * 1.08))
        if clip is not None:
            axes.axhline(clip, color=SERIES[1], linewidth=1.2, linestyle=(0, (4, 3)))
        return figure

    clipped = f", clipped to {clip:g}" if clip is not None else ""
    return chart("norm", f"Gradient norm: {_ends(norms)}{clipped}.", draw)


def rubric(evaluate: Tree) -> "Markup | None":
    """Draw the rubric's mean of every arm on the test prompts, with its bounds; None if nothing was scored."""
    found = {arm: at(evaluate, f"rubric_test.all.{arm}") for arm in ARMS}
    means = [(ARMS[arm], one) for arm, one in found.items() if one]
    if not means:
        return None

    def draw() -> "Figure":
        figure, axes = _figure(
            (INCHES[0], 0.35 + 0.3 * len(means)), left=0.26, top=0.99, bottom=0.25 / (0.35 + 0.3 * len(means))
        )
        axes.grid(visible=False)
        for row, (_, one) in enumerate(means):
            axes.hlines(row, 0, 3, color=pictures.FAINT, linewidth=0.8)
            axes.hlines(row, one["lower"], one["upper"], color=SERIES[0], linewidth=3)
            axes.plot([one["value"]], [row], "o", color=SERIES[0], markersize=6, clip_on=False)
            axes.annotate(f"{one['value']:.2f}", (one["value"], row), xytext=(0, 7), textcoords="offset points",
                          ha="center", size=9, color=pictures.INK)  # fmt: skip
        axes.set(xlim=(-0.05, 3.05), ylim=(len(means) - 0.5, -0.75), xticks=[0, 1, 2, 3])
        axes.set_yticks(range(len(means)), [who for who, _ in means], color=pictures.INK, size=9)
        axes.spines["left"].set_visible(False)
        return figure

    told = "; ".join(f"{who} {one['value']:.2f} ({one['lower']:.2f} to {one['upper']:.2f})" for who, one in means)
    return chart("rubric", f"Mean rubric score, 0 to 3, over the test prompts with 95 % bounds: {told}.", draw)


def memory(predicted: Tree) -> "Markup":
    """Draw what takes how much memory, as predicted."""
    rows = [(words, predicted[term]) for term, words in TERMS.items()]

    def draw() -> "Figure":
        figure, axes = _figure((INCHES[0], 1.3), left=0.4, right=0.82, top=0.99, bottom=0.03)
        axes.grid(visible=False)
        axes.barh(range(len(rows)), [size for _, size in rows], 0.6, color=SERIES[0])
        for row, (_, size) in enumerate(rows):
            axes.annotate(size_text(size), (size, row), xytext=(4, 0), textcoords="offset points", va="center", size=9)
        axes.set(ylim=(len(rows) - 0.5, -0.5), xticks=[])
        axes.set_yticks(range(len(rows)), [words for words, _ in rows], color=pictures.INK, size=9)
        pictures.plain(axes, "left")
        return figure

    told = ", ".join(f"{words} {size_text(size)}" for words, size in rows)
    return chart("memory", f"Predicted peak of training, {size_text(predicted['total'])}: {told}.", draw)


def funnel(steps: Sequence[dict[str, Any]]) -> "Markup":
    """Draw how many are left at each step."""

    def draw() -> "Figure":
        figure, axes = _figure((INCHES[0], 0.4 * len(steps) + 0.1), left=0.01, right=0.87, top=0.99, bottom=0.01)
        axes.grid(visible=False)
        places = np.arange(len(steps))
        axes.barh(places + 0.18, [step["n"] for step in steps], 0.42, color=SERIES[0])
        for place, step in enumerate(steps):
            axes.annotate(
                step["what"], (0, place - 0.06), xytext=(0, 2), textcoords="offset points", va="bottom", size=8
            )
            axes.annotate(f"{step['n']:,}", (step["n"], place + 0.18), xytext=(4, 0), textcoords="offset points",
                          va="center", size=9, weight="bold")  # fmt: skip
        axes.set(ylim=(len(steps) - 0.45, -0.5), xticks=[], yticks=[])
        pictures.plain(axes)
        return figure

    return chart("funnel", "; ".join(f"{step['n']:,} {step['what']}" for step in steps) + ".", draw)


def readings(scalars: Tree) -> list[dict[str, Any]]:
    """Return every scalar of the trajectory with its quantiles and a histogram of all replies that have a reading."""
    found = []
    for name, (low, high) in scalars["ranges"].items():
        counts = [sum(bins) for bins in zip(*(group[name] for group in scalars["by_regime"].values()), strict=True)]
        shares = quantiles(counts, low, high)
        if shares:
            found.append({"name": name, "quantiles": shares, "svg": _histogram(name, counts, (low, high), shares)})
    return found


def _histogram(name: str, counts: Sequence[int], ends: tuple[float, float], shares: Sequence[float]) -> "Markup":
    low, high = ends

    def draw() -> "Figure":
        figure, axes = _figure(SMALL_INCHES, left=0.06, right=0.94, top=0.86, bottom=0.26)
        axes.grid(visible=False)
        edges = np.linspace(low, high, len(counts) + 1)
        axes.stairs(counts, edges, fill=True, color=SERIES[0])
        axes.axvline(shares[2], color=SERIES[1], linewidth=1.6)
        side = "left" if shares[2] < (low + high) / 2 else "right"
        median = f"median {shares[2]:.2f}".replace("-", "−")
        away = (4 if side == "left" else -4, 2)
        axes.annotate(median, (shares[2], 1), xycoords=("data", "axes fraction"), xytext=away,
                      textcoords="offset points", ha=side, size=9)  # fmt: skip
        ticks = [low, (low + high) / 2, high]
        axes.set_xticks(ticks, [f"{tick:.2g}".replace("-", "−") for tick in ticks])
        axes.set(xlim=(low - (high - low) * 0.02, high + (high - low) * 0.02), yticks=[])
        pictures.plain(axes, "bottom")
        return figure

    lower, median, upper = shares[1:4]
    told = f"half of the replies lie between {lower:.2f} and {upper:.2f}, the median is {median:.2f}"
    return chart(f"scalar-{name.replace('_', '-')}", f"{name.replace('_', ' ')}: {told}.", draw)
