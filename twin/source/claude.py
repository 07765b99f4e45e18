"""Anthropic's account export (Claude, Settings, Privacy) → rows: of each conversation the branch that was kept.

The format is not documented by Anthropic; public descriptions of it agree on what is read here, and no live export was
at hand. A conversation has `chat_messages` in the order in which they were made, with `uuid`, `sender` (human or
assistant), `created_at` in ISO 8601, `text`, and in newer exports `content`: blocks, of which those of type text are
what was said. `text` is taken only where there are no blocks: it also holds a remark for each block that is none.
Where messages name a `parent_message_uuid`, edits and retries stand in the same list; the branch of
`current_leaf_message_uuid`, which exports seem not to have, or else of the last message, is the conversation.

What is not the conversation is left out and counted: `side_branch`, `thinking`, `tool_call`, `other_block`,
`attachment` and `file`. The text of an attachment is what a person handed over, not that person's voice.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from twin.export import cells
from twin.scrub import shown
from twin.source import accounts
from twin.source.accounts import OF_CLAUDE, Conversation, Turn, id_of, text_of

BLOCKS: Final = {
    "thinking": "thinking",
    "redacted_thinking": "thinking",
    "tool_use": "tool_call",
    "tool_result": "tool_call",
    "image": "image",
}
"""Type of a block that holds no words of the conversation → how it is counted."""


def batches(path: Path, zone: tzinfo | None = None, left_out: Counter[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Yield the messages of an export in the form of ROWS, in the order of each conversation.

    `zone` is that of times that name none (the export's own name theirs); `left_out` gains what was not taken, by
    reason, and `no_time`, `early_time`: messages whose time was made to fit the order of the conversation.

    Raises:
        DataError: the export is cut, damaged or not Claude's, or has no message.
    """
    return accounts.batches(path, _turns, zone, left_out)


def _turns(conversation: Conversation, zone: tzinfo | None, left_out: Counter[str]) -> Iterator[Turn]:
    value = conversation.value
    messages = _messages(conversation)
    conversation_id = id_of(value.get("uuid"), conversation, "uuid")
    kept = _branch(conversation, messages)
    left_out["side_branch"] += len(messages) - len(kept)
    times = [_time(conversation, uuid, messages[uuid].get("created_at"), zone) for uuid in kept]
    made = accounts.in_order(times, _time(conversation, None, value.get("created_at"), zone), left_out)
    if made is None:
        raise conversation.fault("neither it nor one of its messages has a created_at. Export again.")
    for depth, (uuid, time) in enumerate(zip(kept, made, strict=True)):
        message = messages[uuid]
        role = text_of(message.get("sender"), conversation, uuid, "sender")
        text = _text(conversation, uuid, message, left_out)
        yield Turn(conversation, uuid, conversation_id, role, None, text, time, depth)


def _messages(conversation: Conversation) -> dict[str, dict[str, Any]]:
    found = conversation.value.get(OF_CLAUDE)
    if not isinstance(found, list):
        raise conversation.fault(f"`chat_messages` is {shown(found)}, not a list. Is it an export of Claude?")
    messages: dict[str, dict[str, Any]] = {}
    for number, message in enumerate(found, 1):
        if not isinstance(message, dict):
            raise conversation.fault(f"message {number} is {shown(message)}, not an object. Export again.")
        uuid = id_of(message.get("uuid"), conversation, "uuid", number)
        if uuid in messages:
            raise conversation.fault("two messages have this uuid. Export again.", uuid)
        messages[uuid] = message
    return messages


def _branch(conversation: Conversation, messages: dict[str, dict[str, Any]]) -> list[str]:
    """Return the messages of the conversation as it went, all of them where none names a parent."""
    if not any("parent_message_uuid" in message for message in messages.values()):
        return list(messages)
    parents = {}
    for uuid, message in messages.items():
        parent = message.get("parent_message_uuid")
        if parent is not None and not isinstance(parent, str):
            raise conversation.fault(f"parent_message_uuid is {shown(parent)}, not a text. Export again.", uuid)
        parents[uuid] = parent
    leaf = conversation.value.get("current_leaf_message_uuid")
    if leaf is not None and (not isinstance(leaf, str) or leaf not in messages):
        raise conversation.fault(f"current_leaf_message_uuid is {shown(leaf)}, which is no message. Export again.")
    try:
        return accounts.branch(leaf or next(reversed(messages)), parents)
    except ValueError as error:
        raise conversation.fault("its parents go round in a circle. Export again.", error) from None


def _text(conversation: Conversation, uuid: str, message: dict[str, Any], left_out: Counter[str]) -> str:
    for key, reason in (("attachments", "attachment"), ("files", "file")):
        left_out[reason] += len(_list(conversation, uuid, message, key))
    blocks = _list(conversation, uuid, message, "content")
    if not blocks:
        return text_of(message.get("text"), conversation, uuid, "text")
    texts = []
    for block in blocks:
        if not isinstance(block, dict):
            raise conversation.fault(f"a block of its content is {shown(block)}, not an object. Export again.", uuid)
        kind = text_of(block.get("type"), conversation, uuid, "content.type")
        if kind == "text":
            texts.append(text_of(block.get("text"), conversation, uuid, "content.text"))
        else:
            left_out[BLOCKS.get(kind, "other_block")] += 1
    return "\n\n".join(text for text in texts if text)


def _list(conversation: Conversation, uuid: str, message: dict[str, Any], key: str) -> list[Any]:
    found = message.get(key)
    if found is None:
        return []
    if not isinstance(found, list):
        raise conversation.fault(f"{key} is {shown(found)}, not a list. Export again.", uuid)
    return found


def _time(conversation: Conversation, uuid: str | None, value: object, zone: tzinfo | None) -> datetime | None:
    if value is None or value == "":
        return None
    try:
        return cells.instant(value, zone)
    except cells.CellError as fault:
        raise conversation.fault(f"created_at {fault}", uuid) from None
