"""Several replies drawn, the most personal said: an engine around another's draws. The reply comes whole."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from twin.live.engine import SpeakerEngine
from twin.live.interface import Options
from twin.reply import Step
from twin.reranker import Reranker

TEMPERATURE: Final = 0.7
"""Of the replies drawn to choose among, as conf/experiment/sampled.yaml evaluates them."""


class Choosing:
    """Satisfies `Engine`; what it says has no calibration, which is fitted on first draws."""

    def __init__(self, engine: SpeakerEngine, reranker: Reranker, samples: int) -> None:
        self._engine, self._reranker, self._samples = engine, reranker, samples
        self.names = engine.names

    @property
    def tokenizer(self) -> Any:
        """The base's."""
        return self._engine.tokenizer

    @property
    def context_tokens(self) -> int | None:
        """The base's."""
        return self._engine.context_tokens

    @property
    def kept_tokens(self) -> int:
        """Of the last draw."""
        return self._engine.kept_tokens

    def run_id(self, adapter: str) -> str:
        """Return the run that made the adapter, and that its replies were chosen."""
        return f"{self._engine.run_id(adapter)}, best of {self._samples}"

    def steps(self, prompt: Sequence[int], options: Options, adapter: str) -> Iterator[Step]:
        """Yield the best reply: its text with the first token."""
        drawn = self._engine.draws(prompt, options, self._samples)
        best = drawn[self._reranker.best([reply.text for reply in drawn])]
        count = best.tokens + best.stopped
        for place in range(count):
            stop = best.stopped and place == count - 1
            yield Step("" if place else best.text, best.nats / count, stop)
