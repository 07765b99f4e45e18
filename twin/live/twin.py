"""A live twin: voice from an adapter, knowledge from a graph, situation from the conversation → reply, then what lies
behind it.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from threading import Event
from typing import Final

from twin.confidence import Calibration, Saying
from twin.context import NOTE, OFF, Asker, Context, build_context
from twin.conversation import Role, Turn
from twin.errors import DataError, ModelError, RoomError
from twin.live.engine import Engine
from twin.live.gates import Gates, Judged
from twin.live.interface import Behind, Options
from twin.live.stops import Stops
from twin.prompt import Embed, Message, PromptRecipe
from twin.tokens import prompt_tokens

ROLES: Final[Mapping[str, Role]] = {"user": "partner", "assistant": "person"}
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""No time enters a prompt."""


@dataclass
class _Run:
    """What a reply came to so far."""

    prompt_tokens: int
    started_s: float
    text: str = ""
    tokens: int = 0
    nats: float = 0.0
    worst_nats: float = 0.0
    finish: str = "length"
    cut: bool = False
    """Whether one of the client's own stops ended it."""
    first_s: float = 0.0
    last_s: float = 0.0
    pieces: int = 0
    """Tokens that brought text."""

    @property
    def tokens_per_s(self) -> float:
        """Of the tokens after the first one; where a reply came whole, of all since it was asked for."""
        count, since_s = (self.tokens - 1, self.first_s) if self.pieces > 1 else (self.tokens, self.started_s)
        return count / (self.last_s - since_s) if self.tokens > 1 and self.last_s > since_s else 0.0


class LiveTwin:
    """Satisfies `Answerer`; the parts are given, `twin.live.load` puts those of an adapter's folder together."""

    def __init__(
        self,
        recipe: PromptRecipe,
        embed: Embed,
        engine: Engine,
        gates: Gates,
        *,
        asker: Asker | None = None,
        fact_characters: int = NOTE.fact_characters,
        calibration: Calibration | None = None,
        novel_quantile: float = 1.0,
        route: Callable[[Context], str | None] = lambda context: None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Put a twin together.

        Args:
            recipe: of the default adapter; adapters that are routed to must share it.
            embed: as the recipe's embedder.
            engine: what says the tokens.
            gates: what decides about a reply.
            asker: asks the graph about a message; None leaves it alone.
            fact_characters: where a fact is cut.
            calibration: of the adapter it names; other adapters have no confidence.
            novel_quantile: of ordinary questions' distances, beyond which a question is novel.
            route: name of the adapter for a context; None takes the default.
            clock: seconds, for the speeds.
        """
        self.recipe, self.engine = recipe, engine
        self.last: Context | None = None
        self._embed, self._asker, self._gates, self._route = embed, asker, gates, route
        self._fact_characters = fact_characters
        self._calibration, self._clock = calibration, clock
        self._novel_from = calibration.confidence.novel_from(novel_quantile) if calibration else None

    def models(self) -> Sequence[str]:
        """Return the adapters' names, the default first."""
        return self.engine.names

    def graph_size(self) -> str:
        """Return whether the graph answers, and how many facts it has."""
        return self._asker.size() if self._asker else OFF

    def context(self, messages: Sequence[Message], facts: bool = True) -> Context:
        """Write the prompt for the reply to `messages`.

        Raises:
            DataError: the messages are no conversation to answer.
        """
        turns = turns_of(messages)
        ask = self._asker.ask if self._asker and facts else None
        return build_context(turns, self.recipe, self._embed, ask, self._fact_characters)

    def answer(self, messages: Sequence[Message], options: Options, cancelled: Event) -> Iterator[str | Behind]:
        """Yield the reply in pieces, an empty one, then what lies behind it; see `Answerer`."""
        started_s = self._clock()
        self.last = context = self.context(messages, options.facts)
        adapter = options.adapter or self._route(context) or self.engine.names[0]
        if adapter not in self.engine.names:
            raise ModelError(f"there is no adapter {adapter!r}. Loaded: {', '.join(self.engine.names)}.")
        prompt = prompt_tokens(context.prompt.messages, self.engine.tokenizer)
        run = _Run(len(prompt), started_s)
        for piece in self._pieces(prompt, replace(options, max_tokens=self._room(prompt, options)), adapter, run):
            if cancelled.is_set():
                return
            if piece:
                yield piece
        if not cancelled.is_set():
            yield ""
            yield self._behind(context, options, adapter, run)

    def _room(self, prompt: Sequence[int], options: Options) -> int:
        context_tokens = self.engine.context_tokens
        room = options.max_tokens if context_tokens is None else context_tokens - len(prompt)
        if room < 1:
            assert context_tokens is not None
            raise RoomError(
                f"the prompt has {len(prompt)} tokens; with a reply it exceeds the base's context of {context_tokens} "
                "tokens. Shorten the last message.",
                context_tokens=context_tokens,
                prompt_tokens=len(prompt),
                reply_tokens=1,
            )
        return min(room, options.max_tokens)

    def _pieces(self, prompt: Sequence[int], options: Options, adapter: str, run: _Run) -> Iterator[str]:
        """Yield text that may be shown, noting in `run` what it came to; empty pieces let the caller look around."""
        stops = Stops(options.stop)
        for step in self.engine.steps(prompt, options, adapter):
            run.last_s = self._clock()
            run.first_s = run.first_s or run.last_s
            run.tokens += not step.stop
            run.pieces += bool(step.text)
            run.nats += step.nats
            run.worst_nats = max(run.worst_nats, step.nats)
            piece, run.cut = stops.feed(step.text)
            run.text += piece
            yield piece
            if step.stop or run.cut:
                run.finish = "stop"
                break
        if not run.cut:
            rest = stops.rest()
            run.text += rest
            yield rest

    def _behind(self, context: Context, options: Options, adapter: str, run: _Run) -> Behind:
        judged = self._judged(context, options, adapter, run)
        action, reason = self._gates.decide(judged, options.conversation)
        return Behind(
            run_id=self.engine.run_id(adapter),
            adapter=adapter,
            tag=context.prompt.tag,
            facts=context.facts,
            graph=context.graph,
            confidence=judged.confidence,
            action=action,
            reason=reason,
            finish=run.finish,
            prompt_tokens=run.prompt_tokens,
            cached_tokens=self.engine.kept_tokens,
            reply_tokens=run.tokens,
            first_token_s=run.first_s - run.started_s,
            tokens_per_s=run.tokens_per_s,
        )

    def _judged(self, context: Context, options: Options, adapter: str, run: _Run) -> Judged:
        message = context.prompt.messages[-1]["content"]
        judged = Judged(message, run.text, run.finish, None)
        if self._calibration is None:
            return judged
        (distance,) = self._calibration.questions.distances([message])
        judged = replace(judged, distance=distance, novel_from=self._novel_from)
        fitted = self._calibration.confidence
        if fitted.run_id != self.engine.run_id(adapter):
            return replace(judged, unsure=f"the calibration is of run {fitted.run_id[:12]}, not of this reply's")
        if fitted.temperature != options.temperature or options.top_p < 1:
            return replace(judged, unsure=f"the calibration is for temperature {fitted.temperature:g} and top_p 1")
        if context.facts:
            return replace(judged, unsure="the calibration is for prompts without facts")
        if run.cut:
            return replace(judged, unsure="the reply was cut at a stop of the client's")
        saying = Saying(message, run.text, run.tokens, run.nats, run.worst_nats, distance)
        return replace(judged, confidence=fitted.probability(saying))


def turns_of(messages: Sequence[Message]) -> list[Turn]:
    """Return chat messages as turns.

    Raises:
        DataError: there are none, one is not a turn of user or assistant, or the last is not the user's.
    """
    if not messages:
        raise DataError("there are no messages. Send at least one of role user.")
    for place, message in enumerate(messages):
        role, content = message.get("role"), message.get("content")
        if role == "system":
            raise DataError(
                f"message {place} is of role system; the twin's recipe writes that line. Leave the message out."
            )
        if role not in ROLES:
            raise DataError(f"message {place} has the role {role!r}; user and assistant are known.")
        if not isinstance(content, str) or not content.strip():
            raise DataError(f"message {place} has no text. Leave it out.")
    if messages[-1]["role"] != "user":
        raise DataError("the last message is the assistant's own. End with the user's message that is to be answered.")
    return [
        Turn(f"live-{place}", ROLES[message["role"]], message["content"], EPOCH)
        for place, message in enumerate(messages)
    ]
