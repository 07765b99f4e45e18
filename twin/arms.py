"""Whose reply it is: the letters of the stored files ↔ the words that people read."""

from typing import Final

ARMS: Final = {
    "B0": "base",
    "B1": "prompted base",
    "C": "champion",
    "X": "twin",
    "K": "twin, re-ranked",
    "R": "person",
}
"""In the order in which they are shown side by side."""
