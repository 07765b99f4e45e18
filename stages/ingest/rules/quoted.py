"""Words of others in the person's turn: text and what partners said before → the share that is not the person's."""

import re
from typing import Final

LONG: Final = 40
"""Characters from which a line or sentence said twice is a copy; people do say shorter ones again by themselves."""

MARKS: Final = " \t>*-•#\"'“”‘’`_.!?…:"
"""What a quotation may add or lose at the ends of a line or sentence."""
# An answer pasted from a chat elsewhere: an opening that only assistants use, over a list or headings.
ASSISTANT: Final = re.compile(
    r"(?:(?:certainly|absolutely|of course|sure|great question)! (?:here(?:['’]s| is| are)|below (?:is|are)|i['’]d be)"
    r"|i['’]d be happy to help|as an ai (?:language )?model,? i )",
    re.IGNORECASE,
)
STRUCTURE: Final = re.compile(r"^(?:#{1,4} \S|\d{1,2}\. \*\*|[-*] \*\*)", re.MULTILINE)


class Said:
    """What the partners of one conversation said so far, in lines and sentences."""

    def __init__(self) -> None:
        self._pieces: set[str] = set()

    def add(self, content: str) -> None:
        """Remember a partner's turn."""
        for line in content.split("\n"):
            if len(line) >= LONG:
                self._pieces.add(line.strip(MARKS))
                self._pieces.update(_sentences(line))

    def share(self, content: str) -> float:
        """Return the share of the text's characters, 0 to 1, that stand in quoted or copied lines and sentences."""
        known, total = 0, 0
        for line in content.split("\n"):
            total += len(line)
            if line.startswith(("> ", ">>")):
                known += len(line)
            elif len(line) >= LONG:
                known += self._copied(line)
        return known / total if total else 0.0

    def _copied(self, line: str) -> int:
        if line.strip(MARKS) in self._pieces:
            return len(line)
        return sum(len(sentence) for sentence in _sentences(line) if sentence in self._pieces)


def _sentences(line: str) -> list[str]:
    """Return the long sentences of a line, without marks at their ends."""
    # Plain replacement: a split by expression takes ten times as long, on every turn.
    found = line.replace("? ", ". ").replace("! ", ". ").replace(": ", ". ").split(". ")
    return [sentence.strip(MARKS) for sentence in found if len(sentence) >= LONG]


def by_assistant(content: str) -> bool:
    """Say whether a text opens and is built as only an assistant's answer is."""
    return ASSISTANT.match(content) is not None and STRUCTURE.search(content) is not None
