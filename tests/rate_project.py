"""A project whose replies say whose they are, and a page served from it: what a rater's program can tell them by."""

import http.client
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.conftest import make_rows
from tests.listening import listening
from tests.test_promote import good, lay_out
from twin.files import write_bytes, write_json, write_jsonl
from twin.protocol import protocol
from twin.rate.opening import sitting
from twin.rate.server import Server
from twin.rate.sitting import Sitting
from twin.ratings import Mode

Row = dict[str, Any]
WHOSE = {"B0": "assistant", "B1": "prompted", "X": "twin"}
TAUGHT = {"R": "person", "base": "prompted", "twin": "twin"}
REPLIES = "data/prefer/replies.jsonl"
MARKUP = "<img src=x onerror=alert(1)><script>document.title='broken'</script> & so on"


def make_project(folder: Path, test_prompts: int = 60, reply: str = "says so") -> Path:
    """Lay out what `twin rate` and `promote` read; every reply begins with whose it is."""
    lay_out(folder, good())
    (folder / ".dvc").mkdir()
    for part in ("valid", "test"):
        write_jsonl(folder / f"data/split/{part}.jsonl", [])
    asked = [("protocol", prompt.id, prompt.text) for prompt in protocol()]
    asked += [("test", f"t{number:03}", f"Question {number}?") for number in range(test_prompts)]
    asked += [("valid", f"v{number:03}", f"Question {number} of valid?") for number in range(20)]
    rows = []
    for prompt_set, prompt_id, prompt in asked:
        common = {"prompt_set": prompt_set, "prompt_id": prompt_id, "prompt": prompt, "messages_sha256": "0" * 64}
        real = {} if prompt_set == "protocol" else {"reply": f"person {reply} to {prompt_id}"}
        rows += [common | real | {"arm": arm, "text": f"{who} {reply} to {prompt_id}"} for arm, who in WHOSE.items()]
    write_jsonl(folder / "data/generate/generations.jsonl", rows)
    return folder


def make_taught(folder: Path, prompts: Mapping[str, int]) -> None:
    """Add what base and twin said to so many prompts of each part, as `prefer` writes it."""
    said: list[Row] = []
    for seed, (part, count) in enumerate(prompts.items()):
        rows = make_rows(count, seed)
        for row in rows:
            row["messages"][-1]["content"] = f"person says so to {row['id']}"
            common = {"split": part, "prompt_id": row["id"], "tokens": 9, "stopped": True}
            said += [common | {"arm": arm, "text": f"{who} says so to {row['id']}"} for arm, who in TAUGHT.items()]
        write_jsonl(folder / f"data/split/{part}.jsonl", rows)
    write_jsonl(folder / REPLIES, said)
    write_json(folder / "models/sft/recipe.json", {"run": {"inputs": {"train": {"cmd": "train"}}}})
    write_bytes(folder / "models/sft/adapters.safetensors", b"weights")


@contextmanager
def serving(root: Path, mode: Mode = Mode.pairs, rater: str = "ann") -> Iterator[Server]:
    """Serve the rater's session until the block ends."""
    with sitting(root, mode, rater) as opened:
        server = Server(opened)
        with listening(server):
            yield server


def request(
    server: Server, method: str, name: str, body: object = None, headers: Mapping[str, str] | None = None
) -> tuple[int, Any, Any]:
    """Send what the page would, headers replaced by the given ones; return status, headers and body."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    own = f"127.0.0.1:{server.server_port}"
    usual = {"Host": own, "Origin": f"http://{own}", "Content-Type": "application/json"}
    data = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
    path = name if name.startswith("/") else f"/{server.token}/{name}"
    try:
        connection.putrequest(method, path, skip_host=True)
        for key, value in {**usual, **(headers or {})}.items():
            if value:
                connection.putheader(key, value)
        if data is not None:
            connection.putheader("Content-Length", str(len(data)))
        connection.endheaders(data)
        answer = connection.getresponse()
        text = answer.read().decode()
    finally:
        connection.close()
    json_like = answer.headers.get_content_type() == "application/json"
    return answer.status, answer.headers, json.loads(text) if json_like else text


def state(server: Server) -> Row:
    """Return what the page is told."""
    found: Row = request(server, "GET", "state")[2]
    return found


def choice(seen: Row, prefers: Callable[[Row], str]) -> str | int:
    """Return an attentive rater's answer: the person's own reply beside a garbled one, else whose is preferred."""
    replies = seen["shown"]["replies"]
    if seen["mode"] == "protocol":
        return 2 if replies["shown"].startswith("twin") else 0
    whose = {text.split()[0]: side for side, text in replies.items()}
    if whose.keys() & set(WHOSE.values()) == {"twin"} or "prompted" in whose:
        return whose.get(prefers(seen), "cant_tell")
    return whose["person"]


def answer(server: Server, prefers: Callable[[Row], str]) -> Row:
    """Answer the present item and return what the page is told."""
    seen = state(server)
    body = {"step": seen["step"], "item": seen["item"], "answer": choice(seen, prefers), "seconds": 4.2}
    status, _, found = request(server, "POST", "answer", body)
    assert status == 200, found
    after: Row = found
    return after


def rate_all(server: Server, prefers: Callable[[Row], str]) -> Row:
    """Answer until nothing is asked, end the session and return what the page is told."""
    seen = state(server)
    while not seen["done"]:
        seen = answer(server, prefers)
    ended: Row = request(server, "POST", "end", {"step": seen["step"]})[2]
    return ended


def in_turn() -> Callable[[Row], str]:
    """Return a rater who prefers the twin and the other in turn, the same for a prompt that comes again.

    In whatever order the prompts come, neither runs away: nothing is ever decided. Who teaches prefers the person.
    """
    twins: dict[str, bool] = {}

    def prefers(seen: Row) -> str:
        twin = twins.setdefault(seen["shown"]["prompt"], len(twins) % 2 == 0)
        other = "prompted" if seen["mode"] == "pairs" else "person"
        return "twin" if twin and seen["mode"] != "prefer" else other

    return prefers


def opened_journal(sitting_: Sitting) -> Path:
    """Return the folder of an unfinished session."""
    return sitting_.journal.root / ".work/ratings" / sitting_.journal.name
