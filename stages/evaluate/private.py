"""Numbers that lead to a person or open a door, which ingest scrubs only where it is told the region: text → how many.

A reply is refused for one of them, so the shapes are narrow: telephone numbers as they are dialled from abroad or
grouped as in North America, social security numbers, and codes that a word beside them calls so.
"""

import re
from typing import Final

SHAPES: Final = (
    re.compile(r"(?<![\w+.,-])(?:\+|00|011) ?\(?[1-9](?:[ ()./-]{0,2}\d){7,13}(?![\w-])"),
    # Area and exchange begin with 2 to 9. Source: the North American Numbering Plan.
    re.compile(r"(?<![\w.,-])(?:\([2-9]\d\d\) ?|[2-9]\d\d[ .-])[2-9]\d\d[ .-]\d{4}(?![\w-]|\.\d)"),
    # Neither 000, 666 nor 9xx come first. Source: the Social Security Administration.
    re.compile(r"(?<![\w-])(?!000|666|9\d\d)\d{3}-(?!00)\d\d-(?!0000)\d{4}(?![\w-])"),
    re.compile(
        r"\b(?:(?:door|gate|alarm|entry|access|pin) ?code|pin|passcode)\b(?: is|:| =)? ?\d{4,8}\b", re.IGNORECASE
    ),
)


def private_numbers(text: str) -> int:
    """Return how many such numbers stand in a text."""
    return sum(len(shape.findall(text)) for shape in SHAPES)
