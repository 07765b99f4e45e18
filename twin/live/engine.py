"""What says the tokens of a live reply: prompt tokens → steps. `SpeakerEngine` is a base with one adapter beside it."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from twin.live.interface import Options
from twin.model import Adapter, Base
from twin.reply import Reply, Speaker, Step
from twin.sampling import Choose, Drawn, likeliest


class Engine(Protocol):
    """Says one reply at a time, by one thread at a time."""

    @property
    def names(self) -> Sequence[str]:
        """Names of the adapters, the default first."""

    @property
    def tokenizer(self) -> Any:
        """The base's."""

    @property
    def context_tokens(self) -> int | None:
        """How many tokens prompt and reply may have together; None if the base does not say."""

    @property
    def kept_tokens(self) -> int:
        """How many tokens of the last prompt were not computed again."""

    def run_id(self, adapter: str) -> str:
        """Return the run that made an adapter."""

    def steps(self, prompt: Sequence[int], options: Options, adapter: str) -> Iterator[Step]:
        """Yield the reply's tokens as they come, the stop token last if there is one; may be left early.

        Raises:
            ModelError: prompt and reply do not fit into the model's context.
        """


class OneBase:
    """What an engine over one base and one speaker tells of them."""

    def __init__(self, base: Base, speaker: Speaker) -> None:
        self._base = base
        self._speaker = speaker

    @property
    def tokenizer(self) -> Any:
        """The base's."""
        return self._base.tokenizer

    @property
    def context_tokens(self) -> int | None:
        """The base's."""
        return self._base.context_tokens

    @property
    def kept_tokens(self) -> int:
        """The speaker's."""
        return self._speaker.kept_tokens


class SpeakerEngine(OneBase):
    """Satisfies `Engine` with one adapter, through the speaker of the evaluation; the adapter can be switched off."""

    def __init__(
        self, base: Base, speaker: Speaker, layers: Adapter, *, name: str = "twin", run_id: str, title: str = ""
    ) -> None:
        super().__init__(base, speaker)
        self.title = title
        self._layers = layers
        self._run_id = run_id
        self.names = (name,)
        self.tuned = True

    def switch(self) -> None:
        """Let the base answer instead of the adapter, or the adapter again."""
        (self._layers.off if self.tuned else self._layers.on)()
        self._speaker.forget()
        self.tuned = not self.tuned

    def run_id(self, adapter: str) -> str:
        """Return the run that made the adapter; none made the base."""
        return self._run_id if self.tuned else ""

    def draws(self, prompt: Sequence[int], options: Options, count: int) -> list[Reply]:
        """Return so many replies drawn to one prompt, together."""
        draw = Drawn(options.temperature, [options.seed * count + sample for sample in range(count)], options.top_p)
        drawn = dict(self._speaker.replies([prompt] * count, options.max_tokens, draw))
        return [drawn[sample] for sample in range(count)]

    def steps(self, prompt: Sequence[int], options: Options, adapter: str) -> Iterator[Step]:
        """Yield the reply's tokens as they come."""
        return self._speaker.steps(prompt, options.max_tokens, chooser(options))


def chooser(options: Options) -> Choose:
    """Return how tokens are chosen: greedily at temperature 0, else by the chance that the seed fixes."""
    return Drawn(options.temperature, [options.seed], options.top_p) if options.temperature else likeliest
