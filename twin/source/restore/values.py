"""SQL literals → text: 'it''s', E'a\\nb', $$a$$, 0.5, true, NULL."""

import re
from collections.abc import Sequence
from typing import Final

import pyarrow as pa

DEFAULT: Final = "is DEFAULT, which only the server knew"
_ESCAPE: Final = re.compile(
    rb"''|\\(?:([0-7]{1,3})|x([0-9A-Fa-f]{1,2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))", re.DOTALL
)
_LETTERS: Final = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
_SURROGATES: Final = re.compile("[\ud800-\udbff][\udc00-\udfff]")


class CellError(ValueError):
    """What is wrong with a literal, and in which row."""

    def __init__(self, row: int, fault: str) -> None:
        super().__init__(row, fault)
        self.row, self.fault = row, fault


def texts(cells: Sequence[bytes]) -> pa.Array:
    """Return the values of a column as text.

    Raises:
        CellError: a literal is not usable as text.
    """
    values: list[bytes | None] = []
    for row, cell in enumerate(cells):
        first = cell[0]
        if first == 0x27:
            values.append(cell[1:-1].replace(b"''", b"'") if b"''" in cell else cell[1:-1])
        elif first in b"nN":
            values.append(None)
        else:
            try:
                values.append(_other(cell))
            except ValueError as error:
                raise CellError(row, str(error)) from None
    try:
        return pa.array(values, pa.binary()).cast(pa.string())
    except pa.ArrowInvalid:
        raise _not_utf8(values) from None


def _other(cell: bytes) -> bytes:
    first = cell[:1]
    if first in b"dD":
        raise ValueError(DEFAULT)
    if first in b"eE":
        return _escaped(cell[2:-1])
    if first in b"bBxX":
        raise ValueError("is a bit string, not text")
    if first == b"$":
        mark = cell.index(b"$", 1) + 1
        return cell[mark:-mark]
    return cell.lower() if first in b"tTfF" else cell


def _escaped(body: bytes) -> bytes:
    made = _ESCAPE.sub(_replacement, body)
    if b"\xed" not in made:
        return made
    text = made.decode("utf-8", "surrogatepass")
    return _SURROGATES.sub(lambda pair: pair.group().encode("utf-16", "surrogatepass").decode("utf-16"), text).encode(
        "utf-8", "surrogatepass"
    )


def _replacement(found: re.Match[bytes]) -> bytes:
    octal, byte, short, long, letter = found.groups()
    if octal or byte:
        return bytes([int(octal, 8) & 0xFF if octal else int(byte, 16)])
    if short or long:
        number = int(short or long, 16)
        if number > 0x10FFFF:
            raise ValueError("has an escape that is no character")
        return chr(number).encode("utf-8", "surrogatepass")
    return _LETTERS.get(letter, letter) if letter else b"'"


def _not_utf8(values: Sequence[bytes | None]) -> CellError:
    for row, value in enumerate(values):
        try:
            (value or b"").decode("utf-8")
        except UnicodeDecodeError as error:
            return CellError(row, f"is not UTF-8 (byte {error.start + 1} of it is 0x{(value or b'')[error.start]:02x})")
    raise AssertionError("Arrow and Python disagree on UTF-8")
