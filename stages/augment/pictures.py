"""How the scalars lie, by regime and by dialogue act: histograms → two SVG files.

A box holds the middle half of the replies of a group, its line nine tenths, its mark the median; they are as exact
as a bin is narrow.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from twin import pictures
from twin.config.augment import Scalar
from twin.histogram import quantiles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS: Final = 4
ROW_INCHES, PANEL_INCHES, MARGIN_INCHES = 0.24, 2.2, 1.75

Group = dict[str, list[int]]
"""Counts of each scalar's bins."""


def draw(histograms: dict[str, Any], folder: Path) -> None:
    """Write `scalars_by_regime.svg` and `scalars_by_act.svg` into `folder`.

    Args:
        histograms: `bins`, `ranges` of the scalars, and their counts `by_regime` and `by_act`.
        folder: made if it is not there.
    """
    for kind in ("regime", "act"):
        pictures.write(folder / f"scalars_by_{kind}.svg", partial(_figure, histograms, kind))


def _figure(histograms: dict[str, Any], kind: str) -> "Figure":
    from matplotlib.figure import Figure

    groups: dict[str, Group] = histograms[f"by_{kind}"]
    rows = -(-len(histograms["ranges"]) // COLUMNS)
    height = rows * (ROW_INCHES * len(groups) + 0.75) + 0.65
    width = COLUMNS * PANEL_INCHES + MARGIN_INCHES
    figure = Figure(figsize=(width, height))
    grid = figure.subplots(rows, COLUMNS, squeeze=False)
    figure.subplots_adjust(
        left=MARGIN_INCHES / width, right=1 - 0.2 / width, top=1 - 0.85 / height, bottom=0.35 / height,
        wspace=0.14, hspace=0.75 / (ROW_INCHES * len(groups)),
    )  # fmt: skip
    figure.text(0.15 / width, 1 - 0.34 / height, _title(groups, kind), size=11, weight="bold")
    for index, axes in enumerate(grid.flat):
        if index < len(histograms["ranges"]):
            scalar = list(histograms["ranges"])[index]
            _panel(axes, scalar, histograms["ranges"][scalar], groups, named=index % COLUMNS == 0)
        else:
            _key(axes, len(groups))
    return figure


def _title(groups: dict[str, Group], kind: str) -> str:
    total = sum(map(_size, groups.values()))
    of = {"regime": "regime before the reply", "act": "dialogue act of the reply"}[kind]
    if not total:
        return f"Scalars by {of}: no reply has a reading, all are cold starts"
    return f"Scalars by {of}, {total:,} replies with a reading"


def _size(group: Group) -> int:
    return sum(next(iter(group.values())))


def _panel(axes: "Axes", scalar: str, ends: Sequence[float], groups: dict[str, Group], *, named: bool) -> None:
    low, high = ends
    pictures.plain(axes, "bottom")
    axes.set_title(f"{Scalar[scalar].value} · {scalar.replace('_', ' ')}", loc="left", size=9, pad=4)
    margin = (high - low) * 0.02
    axes.set_xlim(low - margin, high + margin)
    axes.set_ylim(len(groups) - 0.4, -0.6)
    axes.set_xticks([low, (low + high) / 2, high], [_tick(low), _tick((low + high) / 2), _tick(high)])
    axes.set_yticks(range(len(groups)), [_label(*item) for item in groups.items()] if named else [], color=pictures.INK)
    everyone = quantiles(
        [sum(counts) for counts in zip(*(group[scalar] for group in groups.values()), strict=True)], *ends
    )
    if everyone:
        axes.axvline(everyone[2], color=pictures.QUIET, linewidth=0.8, linestyle=(0, (1, 2)))
    for row, (name, group) in enumerate(groups.items()):
        _box(axes, row, quantiles(group[scalar], *ends), pictures.REGIME_COLOURS.get(name, pictures.LINE))


def _tick(value: float) -> str:
    return f"{value:.2g}".replace("-", "−")


def _label(name: str, group: Group) -> str:
    return f"{name} · n = {_size(group):,}"


def _box(axes: "Axes", row: float, found: list[float] | None, colour: str) -> None:
    if found is None:
        axes.text(0.5, row, "none", transform=axes.get_yaxis_transform(), ha="center", va="center",
                  size=8, color=pictures.QUIET, bbox={"color": pictures.CARD, "pad": 1})  # fmt: skip
        return
    least, lower, median, upper, most = found
    axes.hlines(row, least, most, color=pictures.INK, linewidth=0.9)
    axes.barh(row, upper - lower, 0.56, lower, facecolor=colour, edgecolor=pictures.INK, linewidth=0.6, zorder=2)
    axes.vlines(median, row - 0.28, row + 0.28, color=pictures.INK, linewidth=2.2, zorder=3)


def _key(axes: "Axes", rows: int) -> None:
    pictures.plain(axes)
    axes.set(xlim=(-0.02, 1.02), ylim=(rows - 0.4, -0.6), xticks=[], yticks=[])
    axes.set_title("how to read it", loc="left", size=9, pad=4, color=pictures.QUIET)
    _box(axes, 0.4, [0.05, 0.25, 0.45, 0.75, 0.95], pictures.CARD)
    for place, text in {0.05: "5 %", 0.25: "25", 0.45: "50", 0.75: "75", 0.95: "95 %"}.items():
        axes.text(place, 1.15, text, ha="center", va="center", size=7.5, color=pictures.QUIET)
    axes.text(0, 2.1, "of the group's replies lie below;", va="center", size=8, color=pictures.QUIET)
    axes.text(0, 2.8, "dotted: the median of all groups", va="center", size=8, color=pictures.QUIET)
