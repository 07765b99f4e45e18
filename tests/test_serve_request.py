"""Every parameter does what it says, changes nothing by its value, or is refused by name."""

import socket
from typing import Any

import orjson
import pytest

from tests.serving import LIMITS, USER
from twin.errors import ConfigError, StorageError
from twin.serve.door import LEAST_TOKEN, loopback, require_token
from twin.serve.opening import address, listening
from twin.serve.refusals import RefusedError
from twin.serve.request import IGNORED, NEUTRAL, Asked, asked

NAMES = ("twin", "work")


def read(**more: Any) -> Asked:
    return asked(orjson.dumps({"model": "twin", "messages": USER} | more), NAMES, LIMITS)


def said(role: str, content: Any = "x", **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


WRONG: list[tuple[dict[str, Any], str | None, str]] = [
    ({"model": None}, "model", "model is missing"),
    ({"model": 3}, "model", "model is a number"),
    ({"messages": None}, "messages", "messages is missing"),
    ({"messages": {}}, "messages", "messages is an object"),
    ({"messages": []}, "messages", "messages is empty"),
    ({"messages": ["hi"]}, "messages.[0]", "is a text; an object"),
    ({"messages": [said("user"), said("assistant")]}, "messages.[1].role", "the assistant's; a reply answers the user"),
    ({"messages": [said("system"), said("user")]}, "messages.[0].role", "recipe writes that line"),
    ({"messages": [said("developer"), said("user")]}, "messages.[0].role", "recipe writes that line"),
    ({"messages": [said("tool"), said("user")]}, "messages.[0].role", 'role is "tool"; user or assistant'),
    ({"messages": [said(7)]}, "messages.[0].role", "role is 7"),  # type: ignore[arg-type]
    ({"messages": [{"content": "x"}]}, "messages.[0].role", "role is null"),
    ({"messages": [said("user", None)]}, "messages.[0].content", "is missing; text is expected"),
    ({"messages": [said("user", 5)]}, "messages.[0].content", "is a number; text is expected"),
    ({"messages": [said("user", " \n ")]}, "messages.[0].content", "is empty"),
    ({"messages": [said("user", [])]}, "messages.[0].content", "is empty"),
    ({"messages": [said("user", [{"type": "image_url"}])]}, "messages.[0].content.[0]", "only text"),
    ({"messages": [said("user", ["x"])]}, "messages.[0].content.[0]", "only text"),
    ({"messages": [said("assistant", tool_calls=[{}]), said("user")]}, "messages.[0]", "calls a tool"),
    ({"temperature": 2.1}, "temperature", "temperature is 2.1; 0 to 2"),
    ({"temperature": -0.1}, "temperature", "temperature is -0.1"),
    ({"temperature": "hot"}, "temperature", 'temperature is "hot"'),
    ({"temperature": True}, "temperature", "temperature is true"),
    ({"top_p": 0}, "top_p", "above 0"),
    ({"top_p": 1.5}, "top_p", "top_p is 1.5"),
    ({"seed": 1.5}, "seed", "seed is 1.5"),
    ({"seed": 1e30}, "seed", "seed is 1e+30"),
    ({"max_tokens": 0}, "max_tokens", "max_tokens is 0; 1 to 64"),
    ({"max_tokens": 65}, "max_tokens", "max_tokens is 65"),
    ({"max_completion_tokens": "9"}, "max_completion_tokens", '"9"; 1 to 64'),
    ({"max_completion_tokens": 8, "max_tokens": 9}, "max_tokens", "differ"),
    ({"stop": 3}, "stop", "stop is 3"),
    ({"stop": [""]}, "stop", "array of texts"),
    ({"stop": ["a"] * 5}, "stop", "5 texts; 4 are the most"),
    ({"stream": "yes"}, "stream", 'stream is "yes"'),
    ({"stream_options": {"include_usage": True}}, "stream_options", "goes with stream"),
    ({"stream": True, "stream_options": {"other": 1}}, "stream_options.other", "not supported"),
    ({"stream": True, "stream_options": {"include_usage": 1}}, "stream_options.include_usage", "true or false"),
    ({"twin": 3}, "twin", "twin is a number"),
    ({"twin": {"fact": False}}, "twin.fact", "twin.fact is unknown"),
    ({"twin": {"facts": 0}}, "twin.facts", "twin.facts is 0"),
    ({"twin": {"conversation": 1}}, "twin.conversation", "a name is expected"),
    ({"n": 2}, "n", "n is not supported"),
    ({"tools": [{"type": "function"}]}, "tools", "tools is not supported"),
    ({"logprobs": True}, "logprobs", "logprobs is not supported"),
    ({"response_format": {"type": "json_object"}}, "response_format", "response_format is not supported"),
    ({"presence_penalty": 0.5}, "presence_penalty", "presence_penalty is not supported"),
    ({"logit_bias": {"5": 100}}, "logit_bias", "logit_bias is not supported"),
    ({"top_k": 5}, "top_k", "top_k is no parameter"),
]


@pytest.mark.parametrize(("more", "param", "match"), WRONG, ids=[str(more)[:60] for more, _, _ in WRONG])
def test_what_is_wrong_is_named(more: dict[str, Any], param: str | None, match: str) -> None:
    with pytest.raises(RefusedError, match=".") as caught:
        read(**more)
    assert (caught.value.status, caught.value.error["param"]) == (400, param)
    assert match in str(caught.value)


def test_what_changes_nothing_is_let_through() -> None:
    plain = read(seed=0)
    for name, values in NEUTRAL.items():
        for value in (None, *values):
            assert read(seed=0, **{name: value}) == plain
    for name in IGNORED:
        assert read(seed=0, **{name: "anything"}) == plain
    assert read(seed=0, stop=None, stream=None, temperature=None, twin=None, max_tokens=None) == plain
    assert read(seed=0, messages=[said("user", "The build is green.", name="Ann")]) == plain


def test_without_a_seed_chance_differs() -> None:
    assert len({read().options.seed for _ in range(5)}) > 1


def test_a_long_value_is_not_told_whole() -> None:
    with pytest.raises(RefusedError, match="…") as caught:
        read(stop={"x" * 10_000: 1})
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "twin.example", "127.0.0.1.nip.io", ""])
def test_a_server_that_others_reach_needs_a_token(host: str) -> None:
    assert not loopback(host)
    with pytest.raises(ConfigError, match=r"can be reached by others, and TWIN_SERVE_TOKEN is not set"):
        require_token(host, None)
    require_token(host, "x" * LEAST_TOKEN)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_the_loopback_needs_none(host: str) -> None:
    require_token(host, None)


@pytest.mark.parametrize("token", ["", "short", " " * 20, "x" * 20 + "\n", "ü" * 20])
def test_a_poor_token_is_refused_anywhere(token: str) -> None:
    with pytest.raises(ConfigError, match="less than 16 characters") as caught:
        require_token("127.0.0.1", token)
    assert not token.strip() or token not in str(caught.value)


def test_a_port_that_is_taken_says_what_to_do() -> None:
    with listening("127.0.0.1", 0) as bound:
        assert bound.proto == socket.IPPROTO_TCP  # else no TCP_NODELAY, and 40 ms before the first piece
        port = bound.getsockname()[1]
        assert address(bound) == f"http://127.0.0.1:{port}/v1"
        with pytest.raises(StorageError, match=f"port {port} of 127.0.0.1 cannot be had .* --port 0"):
            listening("127.0.0.1", port)
