"""Several adapters beside one base: a name and a prompt → steps by that adapter. `Voices` satisfies `Engine`.

An adapter's layers stand beside the base's and take their place while it speaks; nothing is fused or loaded anew, so
that a swap changes references only and is exact.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from twin.errors import ModelError
from twin.live.engine import OneBase, chooser
from twin.live.interface import Options
from twin.live.kept import Shelf
from twin.model import Adapter, Base, attach
from twin.reply import Speaker, Step


@dataclass(frozen=True)
class Voice:
    """A loaded adapter."""

    run_id: str
    layers: Adapter


class Voices(OneBase):
    """Satisfies `Engine`: the adapters of one base, of which one is on, and what they were shown."""

    def __init__(self, base: Base, voices: Mapping[str, Voice], kept_tokens: int) -> None:
        """Take adapters of which the first is the default and on, the others off."""
        super().__init__(base, Speaker(base))
        self._voices = dict(voices)
        self._shelf = Shelf(self._speaker.fresh, kept_tokens)
        self.names = tuple(voices)
        self.on = self.names[0]

    @property
    def held_tokens(self) -> int:
        """How many tokens of all conversations memory is taken for."""
        return self._shelf.tokens

    def run_id(self, adapter: str) -> str:
        """Return the run that made an adapter."""
        return self._voices[adapter].run_id

    def swap(self, adapter: str) -> float:
        """Put an adapter in the place of the one that is on; return the seconds it took."""
        started_s = time.perf_counter()
        if adapter != self.on:
            self._voices[self.on].layers.off()
            self._voices[adapter].layers.on()
            self.on = adapter
        return time.perf_counter() - started_s

    def steps(self, prompt: Sequence[int], options: Options, adapter: str) -> Iterator[Step]:
        """Yield the reply's tokens as they come."""
        self.swap(adapter)
        self._speaker.kept = self._shelf.take(adapter, prompt)
        yield from self._speaker.steps(prompt, options.max_tokens, chooser(options))


def beside(base: Base, folders: Mapping[str, tuple[str, Path]]) -> dict[str, Voice]:
    """Put adapters on a base, each beside the others; the first stays on.

    Args:
        base: loaded, without an adapter.
        folders: run and folder of each adapter by its name, the default first.

    Raises:
        ModelError: an adapter is missing or does not fit the base.
    """
    voices: dict[str, Voice] = {}
    for name, (run_id, folder) in folders.items():
        voices[name] = Voice(run_id, attach(base, folder))
        voices[name].layers.off()
    if not voices:
        raise ModelError("there is no adapter to load. Name at least one.")
    next(iter(voices.values())).layers.on()
    return voices
