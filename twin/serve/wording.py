"""Replies as OpenAI's API writes them: pieces and what lies behind them → a completion, or its chunks as events."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import orjson

from twin.live import Behind
from twin.serve.desk import End, Job
from twin.serve.refusals import RefusedError
from twin.serve.request import Asked

DONE = b"data: [DONE]\n\n"
Json = dict[str, Any]


def completion(asked: Asked, job: Job, text: str, behind: Behind) -> Json:
    """Return a whole reply."""
    message = {"role": "assistant", "content": text, "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": behind.finish, "logprobs": None}
    return {**_head(asked, job, "chat.completion"), "choices": [choice], "usage": usage(behind), "twin": ours(behind)}


def usage(behind: Behind) -> Json:
    """Return what a reply took, in tokens."""
    return {
        "prompt_tokens": behind.prompt_tokens,
        "completion_tokens": behind.reply_tokens,
        "total_tokens": behind.prompt_tokens + behind.reply_tokens,
        "prompt_tokens_details": {"cached_tokens": behind.cached_tokens},
    }


def ours(behind: Behind) -> Json:
    """Return what OpenAI's API has no word for."""
    counted = ("finish", "prompt_tokens", "cached_tokens", "reply_tokens")
    told = {name: value for name, value in asdict(behind).items() if name not in counted}
    return told | {"action": behind.action.value, "facts": list(behind.facts)}


class Events:
    """The chunks of one reply, in order."""

    def __init__(self, asked: Asked, job: Job) -> None:
        self._asked = asked
        self._head = _head(asked, job, "chat.completion.chunk") | ({"usage": None} if asked.usage else {})

    def first(self) -> bytes:
        """Say who speaks."""
        return self._chunk({"role": "assistant", "content": "", "refusal": None})

    def texts(self, pieces: Sequence[str]) -> Iterator[bytes]:
        """Say pieces of the reply."""
        return (self._chunk({"content": piece}) for piece in pieces if piece)

    def end(self, end: End) -> Iterator[bytes]:
        """Say how it ended and what lies behind it, or that no more comes, which clients raise."""
        if isinstance(end, RefusedError):
            yield _event(end.body)
            return
        yield self._chunk({}, finish=end.finish, twin=ours(end))
        if self._asked.usage:
            yield _event(self._head | {"choices": [], "usage": usage(end)})
        yield DONE

    def _chunk(self, delta: Json, finish: str | None = None, **more: Json) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        return _event(self._head | {"choices": [choice]} | more)


def _head(asked: Asked, job: Job, kind: str) -> Json:
    return {"id": job.name, "object": kind, "created": job.created, "model": asked.model}


def _event(value: Json) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\n\n"
