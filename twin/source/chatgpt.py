"""OpenAI's account export (ChatGPT, Settings, Data controls) → rows: of each conversation the branch that was kept.

The format is not documented by OpenAI; public descriptions of it agree on what is read here, and no live export was
at hand. A conversation is a tree, `mapping`, of nodes with a `message`, a `parent` and `children`; every edit and every
regenerated reply begins a new branch, and the branch that ends at `current_node` is the one that its person saw last.
The root has no message. `create_time` is in seconds since 1970, in UTC, and null for some messages.

What is not the conversation is left out and counted: `side_branch`, `hidden` (marked so, such as the custom
instructions, which bear the role user), `tool_call` (the assistant to a tool: code, a search), `thinking`. Pictures
(`image`) and files or sound (`attachment`) are counted and leave no trace in the text, as a mark would not be the
person's words; what was said aloud is text. Messages of system and tools are rows, for the role map to drop.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from twin.export import cells
from twin.export.canonical import EPOCH
from twin.scrub import shown
from twin.source import accounts
from twin.source.accounts import OF_CHATGPT, Conversation, Turn, id_of, text_of

THINKING: Final = ("thoughts", "reasoning_recap")
HIDDEN: Final = ("user_editable_context", "model_editable_context")  # custom instructions, memory
TO_ALL: Final = ("all", "", None)


def batches(path: Path, zone: tzinfo | None = None, left_out: Counter[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Yield the messages of an export in the form of ROWS, in the order of each conversation.

    `zone` is that of times that name none (the export's own are in UTC); `left_out` gains what was not taken, by
    reason, and `no_time`, `early_time`: messages whose time was made to fit the order of the branch.

    Raises:
        DataError: the export is cut, damaged or not ChatGPT's, or has no message.
    """
    return accounts.batches(path, _turns, zone, left_out)


def _turns(conversation: Conversation, zone: tzinfo | None, left_out: Counter[str]) -> Iterator[Turn]:
    value = conversation.value
    nodes = value.get(OF_CHATGPT)
    if not isinstance(nodes, dict):
        raise conversation.fault(f"`mapping` is {shown(nodes)}, not a tree of messages. Is it an export of ChatGPT?")
    conversation_id = id_of(value.get("conversation_id") or value.get("id"), conversation, "conversation_id")
    messages = {node: _message(conversation, node, nodes[node]) for node in nodes}
    kept = _branch(conversation, nodes)
    left_out["side_branch"] += sum(message is not None for message in messages.values())
    found: list[tuple[str, dict[str, Any]]] = []
    for node in kept:
        message = messages[node]
        left_out["side_branch"] -= message is not None
        if message is not None:
            found.append((node, message))
    times = [_time(conversation, node, message.get("create_time"), zone) for node, message in found]
    made = accounts.in_order(times, _time(conversation, None, value.get("create_time"), zone), left_out)
    if made is None:
        raise conversation.fault("neither it nor one of its messages has a create_time. Export again.")
    for depth, ((node, message), time) in enumerate(zip(found, made, strict=True)):
        author = message.get("author")
        if not isinstance(author, dict):
            raise conversation.fault(f"author is {shown(author)}, not an object. Export again.", node)
        role, name = (text_of(author.get(key), conversation, node, f"author.{key}") for key in ("role", "name"))
        reason = _reason(message, role)
        if reason:
            left_out[reason] += 1
            continue
        text = _text(conversation, node, message.get("content"), left_out)
        yield Turn(conversation, node, conversation_id, role, name or None, text, time, depth)


def _message(conversation: Conversation, node: str, value: object) -> dict[str, Any] | None:
    if not isinstance(value, dict):
        raise conversation.fault(f"the node is {shown(value)}, not an object. Export again.", node)
    message = value.get("message")
    if message is not None and not isinstance(message, dict):
        raise conversation.fault(f"it is {shown(message)}, not an object. Export again.", node)
    return message


def _branch(conversation: Conversation, nodes: dict[str, Any]) -> list[str]:
    """Return the nodes from the root to `current_node`."""
    leaf = conversation.value.get("current_node")
    if leaf is None and not nodes:
        return []
    if not isinstance(leaf, str) or leaf not in nodes:
        raise conversation.fault(f"current_node is {shown(leaf)}, which is not in `mapping`. Export again.")
    parents = {}
    for node, value in nodes.items():
        parent = value.get("parent")
        if parent is not None and (not isinstance(parent, str) or parent not in nodes):
            raise conversation.fault(f"parent is {shown(parent)}, which is not in `mapping`. Export again.", node)
        parents[node] = parent
    try:
        return accounts.branch(leaf, parents)
    except ValueError as error:
        raise conversation.fault("its parents go round in a circle. Export again.", error) from None


def _reason(message: dict[str, Any], role: str) -> str | None:
    """Return why a message of the branch is not part of the conversation, None if it is."""
    metadata, content = message.get("metadata"), message.get("content")
    kind = content.get("content_type") if isinstance(content, dict) else None
    if kind in HIDDEN or (isinstance(metadata, dict) and metadata.get("is_visually_hidden_from_conversation") is True):
        return "hidden"
    if role != "assistant":
        return None
    if kind in THINKING:
        return "thinking"
    return "tool_call" if kind == "code" or message.get("recipient") not in TO_ALL else None


def _text(conversation: Conversation, node: str, content: object, left_out: Counter[str]) -> str:
    if content is None:
        return ""
    if not isinstance(content, dict):
        raise conversation.fault(f"content is {shown(content)}, not an object. Export again.", node)
    parts = content.get("parts")
    if parts is None:
        # What tools return has its text here.
        return text_of(content.get("text"), conversation, node, "content.text")
    if not isinstance(parts, list):
        raise conversation.fault(f"content.parts is {shown(parts)}, not a list. Export again.", node)
    texts = [_part(conversation, node, part, left_out) for part in parts]
    return "\n".join(text for text in texts if text)


def _part(conversation: Conversation, node: str, part: object, left_out: Counter[str]) -> str:
    if part is None or isinstance(part, str):
        return part or ""
    if not isinstance(part, dict):
        raise conversation.fault(f"a part of its content is {shown(part)}, no text or object. Export again.", node)
    if "text" in part:
        # What was said aloud, too: `audio_transcription`.
        return text_of(part.get("text"), conversation, node, "content.parts.text")
    left_out["image" if part.get("content_type") == "image_asset_pointer" else "attachment"] += 1
    return ""


def _time(conversation: Conversation, node: str | None, value: object, zone: tzinfo | None) -> datetime | None:
    if value is None or (value == 0 and not isinstance(value, bool)):
        return None
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return EPOCH + timedelta(microseconds=round(value * 1_000_000))
        return cells.instant(value, zone)
    except cells.CellError as fault:
        raise conversation.fault(f"create_time {fault}", node) from None
    except (OverflowError, ValueError):
        raise conversation.fault(f"create_time is {shown(value)}; it must be seconds since 1970.", node) from None
