"""The charts of a comparison: differences with their bounds and margin, wins side by side → inline SVG."""

from typing import TYPE_CHECKING, Any

from twin import pictures
from twin.page.chart import INCHES, SERIES, chart

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Tree = dict[str, Any]


def _figure(inches: float) -> "tuple[Figure, Axes]":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(INCHES[0], inches))
    return figure, figure.add_axes((0.03, 0.3, 0.94, 0.62))


def ahead(name: str, metric: Tree) -> "Markup":
    """Draw how far the compared side is ahead: the value, its bounds, and the margin within which nothing differs."""
    found, margin = metric["difference"], metric["margin"]
    reach = 1.15 * max(abs(found["lower"]), abs(found["upper"]), 1.6 * margin, 1e-9)

    def draw() -> "Figure":
        figure, axes = _figure(0.95)
        axes.axvspan(-margin, margin, color=pictures.FAINT, linewidth=0)
        axes.axvline(0, color=pictures.QUIET, linewidth=0.8)
        axes.hlines(0, found["lower"], found["upper"], color=SERIES[0], linewidth=3)
        axes.plot([found["value"]], [0], "o", color=SERIES[0], markersize=7)
        axes.set(xlim=(-reach, reach), ylim=(-1, 1), yticks=[])
        axes.annotate(
            "worse", (0, -0.95), xycoords=("axes fraction", "data"), va="bottom", size=9, color=pictures.QUIET
        )
        axes.annotate("better", (1, -0.95), xycoords=("axes fraction", "data"), va="bottom", ha="right", size=9,
                      color=pictures.QUIET)  # fmt: skip
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:+.3g}".replace("-", "−") if value else "0")
        axes.locator_params(axis="x", nbins=5)
        axes.tick_params(labelsize=9)
        pictures.plain(axes, "bottom")
        return figure

    told = (
        f"Ahead by {found['value']:+.3f}, bounds {found['lower']:+.3f} to {found['upper']:+.3f}; "
        f"up to {margin:g} either way is no difference."
    )
    return chart(name, told, draw)


def wins(name: str, found: Tree) -> "Markup":
    """Draw on how many prompts the compared side scores higher, the same, lower."""
    parts = (
        (found["wins"], "wins", SERIES[0]),
        (found["ties"], "ties", pictures.FAINT),
        (found["losses"], "losses", SERIES[1]),
    )

    def draw() -> "Figure":
        figure, axes = _figure(0.8)
        left = 0
        for n, what, colour in parts:
            axes.barh([0], [n], 0.7, left, color=colour)
            if n:
                axes.annotate(f"{n} {what}", (left + n / 2, -0.5), ha="center", va="top", size=9, annotation_clip=False)
            left += n
        axes.set(xlim=(0, max(left, 1)), ylim=(-0.5, 0.5), xticks=[], yticks=[])
        pictures.plain(axes)
        return figure

    return chart(name, ", ".join(f"{n} {what}" for n, what, _ in parts) + ".", draw)
