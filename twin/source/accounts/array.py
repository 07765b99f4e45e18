"""A JSON array of any length → its elements, one at a time, with no more text held than one of them needs."""

import codecs
import json
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

from twin.errors import DataError
from twin.export.objects import DECODER
from twin.scrub import shown

CHUNK_BYTES: Final = 1 << 20  # more than almost every conversation
CUT_CHARACTERS: Final = 16  # the decoder tells of a cut value within the last characters: `fals`, `\\ud83d\\ude`


def elements(stream: BinaryIO, name: str) -> Iterator[Any]:
    """Yield the elements of a JSON array; `name` is how messages call the file.

    Raises:
        DataError: the file is cut, not UTF-8, not JSON or not an array.
    """
    text = _Text(stream, name)
    opening = text.next_letter()
    if opening != "[":
        raise DataError(
            f"{name} begins with {shown(opening)}, not with the [ of an array of conversations. Export again."
        )
    number, letter = 0, text.peek()
    while letter != "]":
        number += 1
        yield text.value(number)
        letter = text.next_letter()
        if letter not in (",", "]"):
            raise text.fault(
                number, f"{shown(letter)} follows it, not a comma or ]" if letter else "the file ends here"
            )
    if not number:
        text.next_letter()
    if rest := text.next_letter():
        raise DataError(
            f"{name}: {shown(rest)} follows the array of conversations. The file was changed; export again."
        )


class _Text:
    """The text of a JSON file, read on as far as the value that is wanted."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self._stream = stream
        self._name = name
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._held = ""
        self._at = 0
        self._ended = False

    def peek(self) -> str:
        """Return the next character that is not white space, '' at the end; it stays."""
        while True:
            while self._at < len(self._held) and self._held[self._at] in " \t\n\r":
                self._at += 1
            if self._at < len(self._held):
                return self._held[self._at]
            if not self._fill(CHUNK_BYTES):
                return ""

    def next_letter(self) -> str:
        """Return the next character that is not white space, '' at the end."""
        letter = self.peek()
        self._at += len(letter)
        return letter

    def value(self, number: int) -> Any:
        """Return the next value, which is that of conversation `number`."""
        self.peek()
        more = CHUNK_BYTES
        while True:
            try:
                value, self._at = DECODER.raw_decode(self._held, self._at)
                return value
            except json.JSONDecodeError as error:
                # Twice as much each time, so that a conversation of any size is parsed at most twice over.
                if not (self._may_be_cut(error) and self._fill(more)):
                    told = "the file ends within it" if self._may_be_cut(error) else f"not JSON ({error.msg})"
                    raise self.fault(number, told) from None
                more *= 2
            except RecursionError:
                raise self.fault(number, "it is nested too deep") from None
            except ValueError as error:
                raise self.fault(number, str(error)) from None

    def fault(self, number: int, told: str) -> DataError:
        """Return the error for JSON that is not whole."""
        return DataError(f"{self._name}: conversation {number}: {told}. The file is cut or was changed; export again.")

    def _may_be_cut(self, error: json.JSONDecodeError) -> bool:
        return error.msg.startswith("Unterminated string") or error.pos >= len(self._held) - CUT_CHARACTERS

    def _fill(self, size_bytes: int) -> bool:
        if self._ended:
            return False
        raw = self._stream.read(size_bytes)
        self._ended = not raw
        try:
            more = self._decoder.decode(raw, final=not raw)
        except UnicodeDecodeError:
            raise DataError(f"{self._name} is not UTF-8. The file was changed; export again.") from None
        self._held = self._held[self._at :] + more
        self._at = 0
        return True
