"""Replies, greedy unless told otherwise, and how likely given ones are: prompt tokens → text or nats.

The keys and values of what successive prompts share at their beginning are computed once and kept. A reply
is the same as without them: what is kept belongs to tokens that a causal model has already seen.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import mlx.core as mx
import numpy as np
from mlx_lm.generate import generate_step
from mlx_lm.models.cache import KVCache, can_trim_prompt_cache, make_prompt_cache, trim_prompt_cache
from mlx_lm.utils import common_prefix_len

from twin.errors import RoomError
from twin.likelihood import Likelihood, collate, token_nats
from twin.model import Base, split_head
from twin.sampling import Choose, likeliest
from twin.tokens import Example

ROWS = 16  # prompts answered together: a step of a small model costs nearly the same for one and for sixteen
HELD_TOKENS = 8192  # of the prompts answered together; 7B holds 57 KB of keys and values a token
PREFILL_TOKENS = 2048  # computed at once, as mlx-lm does

INCOMPLETE = "\ufffd"  # what a tokenizer decodes a character's first bytes to


@dataclass(frozen=True)
class Reply:
    """A finished reply."""

    text: str
    tokens: int
    """Without the stop token."""
    stopped: bool
    """Whether it ended by itself; otherwise it ran into the limit."""
    nats: float
    """Minus the log-probability of all its tokens, the stop token too, as the model gives it at temperature 1."""
    worst_nats: float
    """Of its least likely token."""


@dataclass(frozen=True)
class Step:
    """One token of a reply as it comes."""

    text: str
    """The whole characters that it completed; a character's last token brings all of it."""
    nats: float
    """As of a reply."""
    stop: bool
    """Whether it is the stop token, which is no part of the text."""


Said = tuple[int, float]
"""A token and its nats."""


@dataclass
class Kept:
    """Keys and values of tokens that a model has seen, one after the other."""

    cache: list[Any]
    tokens: list[int]

    @property
    def computed(self) -> list[int]:
        """The tokens whose keys and values are there: a reply that was left early may lack those of its last one."""
        return self.tokens[: int(self.cache[0].offset)] if self.tokens else []

    def copy(self, length: int) -> "Kept | None":
        """Return the first `length` tokens with keys and values of their own; None where the model's kind has none."""
        if not all(type(layer) is KVCache for layer in self.cache):
            return None
        cache = [_snapshot(layer, length) for layer in self.cache]
        mx.eval([layer.state for layer in cache])
        return Kept(cache, self.tokens[:length])


class Speaker:
    """A model that answers; call `forget` whenever its weights change."""

    def __init__(self, base: Base) -> None:
        self._base = base
        self._split = split_head(base.model)
        self.forget()

    def forget(self) -> None:
        """Drop the kept keys and values, as after switching an adapter on or off."""
        self.kept = self.fresh()
        self._shared = 0

    def fresh(self) -> Kept:
        """Return what is kept of no tokens; whoever keeps several prompts apart sets `kept` to one of its own."""
        return Kept(make_prompt_cache(self._base.model), [])

    def reply(self, prompt: Sequence[int], max_tokens: int) -> Reply:
        """Answer `prompt` with at most `max_tokens` tokens.

        Raises:
            ModelError: prompt and reply do not fit into the model's context.
        """
        return self._finished(list(self._tokens(prompt, max_tokens)))

    def replies(
        self, prompts: Sequence[Sequence[int]], max_tokens: int, choose: Choose = likeliest
    ) -> Iterator[tuple[int, Reply]]:
        """Answer all prompts as `reply` does, several together, yielding each one's place and reply as they end.

        Equal to `reply` but for rounding: two tokens that are equally likely to the last bit may change places.

        Raises:
            ModelError: as `reply`, before anything is computed.
        """
        for prompt in prompts:
            require_room(self._base, len(prompt), max_tokens)
        for places in _groups(prompts, max_tokens):
            said = self._together({place: prompts[place] for place in places}, max_tokens, choose)
            yield from zip(places, map(self._finished, said), strict=True)

    def stream(self, prompt: Sequence[int], max_tokens: int) -> Iterator[str]:
        """Answer as `reply` does, yielding the text as it comes, whole characters only."""
        yield from (step.text for step in self.steps(prompt, max_tokens) if step.text)

    def steps(self, prompt: Sequence[int], max_tokens: int, choose: Choose = likeliest) -> Iterator[Step]:
        """Answer as `reply` does, yielding each token as it comes; what is left of a character comes with the last.

        Raises:
            ModelError: as `reply`.
        """
        content: list[int] = []
        shown = ""
        for number, (token, nats) in enumerate(self._tokens(prompt, max_tokens, choose), 1):
            stop = token in self._base.tokenizer.eos_token_ids
            content += [] if stop else [token]
            text, last = self._decode(content), stop or number == max_tokens
            whole = last or (not text.endswith(INCOMPLETE) and text.startswith(shown))
            yield Step(text[len(shown) :] if whole else "", nats, stop)
            shown = text if whole else shown

    @property
    def kept_tokens(self) -> int:
        """How many tokens of the last prompt were taken from the kept keys and values."""
        return self._shared

    def score(self, example: Example) -> Likelihood:
        """Return how likely the reply in `example` is, as `twin.likelihood.score` does.

        Raises:
            ModelError: as `reply`.
        """
        require_room(self._base, example.prompt_tokens, example.supervised)
        self._prefill(example.tokens[: example.prompt_tokens])
        rest = Example(example.id, example.tokens[example.prompt_tokens - 1 :], prompt_tokens=1)
        nats_P = token_nats(self._split, collate([rest], rest.supervised, rest.supervised), self.kept.cache)
        total_nats = float(np.array(nats_P, dtype=np.float64).sum())
        self.kept.tokens = list(example.tokens[:-1])
        return Likelihood(total_nats, example.supervised)

    def _finished(self, said: list[Said]) -> Reply:
        tokens, nats = [token for token, _ in said], [nats for _, nats in said]
        stopped = tokens[-1] in self._base.tokenizer.eos_token_ids
        content = tokens[:-1] if stopped else tokens
        return Reply(self._decode(content), len(content), stopped, math.fsum(nats), max(nats))

    def _together(self, asked: Mapping[int, Sequence[int]], max_tokens: int, choose: Choose) -> list[list[Said]]:
        """Return the tokens of each reply, its stop token included."""
        if not all(type(layer) is KVCache for layer in self.kept.cache):
            return [list(self._tokens(prompt, max_tokens, choose, place)) for place, prompt in asked.items()]
        stop = self._base.tokenizer.eos_token_ids
        cache = [KVCache.merge(rows) for rows in zip(*map(self._prefilled, asked.values()), strict=True)]
        said: dict[int, list[Said]] = {place: [] for place in asked}
        going, last_B = list(asked), mx.array([prompt[-1] for prompt in asked.values()])
        while going:
            logits_B_V = self._base.model(last_B[:, None], cache=cache)[:, -1]
            last_B = choose(logits_B_V, going)
            nats_B = _nats(logits_B_V, last_B)
            mx.eval(last_B, nats_B)
            tokens, nats = cast(list[int], last_B.tolist()), cast(list[float], nats_B.tolist())
            for place, token, lost in zip(going, tokens, nats, strict=True):
                said[place].append((token, lost))
            kept = [row for row, token in enumerate(tokens) if token not in stop and len(said[going[row]]) < max_tokens]
            going = [going[row] for row in kept]
            if going and len(kept) < len(tokens):
                for layer in cache:
                    layer.filter(mx.array(kept))
                last_B = last_B[mx.array(kept)]
        return list(said.values())

    def _prefilled(self, prompt: Sequence[int]) -> list[KVCache]:
        """Return a cache of its own that holds all of `prompt` but the last token."""
        self._prefill(prompt)
        return [_snapshot(layer, layer.offset) for layer in self.kept.cache]

    def _prefill(self, prompt: Sequence[int]) -> None:
        """Make the kept keys and values those of all of `prompt` but the last token."""
        rest = list(prompt[self._keep(prompt) : -1])
        for start in range(0, len(rest), PREFILL_TOKENS):
            self._base.model(mx.array([rest[start : start + PREFILL_TOKENS]]), cache=self.kept.cache)
            mx.eval([layer.state for layer in self.kept.cache])
        self.kept.tokens = list(prompt[:-1])

    def _decode(self, tokens: list[int]) -> str:
        # Special tokens stay visible: a reply that holds one is broken, and must look broken.
        return str(self._base.tokenizer.decode(tokens, skip_special_tokens=False))

    def _tokens(
        self, prompt: Sequence[int], max_tokens: int, choose: Choose = likeliest, place: int = 0
    ) -> Iterator[Said]:
        """Yield the reply's tokens, the stop token last if there is one."""
        require_room(self._base, len(prompt), max_tokens)
        rest = mx.array(list(prompt[self._keep(prompt) :]))
        self.kept.tokens = list(prompt)
        sampler = partial(_alone, choose, place)
        steps = generate_step(
            rest, self._base.model, max_tokens=max_tokens, sampler=sampler, prompt_cache=self.kept.cache
        )
        for number, logprobs_V in steps:
            token = int(number)
            self.kept.tokens.append(token)
            yield token, -_at(logprobs_V, token)
            if token in self._base.tokenizer.eos_token_ids:
                break
        steps.close()

    def _keep(self, prompt: Sequence[int]) -> int:
        """Cut the cache back to what it shares with `prompt`, its last token excepted, and return that length."""
        self._shared = 0
        if not self.kept.tokens:
            return 0
        if not can_trim_prompt_cache(self.kept.cache):
            self.forget()
            return 0
        shared = int(common_prefix_len(self.kept.computed, prompt[:-1]))
        trim_prompt_cache(self.kept.cache, int(self.kept.cache[0].offset) - shared)
        self._shared = shared
        return shared


def require_room(base: Base, prompt_tokens: int, reply_tokens: int) -> None:
    """Check that a prompt and its reply fit into the model's context.

    Raises:
        RoomError: they do not; nothing is ever cut.
    """
    needed = prompt_tokens + reply_tokens
    if base.context_tokens is not None and needed > base.context_tokens:
        raise RoomError(
            f"a prompt of {prompt_tokens} tokens and a reply of {reply_tokens} exceed the base's context of "
            f"{base.context_tokens} tokens. Lower augment.context_turns, generate.few_shot or generate.max_new_tokens.",
            context_tokens=base.context_tokens,
            prompt_tokens=prompt_tokens,
            reply_tokens=reply_tokens,
        )


def _nats(logits_B_V: mx.array, tokens_B: mx.array) -> mx.array:
    chosen_B = mx.take_along_axis(logits_B_V, tokens_B[:, None], axis=-1)[:, 0]
    return (mx.logsumexp(logits_B_V, axis=-1) - chosen_B).astype(mx.float32)


def _at(values_V: mx.array, place: int) -> float:
    # What is computed already is read where it lies; taking one of it would be one more thing to compute and wait for.
    if values_V.dtype == mx.float32:
        return float(np.array(values_V, copy=False)[place])
    return float(values_V[place])


def _alone(choose: Choose, place: int, logits_B_V: mx.array) -> mx.array:
    return choose(logits_B_V, [place])


def _snapshot(layer: KVCache, length: int) -> KVCache:
    # A slice is read before the cache's own arrays are overwritten in place; contiguous, it does not hold them.
    assert layer.keys is not None and layer.values is not None, "a prompt has more than one token"
    held = KVCache()
    held.keys = mx.contiguous(layer.keys[..., :length, :])
    held.values = mx.contiguous(layer.values[..., :length, :])
    held.offset = length
    return held


def _groups(prompts: Sequence[Sequence[int]], max_tokens: int) -> Iterator[list[int]]:
    """Yield the places of prompts to answer together; those that begin alike follow each other."""
    group: list[int] = []
    held = 0
    for place in sorted(range(len(prompts)), key=lambda place: (list(prompts[place]), place)):
        needed = len(prompts[place]) + max_tokens
        if group and (len(group) == ROWS or held + needed > HELD_TOKENS):
            yield group
            group, held = [], 0
        group.append(place)
        held += needed
    if group:
        yield group
