"""What a client may ask: the body of a request → messages and options, or a refusal that names the parameter.

A parameter that would change the reply and cannot is refused; one that clients send with a value that changes
nothing is let through.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from twin.live import Options
from twin.live.routes import ROUTED
from twin.prompt import Message
from twin.serve.refusals import RefusedError, wrong

READ: Final = frozenset(
    {
        "model", "messages", "stream", "stream_options", "temperature", "top_p", "seed", "max_tokens",
        "max_completion_tokens", "stop", "twin",
    }
)  # fmt: skip
IGNORED: Final = frozenset({"metadata", "prompt_cache_key", "prompt_cache_retention", "safety_identifier", "user"})
"""Said of the request, not of the reply."""
NEUTRAL: Final[Mapping[str, tuple[Any, ...]]] = {
    "frequency_penalty": (0,),
    "function_call": ("none", "auto"),
    "functions": ([],),
    "logit_bias": ({},),
    "logprobs": (False,),
    "modalities": (["text"],),
    "n": (1,),
    "parallel_tool_calls": (True, False),
    "presence_penalty": (0,),
    "response_format": ({"type": "text"},),
    "service_tier": ("auto", "default"),
    "store": (False,),
    "tool_choice": ("none", "auto"),
    "tools": ([],),
    "top_logprobs": (0,),
}
"""Parameters that are not supported, with the values that ask for nothing; null always does."""
MOST_STOPS: Final = 4


@dataclass(frozen=True)
class Limits:
    """How long replies may be, in tokens."""

    usual: int
    """Where the client says nothing."""
    most: int


@dataclass(frozen=True)
class Asked:
    """A request that can be answered."""

    model: str
    messages: tuple[Message, ...]
    options: Options
    stream: bool
    usage: bool
    """Whether a stream ends with its usage."""


def asked(content: bytes, names: Sequence[str], limits: Limits) -> Asked:
    """Read a request.

    Args:
        content: the body.
        names: of the models that there are.
        limits: of the reply.

    Raises:
        RefusedError: what is wrong with it, first things first.
    """
    body = _object(content)
    for name, value in body.items():
        _require_supported(name, value)
    model = _model(body.get("model"), names)
    stream = _flag(body, "stream")
    return Asked(model, _messages(body.get("messages")), _options(body, model, limits), stream, _usage(body, stream))


def _object(content: bytes) -> dict[str, Any]:
    try:
        body = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise wrong(None, f"The body is not JSON: {error}.", "invalid_json") from None
    if not isinstance(body, dict):
        raise wrong(None, f"The body is {_kind(body)}; an object is expected.", "invalid_json")
    return body


def _require_supported(name: str, value: object) -> None:
    if name in READ or name in IGNORED or value is None:
        return
    if name not in NEUTRAL:
        raise wrong(name, f"{name[:80]} is no parameter of this server. Leave it out.", "unknown_parameter")
    if value not in NEUTRAL[name]:
        raise wrong(name, f"{name} is not supported by this server. Leave it out.", "unsupported_parameter")


def _model(name: object, names: Sequence[str]) -> str:
    if not isinstance(name, str):
        raise wrong("model", f"model is {_kind(name)}; the name of a model is expected, such as {ROUTED!r}.")
    if name not in names:
        raise RefusedError(
            404,
            f"The model {name[:80]!r} is not here; there are {', '.join(names)}.",
            param="model",
            code="model_not_found",
        )
    return name


def _messages(value: object) -> tuple[Message, ...]:
    if not isinstance(value, list):
        raise wrong("messages", f"messages is {_kind(value)}; an array of messages is expected.")
    if not value:
        raise wrong("messages", "messages is empty. End it with what the user said.")
    read = tuple(_message(f"messages.[{place}]", one) for place, one in enumerate(value))
    if read[-1]["role"] != "user":
        raise wrong(
            f"messages.[{len(read) - 1}].role",
            f"The last message is the {read[-1]['role']}'s; a reply answers the user's. End with a user's message.",
        )
    return read


def _message(place: str, value: object) -> Message:
    if not isinstance(value, dict):
        raise wrong(place, f"{place} is {_kind(value)}; an object with role and content is expected.")
    role = value.get("role")
    if role in ("system", "developer"):
        raise wrong(
            f"{place}.role",
            f"{place} is a {role} message. The twin's recipe writes that line, as in training. Leave it out.",
            "unsupported_value",
        )
    if role not in ("user", "assistant"):
        raise wrong(f"{place}.role", f"{place}.role is {_shown(role)}; user or assistant is expected.", "invalid_value")
    if any(value.get(name) for name in ("tool_calls", "function_call", "audio")):
        raise wrong(place, f"{place} calls a tool or speaks; only text is supported.", "unsupported_value")
    text = _text(f"{place}.content", value.get("content"))
    if not text.strip():
        raise wrong(f"{place}.content", f"{place}.content is empty. Leave the message out, or say something.")
    return {"role": role, "content": text}


def _text(place: str, value: object) -> str:
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise wrong(place, f"{place} is {_kind(value)}; text is expected.")
    for number, part in enumerate(value):
        if not isinstance(part, dict) or part.get("type") != "text" or not isinstance(part.get("text"), str):
            raise wrong(f"{place}.[{number}]", f"{place}.[{number}] is not a part of text; only text is supported.")
    return "".join(part["text"] for part in value)


def _options(body: Mapping[str, Any], model: str, limits: Limits) -> Options:
    ours = body.get("twin") or {}
    if not isinstance(ours, dict):
        raise wrong("twin", f"twin is {_kind(ours)}; an object is expected.")
    for name in ours:
        if name not in ("facts", "conversation"):
            raise wrong(f"twin.{name}", f"twin.{name[:80]} is unknown; there are facts and conversation.")
    conversation = ours.get("conversation")
    if conversation is not None and not isinstance(conversation, str):
        raise wrong("twin.conversation", f"twin.conversation is {_kind(conversation)}; a name is expected.")
    top_p = _number(body, "top_p", 0, 1, 1.0)
    if top_p == 0:
        raise wrong("top_p", "top_p is 0; it must be above 0 and at most 1.")
    return Options(
        max_tokens=_max_tokens(body, limits),
        temperature=_number(body, "temperature", 0, 2, 0.0),
        top_p=top_p,
        seed=_seed(body.get("seed")),
        stop=_stop(body.get("stop")),
        adapter=None if model == ROUTED else model,
        facts=_flag(ours, "facts", usual=True, within="twin."),
        conversation=conversation,
    )


def _max_tokens(body: Mapping[str, Any], limits: Limits) -> int:
    given = {name: body[name] for name in ("max_completion_tokens", "max_tokens") if body.get(name) is not None}
    for name, value in given.items():
        if type(value) is not int or not 1 <= value <= limits.most:
            raise wrong(name, f"{name} is {_shown(value)}; 1 to {limits.most} is expected.", "invalid_value")
    if len(set(given.values())) > 1:
        raise wrong("max_tokens", "max_tokens and max_completion_tokens differ. Give one of them.")
    return next(iter(given.values()), limits.usual)


def _number(body: Mapping[str, Any], name: str, least: float, most: float, usual: float) -> float:
    value = body.get(name)
    if value is None:
        return usual
    if type(value) not in (int, float) or not least <= value <= most:
        raise wrong(name, f"{name} is {_shown(value)}; {least} to {most} is expected.", "invalid_value")
    return float(value)


def _seed(value: object) -> int:
    if value is None:
        return secrets.randbits(32)
    if type(value) is not int:
        raise wrong("seed", f"seed is {_shown(value)}; a whole number is expected.")
    return value % 2**64


def _stop(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list) or not all(isinstance(one, str) and one for one in found):
        raise wrong("stop", f"stop is {_shown(value)}; a text or an array of texts is expected.")
    if len(found) > MOST_STOPS:
        raise wrong("stop", f"stop has {len(found)} texts; {MOST_STOPS} are the most.")
    return tuple(found)


def _usage(body: Mapping[str, Any], stream: bool) -> bool:
    options = body.get("stream_options")
    if options is None:
        return False
    if not isinstance(options, dict) or not stream:
        raise wrong("stream_options", "stream_options is an object, and goes with stream: true only.")
    for name, value in options.items():
        if name not in ("include_usage", "include_obfuscation") or (name == "include_obfuscation" and value):
            raise wrong(f"stream_options.{name}", f"stream_options.{name[:80]} is not supported. Leave it out.")
    return _flag(options, "include_usage", within="stream_options.")


def _flag(body: Mapping[str, Any], name: str, *, usual: bool = False, within: str = "") -> bool:
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise wrong(within + name, f"{within}{name} is {_shown(value)}; true or false is expected.")
    return usual if value is None else value


def _kind(value: object) -> str:
    names = {dict: "an object", list: "an array", str: "a text", bool: "true or false", type(None): "missing"}
    return names.get(type(value), "a number")


def _shown(value: object) -> str:
    text = orjson.dumps(value).decode("utf-8")
    return text if len(text) <= 80 else f"{text[:79]}…"
