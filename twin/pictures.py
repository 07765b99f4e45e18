"""How every picture looks and is written: a figure → SVG or PNG, the same bytes for the same figure.

A picture brings its own light card, so that it reads on light and dark pages alike. Nothing is told by colour
alone. The palette is Okabe and Ito's (2008), which the common kinds of colour blindness tell apart.
"""

import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from twin.errors import ConfigError
from twin.files import write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CARD: Final = "#fbfbf8"
INK: Final = "#24292f"
QUIET: Final = "#636c76"
FAINT: Final = "#d5d8dc"
LINE: Final = "#0072b2"

REGIME_COLOURS: Final = {
    "transitioning": "#d55e00",
    "exploring": "#56b4e9",
    "locked": "#cc79a7",
    "committing": "#009e73",
    "stalled": "#b7bbc0",
}
SETTINGS: Final[Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib: text is as wide everywhere
    "font.size": 9,
    "svg.fonttype": "none",
    "svg.hashsalt": "cognitive-twin",
    "figure.facecolor": CARD,
    "savefig.facecolor": CARD,
    "axes.facecolor": CARD,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "hatch.linewidth": 0.6,
}

NAMELESS: Final = {
    ".svg": dict.fromkeys(("Date", "Creator"), None),
    ".png": {"Software": None},
}
"""Neither a time nor a version, by kind of file."""

PNG_DPI: Final = 144


def require_kind(path: Path) -> None:
    """Refuse a file that is neither SVG nor PNG.

    Raises:
        ConfigError: another ending.
    """
    if path.suffix.lower() not in NAMELESS:
        raise ConfigError(f"{path}: a picture ends in {' or '.join(NAMELESS)}, not in {path.suffix or 'nothing'}.")


def write(path: Path, draw: "Callable[[], Figure]") -> None:
    """Let `draw` make a figure in the settings of all pictures, and write it to `path`, whole or not at all.

    Raises:
        ConfigError: `path` ends in neither .svg nor .png.
        StorageError: the disk refused; an older file at `path` is untouched.
    """
    require_kind(path)
    write_bytes(path, image(path.suffix.lower(), draw))


def image(kind: str, draw: "Callable[[], Figure]") -> bytes:
    """Let `draw` make a figure in the settings of all pictures, and return it as a file of a kind, such as `.svg`."""
    from matplotlib import rc_context, rcdefaults

    made = io.BytesIO()
    with rc_context(), warnings.catch_warnings():
        rcdefaults()  # whatever a matplotlibrc on this machine says
        from matplotlib import rcParams

        rcParams.update(SETTINGS)
        # Text is the viewer's to draw; only its width is guessed here.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        draw().savefig(made, format=kind[1:], metadata=NAMELESS[kind], dpi=PNG_DPI)
    return made.getvalue()


def plain(axes: "Axes", *keep: str) -> None:
    """Leave of the frame and ticks of `axes` only the sides named."""
    for side, spine in axes.spines.items():
        spine.set_visible(side in keep)
    axes.tick_params(length=0, bottom="bottom" in keep, left="left" in keep)
