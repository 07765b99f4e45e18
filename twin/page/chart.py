"""A chart in a page: a matplotlib figure → inline SVG in the page's own colours and type, the same bytes each time.

Matplotlib's style attributes would be refused by the page's security policy, and its colours are of one theme only; so
each becomes an attribute of its own, and each colour the name of one that the page sets for light and for dark.
"""

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree

from twin import pictures

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.figure import Figure

SERIES: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")
"""Of lines and bars, in this order; the page has a lighter set for dark."""
COLOURS: Final = {
    pictures.INK: "var(--ink)",
    pictures.QUIET: "var(--quiet)",
    pictures.FAINT: "var(--line)",
    pictures.CARD: "none",
    **{colour: f"var(--series-{place})" for place, colour in enumerate(SERIES, 1)},
}
SVG: Final = "http://www.w3.org/2000/svg"
LINK: Final = "{http://www.w3.org/1999/xlink}href"
LEFT_OUT: Final = frozenset({f"{{{SVG}}}metadata", f"{{{SVG}}}style"})
REFERENCE: Final = re.compile(r"^(?:#|url\(#)([\w-]+)\)?$")
FONT: Final = re.compile(r"(?:(bold|italic) )?([\d.]+)px .*")
INCHES: Final = (3.8, 2.1)
SCALE: Final = 1.5
"""Most charts are as wide as a phone, and larger where there is room: their text has 10 to 13 pixels."""


def chart(name: str, told: str, draw: "Callable[[], Figure]") -> "Markup":
    """Return inline SVG.

    Args:
        name: sets the chart's ids apart from those of others in the page.
        told: what the chart shows, for those who do not see it.
        draw: makes the figure, with the colours of `twin.pictures` and `SERIES`.
    """
    from markupsafe import Markup

    ElementTree.register_namespace("", SVG)
    root = ElementTree.fromstring(pictures.image(".svg", draw))
    kept = {found[1] for element in root.iter() for found in _references(element)}
    for element in root.iter():
        for child in [child for child in element if child.tag in LEFT_OUT]:
            element.remove(child)
        _adapt(element, name, kept)
    width = round(float(root.get("viewBox", "").split()[2]) * SCALE)
    root.attrib.pop("height")
    # A browser draws corners and ends as matplotlib's style sheet would have told it.
    root.attrib |= {
        "width": str(width), "role": "img", "aria-label": told, "stroke-linejoin": "round", "stroke-linecap": "butt",
    }  # fmt: skip
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _references(element: ElementTree.Element) -> Iterator[re.Match[str]]:
    values = [element.get(LINK, ""), element.get("clip-path", ""), *_declared(element).values()]
    return (found for found in map(REFERENCE.match, values) if found)


def _declared(element: ElementTree.Element) -> dict[str, str]:
    pairs = (one.partition(":") for one in element.get("style", "").split(";") if one.strip())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _adapt(element: ElementTree.Element, name: str, kept: set[str]) -> None:
    for key, value in _declared(element).items():
        if key == "font":
            found = FONT.fullmatch(value)
            assert found is not None, f"matplotlib writes another font: {value}"
            element.set("font-size", found[2])
            if found[1] == "bold":
                element.set("font-weight", "bold")
        elif key != "font-family":
            element.set(key, COLOURS.get(value, value))
    element.attrib.pop("style", None)
    if element.get("id") not in kept:
        element.attrib.pop("id", None)
    else:
        element.set("id", f"{name}-{element.get('id')}")
    if LINK in element.attrib:
        element.set("href", f"#{name}-{element.attrib.pop(LINK)[1:]}")
    if found := REFERENCE.match(element.get("clip-path", "")):
        element.set("clip-path", f"url(#{name}-{found[1]})")
