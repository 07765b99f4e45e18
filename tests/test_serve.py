"""The server answers OpenAI's own client: whole and streamed, one at a time, and every fault as that API's error."""

import json
import logging
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from typing import Any

import httpx
import openai
import pytest

from tests.serving import BEHIND, USER, WAIT_S, Gate, Scripted, Served, behind, readme_snippet, run_snippet, serving
from tests.structure import ROOT
from twin.errors import DataError, ModelError, RoomError
from twin.serve import answering, desk, door, server
from twin.serve.door import BODY_BYTES
from twin.serve.wording import ours

TOKEN = "a token of enough letters"


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_BASE_URL", "OPENAI_CUSTOM_HEADERS"):
        monkeypatch.delenv(name, raising=False)


def ask(client: openai.OpenAI, **more: Any) -> Any:
    return client.chat.completions.create(**({"model": "twin", "messages": USER} | more))


def test_a_whole_reply_says_text_usage_and_what_lies_behind_it() -> None:
    with serving(Scripted) as served, served.client() as client:
        reply = ask(client)
    choice = reply.choices[0]
    assert (choice.message.role, choice.message.content, choice.finish_reason) == ("assistant", "ship it now", "stop")
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.usage.total_tokens) == (12, 3, 15)
    assert reply.usage.prompt_tokens_details.cached_tokens == 5
    assert reply.model == "twin" and reply.id.startswith("chatcmpl-") and reply._request_id == reply.id
    assert reply.model_extra["twin"] == {
        "run_id": "5ec0", "adapter": "adapter", "tag": "[trajectory: cold-start]", "facts": ["auth uses jwt"],
        "graph": "ok", "confidence": 0.75, "action": "draft", "reason": "a stop is never sent by itself",
        "first_token_s": 0.01, "tokens_per_s": 100.0,
    }  # fmt: skip


def test_a_stream_says_the_role_first_the_reason_last_and_usage_only_when_asked() -> None:
    with serving(Scripted) as served, served.client() as client:
        plain = list(ask(client, stream=True))
        counted = list(ask(client, stream=True, stream_options={"include_usage": True}))
    assert plain[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in plain) == "ship it now"
    assert [chunk.choices[0].finish_reason for chunk in plain] == [None] * (len(plain) - 1) + ["stop"]
    assert plain[-1].model_extra["twin"] == ours(BEHIND)
    assert all(chunk.usage is None for chunk in plain)
    assert len({chunk.id for chunk in plain}) == 1
    assert counted[-1].choices == [] and counted[-1].usage.total_tokens == 15
    assert counted[-1].usage.prompt_tokens_details.cached_tokens == 5
    assert all(chunk.usage is None for chunk in counted[:-1])


def test_a_stream_ends_with_done_and_comes_piece_by_piece() -> None:
    gate = Gate()
    with serving(lambda: Scripted(["ship", gate, " it", BEHIND])) as served, served.http() as http:
        body = {"model": "twin", "messages": USER, "stream": True}
        with http.stream("POST", "/v1/chat/completions", json=body) as response:
            lines = response.iter_lines()
            said = next(line for line in lines if '"ship"' in line)
            gate.opened.set()  # the first piece was here before the second was made
            rest = [line for line in lines if line]
    assert said.startswith("data: {") and response.headers["content-type"].startswith("text/event-stream")
    assert rest[-1] == "data: [DONE]"


def test_the_last_piece_does_not_wait_for_what_lies_behind_the_reply(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk, "PACE_S", 10 * WAIT_S)
    more, judged = Gate(), Gate()
    with serving(lambda: Scripted(["ship", more, " it", "", judged, BEHIND])) as served, served.http() as http:
        body = {"model": "twin", "messages": USER, "stream": True}
        with http.stream("POST", "/v1/chat/completions", json=body) as response:
            lines = response.iter_lines()
            assert any('"ship"' in line for line in lines)
            more.opened.set()
            assert any('" it"' in line for line in lines)
            judged.opened.set()
            assert [line for line in lines if line][-1] == "data: [DONE]"


def test_options_reach_the_answerer_as_they_were_sent() -> None:
    answerer = Scripted(names=("work", "home"))
    with serving(lambda: answerer) as served, served.client() as client:
        ask(
            client, model="home", temperature=0.5, top_p=0.9, seed=-1, max_tokens=7, stop="END", n=1, user="u",
            presence_penalty=0, tools=openai.NOT_GIVEN, extra_body={"twin": {"facts": False, "conversation": "c1"}},
        )  # fmt: skip
        ask(client, max_completion_tokens=9, stop=["a", "b"])
        ask(
            client,
            messages=[{"role": "user", "content": [{"type": "text", "text": "par"}, {"type": "text", "text": "ts"}]}],
        )
    messages, options = answerer.asked[0]
    assert list(messages) == USER
    assert (options.temperature, options.top_p, options.seed, options.max_tokens) == (0.5, 0.9, 2**64 - 1, 7)
    assert (options.stop, options.adapter, options.facts, options.conversation) == (("END",), "home", False, "c1")
    _, routed = answerer.asked[1]
    assert (routed.adapter, routed.max_tokens, routed.stop, routed.temperature) == (None, 9, ("a", "b"), 0.0)
    assert answerer.asked[2][0][0]["content"] == "parts"
    assert answerer.asked[2][1].max_tokens == 16
    assert len(answerer.threads) == 1


def test_models_are_the_route_and_the_adapters() -> None:
    with serving(lambda: Scripted(names=("work", "home"))) as served, served.client() as client:
        assert [model.id for model in client.models.list()] == ["twin", "work", "home"]
        assert client.models.retrieve("home").owned_by == "cognitive-twin"
        with pytest.raises(openai.NotFoundError, match="'dog' is not here"):
            client.models.retrieve("dog")
        with pytest.raises(openai.NotFoundError, match="there are twin, work, home") as caught:
            ask(client, model="gpt-4")
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (RoomError("x", context_tokens=512, prompt_tokens=510, reply_tokens=16), 400, "context_length_exceeded"),
        (DataError("a reply answers a partner's turn"), 400, None),
        (ModelError("/secret/path is another file"), 500, "internal_error"),
        (ZeroDivisionError("a secret"), 500, "internal_error"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_fault_before_the_first_piece_has_a_status_and_shows_nothing_inside(
    caplog: pytest.LogCaptureFixture, fault: Exception, status: int, code: str | None, stream: bool
) -> None:
    kind = openai.BadRequestError if status == 400 else openai.InternalServerError
    with serving(lambda: Scripted([fault])) as served, served.client() as client:
        with caplog.at_level(logging.ERROR), pytest.raises(kind, match=".") as caught:
            ask(client, stream=stream)
        assert served.desk.taken == 0
    assert (caught.value.status_code, caught.value.code) == (status, code)
    if status == 500:
        assert "secret" not in str(caught.value) and "Traceback" not in str(caught.value.body)
        (record,) = caplog.records
        assert record.exc_info and record.exc_info[1] is fault
        assert record.getMessage().split()[0] in str(caught.value)
    elif isinstance(fault, RoomError):
        assert "maximum context length is 512 tokens; the messages take 510" in str(caught.value)


def test_a_fault_in_the_middle_of_a_stream_is_raised_by_the_client(caplog: pytest.LogCaptureFixture) -> None:
    said = []
    with serving(lambda: Scripted(["ship", ValueError("a secret")])) as served, served.client() as client:
        with pytest.raises(openai.APIError, match="server's log says why under chatcmpl-") as caught:
            said += list(ask(client, stream=True))
        with pytest.raises(openai.InternalServerError, match="server's log says why"):
            ask(client)
    assert "secret" not in str(caught.value.body)
    assert len(caplog.records) == 2


def test_an_answerer_that_ends_without_what_lies_behind_is_a_fault_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    log = pytest.raises(openai.InternalServerError, match="server's log says why")
    with serving(lambda: Scripted(["ship"])) as served, served.client() as client, log:
        ask(client)
    assert "ends with what lies behind" in str(caplog.records[0].exc_info[1])


@pytest.mark.parametrize("stream", [False, True])
def test_who_has_heard_the_end_finds_a_place(stream: bool) -> None:
    never = threading.Event()
    scripted = Scripted(["ok", BEHIND, lambda _: never.wait(0.1)])  # the answerer takes its time to leave
    with serving(lambda: scripted, waiting=0) as served, served.client() as client:
        for _ in range(2):
            said = ask(client, stream=stream)
            assert not stream or list(said)
            assert served.desk.taken == 0


def test_a_graph_that_is_down_is_told_beside_the_reply() -> None:
    down = behind(facts=(), graph="down: no answer within 2 s", confidence=None)
    with serving(lambda: Scripted(["ok", down])) as served, served.client() as client:
        reply = ask(client)
    assert reply.choices[0].message.content == "ok"
    assert (reply.twin["facts"], reply.twin["graph"], reply.twin["confidence"]) == ([], down.graph, None)


def in_background(work: Any) -> tuple[threading.Thread, list[Any]]:
    done: list[Any] = []

    def run() -> None:
        try:
            done.append(work())
        except openai.APIError as error:
            done.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, done


def until(true: Any) -> None:
    """Wait for what another thread is about to bring about."""
    tick = threading.Event()
    for _ in range(WAIT_S * 200):
        if true():
            return
        tick.wait(0.005)
    raise AssertionError("it never came about")


def test_one_is_answered_some_wait_and_more_are_told_when_to_come_back() -> None:
    gate = Gate()
    answerer = Scripted([gate, "ok", BEHIND])
    with serving(lambda: answerer, waiting=2) as served, served.client() as client:
        going = [in_background(lambda: ask(client)) for _ in range(3)]
        gate.await_reply()
        until(lambda: served.desk.taken == 3)
        with pytest.raises(openai.RateLimitError, match="3 requests are answered or wait") as caught:
            ask(client)
        assert (caught.value.code, caught.value.status_code) == ("queue_full", 429)
        assert 1 <= int(caught.value.response.headers["retry-after"]) <= 60
        assert len(answerer.asked) == 1
        gate.opened.set()
        for thread, done in going:
            thread.join(WAIT_S)
            assert done[0].choices[0].message.content == "ok"


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_goes_away_frees_the_place_and_stops_its_reply(stream: bool) -> None:
    gate = Gate()
    answerer = Scripted(["ship", gate, " it", BEHIND])
    body = {"model": "twin", "messages": USER, "stream": stream}
    with serving(lambda: answerer, waiting=0) as served, served.client() as client:
        with served.http() as leaving:
            if stream:
                with leaving.stream("POST", "/v1/chat/completions", json=body) as response:
                    next(response.iter_lines())
                    gate.await_reply()
            else:
                with pytest.raises(httpx.ReadTimeout, match="timed out"):
                    leaving.post("/v1/chat/completions", json=body, timeout=httpx.Timeout(WAIT_S, read=0.2))
        assert answerer.cancelled.wait(WAIT_S)
        until(lambda: served.desk.taken == 0)
        gate.opened.set()
        assert ask(client).choices[0].message.content == "ship it"


def raw(served: Served, sent: bytes) -> socket.socket:
    """Connect with little room for what is not read, and send."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    made.settimeout(WAIT_S)
    made.connect(("127.0.0.1", int(served.url.rpartition(":")[2])))
    made.sendall(sent)
    return made


def posted(body: bytes, length: int | None = None) -> bytes:
    head = "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
    head += f"Content-Length: {length or len(body)}\r\n"
    return head.encode() + b"Content-Type: application/json\r\n\r\n" + body


def heard(client: socket.socket) -> bytes:
    """Return what still comes, until the connection is closed or cut."""
    got = bytearray()
    with suppress(ConnectionResetError):
        while more := client.recv(1 << 20):
            got += more
    return bytes(got)


def test_a_client_that_does_not_read_is_let_go(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(answering, "UNREAD_S", 0.05)
    gate = Gate()
    scripted = Scripted(["x" * (24 << 20), gate, "the rest", BEHIND])
    body = json.dumps({"model": "twin", "messages": USER, "stream": True}).encode()
    with serving(lambda: scripted, waiting=0) as served:
        with raw(served, posted(body)) as client:
            assert client.recv(100)  # more is on its way than fits
            gate.opened.set()
            until(lambda: not served.server.server_state.connections)
            assert b"the rest" not in heard(client)
        with served.client() as other:
            assert ask(other).choices[0].message.content.endswith("the rest")
    assert not caplog.records


def test_a_body_that_does_not_come_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "BODY_S", 0.05)
    answerer = Scripted()
    with serving(lambda: answerer) as served, raw(served, posted(b'{"model"', 100)) as client:
        got = heard(client)
    head, _, said = got.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 ")
    error = json.loads(said)["error"]
    assert (error["code"], error["message"]) == ("timeout", "The body did not come within 0.05 s.")
    assert answerer.asked == []


def test_too_many_connections_are_told_so_and_the_next_finds_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "CONNECTIONS", 2)
    with serving(Scripted) as served, served.client() as client:
        idle = [raw(served, b"") for _ in range(2)]
        until(lambda: len(served.server.server_state.connections) == 2)
        with pytest.raises(openai.InternalServerError, match="Too many clients are connected") as caught:
            ask(client)
        assert (caught.value.status_code, caught.value.code) == (503, "too_many_connections")
        assert caught.value.response.headers["connection"] == "close"
        for one in idle:
            one.close()
        until(lambda: not served.server.server_state.connections)
        assert ask(client).choices[0].message.content == "ship it now"


def test_who_leaves_the_queue_is_never_answered() -> None:
    gate = Gate()
    answerer = Scripted([gate, "ok", BEHIND])
    with serving(lambda: answerer, waiting=1) as served, served.client() as client:
        first, done = in_background(lambda: ask(client))
        gate.await_reply()
        body = {"model": "twin", "messages": [{"role": "user", "content": "left"}]}
        with served.http() as leaving, pytest.raises(httpx.ReadTimeout, match="timed out"):
            leaving.post("/v1/chat/completions", json=body, timeout=httpx.Timeout(WAIT_S, read=0.2))
        until(lambda: served.desk.taken == 1)
        gate.opened.set()
        first.join(WAIT_S)
        assert done[0].choices[0].message.content == "ok"
        ask(client, messages=[{"role": "user", "content": "next"}])
    assert [messages[-1]["content"] for messages, _ in answerer.asked] == [USER[0]["content"], "next"]


def test_a_reader_that_does_not_read_holds_up_nobody() -> None:
    long = ["word " * 2000] * 200  # 2 MB: more than the sockets hold between them
    answerer = Scripted([*long, BEHIND])
    with serving(lambda: answerer, waiting=0) as served, served.client() as client, served.http() as slow:
        body = {"model": "twin", "messages": USER, "stream": True}
        with slow.stream("POST", "/v1/chat/completions", json=body) as unread:
            content = unread.iter_raw()
            next(content)
            until(lambda: served.desk.taken == 0)
            answerer.pieces = ["ok", BEHIND]
            assert ask(client).choices[0].message.content == "ok"
            assert b"".join(content).endswith(b"data: [DONE]\n\n")


def refused(served: Served, status: int, code: str | None, param: str | None = None, **sent: Any) -> str:
    with served.http() as http:
        response = http.post("/v1/chat/completions", **sent)
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert (error["code"], error["param"]) == (code, param)
    assert "Traceback" not in response.text
    return str(error["message"])


JSON = {"content-type": "application/json"}


def test_bodies_that_are_no_request_are_refused_clearly() -> None:
    with serving(Scripted) as served:
        assert "not JSON" in refused(served, 400, "invalid_json", content=b'{"model": ', headers=JSON)
        assert "not JSON" in refused(served, 400, "invalid_json", content=b"", headers=JSON)
        assert "not JSON" in refused(served, 400, "invalid_json", content=b"\xff\xfe", headers=JSON)
        assert "not JSON" in refused(served, 400, "invalid_json", content=b"[" * 9999, headers=JSON)
        assert "an object is expected" in refused(served, 400, "invalid_json", json=[1])
        assert "application/json" in refused(served, 415, "unsupported_media_type", content=b"{}")
        huge = {"model": "twin", "messages": [{"role": "user", "content": "x" * BODY_BYTES}]}
        assert "1,000,000 bytes" in refused(served, 413, "request_too_large", json=huge)
        with served.client() as client, pytest.raises(openai.APIStatusError, match="1,000,000 bytes") as caught:
            ask(client, messages=huge["messages"])
        assert caught.value.status_code == 413
        with served.http() as http:
            assert http.get("/v1/embeddings").json()["error"]["code"] == "not_found"
            wrong = http.get("/v1/chat/completions")
            assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")


def test_a_token_is_asked_of_everyone_and_never_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), serving(Scripted, token=TOKEN) as served:
        with served.client(TOKEN) as client:
            assert ask(client).choices[0].message.content == "ship it now"
        for key in ("another token of as many", TOKEN[:-1], f"{TOKEN}x"):
            with served.client(key) as client, pytest.raises(openai.AuthenticationError, match="or wrong") as caught:
                ask(client)
            assert caught.value.code == "invalid_api_key"
        with served.http() as http:
            assert http.get("/v1/models").status_code == 401
            assert http.get("/v1/models", headers={"Authorization": f"Basic {TOKEN}"}).status_code == 401
            assert http.get("/v1/models", headers={b"Authorization": b"Bearer \xff\xfe"}).status_code == 401
            assert http.get("/health").json() == {"status": "ok", "taken": 0}
            assert (
                http.get("/v1/models", headers={"Authorization": f"bearer {TOKEN}", "Host": "a.b"}).status_code == 200
            )
    assert TOKEN not in caplog.text


def test_without_a_token_only_this_machines_own_names_and_pages_are_answered() -> None:
    with serving(Scripted) as served, served.http() as http:
        port = served.url.rpartition(":")[2]
        for host in (f"localhost:{port}", "127.0.0.1", f"[::1]:{port}"):
            assert http.get("/v1/models", headers={"Host": host}).status_code == 200
        for host in (f"evil.example:{port}", "127.0.0.1.evil.example", ""):
            assert http.get("/health", headers={"Host": host}).json()["error"]["code"] == "wrong_host"
        own, other = {"Origin": served.url}, {"Origin": "http://evil.example"}
        assert http.get("/v1/models", headers=own).status_code == 200
        assert http.get("/v1/models", headers=other).json()["error"]["code"] == "wrong_origin"
        assert http.get("/v1/models", headers={"Origin": "null"}).status_code == 403


def test_told_to_stop_it_finishes_the_reply_and_sends_the_others_away() -> None:
    gate = Gate()
    with serving(lambda: Scripted(["ship", gate, " it", BEHIND]), waiting=1) as served, served.client() as client:
        going, done = in_background(lambda: ask(client))
        gate.await_reply()
        waiting, sent_away = in_background(lambda: ask(client))
        until(lambda: served.desk.taken == 2)
        served.server.tell_to_stop()
        waiting.join(WAIT_S)
        assert (sent_away[0].status_code, sent_away[0].code) == (503, "stopping")
        with pytest.raises(openai.InternalServerError, match="The server is stopping") as caught:
            ask(client)
        assert caught.value.status_code == 503 and "retry-after" in caught.value.response.headers
        with served.http() as http:
            assert http.get("/health").json()["status"] == "stopping"
        gate.opened.set()
        going.join(WAIT_S)
        assert done[0].choices[0].message.content == "ship it"
        assert served.ended()


@pytest.mark.parametrize("stream", [False, True])
def test_a_reply_that_takes_too_long_does_not_keep_the_server(stream: bool) -> None:
    gate = Gate()
    with serving(lambda: Scripted(["ship", gate, " it", BEHIND]), drain_s=0) as served, served.client() as client:
        going, done = in_background(lambda: list(ask(client, stream=True)) if stream else ask(client))
        gate.await_reply()
        served.server.tell_to_stop()
        assert served.ended()
        going.join(WAIT_S)
        assert isinstance(done[0], openai.APIError) and "The server is stopping" in str(done[0])


def test_a_twin_that_cannot_be_loaded_leaves_no_thread_behind() -> None:
    def load() -> Any:
        raise ModelError("models/adapter holds no adapter")

    with pytest.raises(ModelError, match="holds no adapter"), serving(load):
        pass
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("twin-reply")]


def test_what_is_said_is_json_whatever_it_holds() -> None:
    odd = 'a "quote"\n\ndata: [DONE]\n\u2028 猫 \x00'
    with serving(lambda: Scripted([odd, BEHIND])) as served, served.client() as client:
        assert ask(client).choices[0].message.content == odd
        streamed = "".join(chunk.choices[0].delta.content or "" for chunk in ask(client, stream=True))
    assert streamed == odd
    assert json.loads(json.dumps(odd)) == odd


PROGRAM = """
import sys
from tests.serving import BEHIND, LIMITS, Gate, Scripted
from twin.serve.desk import Desk
from twin.serve.opening import address, listening
from twin.serve.server import Server, create_app

desk, socket = Desk(lambda: Scripted(["ship", Gate(), BEHIND]), 1), listening("127.0.0.1", 0)
print(address(socket), flush=True)
Server(desk, create_app(desk, LIMITS), socket, float(sys.argv[1])).serve_until_told()
print("let go", flush=True)
"""


@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_with_status_0_and_no_traceback(told: signal.Signals) -> None:
    command = [sys.executable, "-c", PROGRAM, "0"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        body = {"model": "twin", "messages": USER, "stream": True}
        with httpx.stream("POST", f"{url}/chat/completions", json=body, trust_env=False, timeout=WAIT_S) as response:
            lines = response.iter_lines()
            next(lines)
            process.send_signal(told)
            assert any('"code":"stopping"' in line for line in lines)
        out, err = process.communicate(timeout=WAIT_S)
    finally:
        process.kill()
        process.communicate()
    assert (process.returncode, out, err) == (0, "let go\n", "")


def test_the_snippet_of_the_readme_runs(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    snippet, output = readme_snippet()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving(Scripted) as served:
        run_snippet(snippet, f"{served.url}/v1")
    said = capsys.readouterr().out.splitlines()
    assert said == ["ship it now", "auth uses jwt", "draft because a stop is never sent by itself"]
    assert len(output.splitlines()) == len(said)
