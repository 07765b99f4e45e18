"""The export's rows: clean conversations in, `memory_turns` as a dashboard would export it, mess and all, out.

Every kind of mess a real export shows is in it, in small shares: interrupted turns, pasted logs, typos, empty
cells, one speaker writing twice in a row, system rows, a row exported twice, an emoji, a fake secret, an address.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from tools.demo_export.conversation import Conversation, Exchange
from tools.demo_export.dice import Dice

COLUMNS = (
    "id",
    "conversation_id",
    "role",
    "phase",
    "salience_score",
    "trajectory_depth",
    "trajectory_sibling_order",
    "trajectory_homogeneity",
    "trajectory_temporal",
    "trajectory_complexity",
    "created_at",
    "content_hash",
    "content_text",
    "domain",
    "task_type",
)
PERSON, PARTNER, SYSTEM = "user", "assistant", "system"

START = datetime(2025, 3, 3, 8, 0, tzinfo=UTC)
SPAN_DAYS = 302

PAGE = 500
"""Rows the dashboard fetches at a time; a row that moves between two fetches is exported twice."""

INTERRUPTED = "[Request interrupted by user]"
EMOJI = "\N{THUMBS UP SIGN}"
ADDRESS = "sam.operator@example.com"
PHASES = {
    "exploring": ("exploration", "planning"),
    "converging": ("planning", "synthesis"),
    "wrong": ("debugging", "debugging"),
    "done": ("consolidation", "synthesis"),
}
TASKS = ("debug", "plan", "review", "ops", "write")

LOGS = (
    'Traceback (most recent call last):\n  File "app/{word}.py", line {number}, in run\n    step(config)\n'
    "KeyError: '{word}'",
    "{word} | error: connect ECONNREFUSED 10.0.{number}.7:5432\n{word} | retrying in {number}s",
    "ERROR [{word}] timeout after {number}000 ms\nWARN  [{word}] pool exhausted, 0 idle",
    "npm ERR! code ELIFECYCLE\nnpm ERR! {word}@1.{number}.0 build: exit 1",
    "FAILED tests/test_{word}.py::test_happy_path - assert {number} == 0\r\n1 failed, {number} passed",
)
LOG_INTROS = ("same again:", "this is what i get", "look:", "from the log:")
SYSTEM_LINES = (
    "You are a helpful assistant. Answer step by step.",
    "You are a helpful assistant with access to the repository.",
)


@dataclass
class Row:
    """One row of the table; `act` is known for replies only and is not exported with it."""

    role: str
    content: str
    state: str
    act: str = ""
    cells: dict[str, str] = field(default_factory=dict)


def rows(seed: int, conversations: Sequence[Conversation]) -> list[Row]:
    """Return all rows in the order of the export: by id, a few of them twice."""
    dice = Dice(f"{seed}:table")
    spacing = timedelta(days=SPAN_DAYS) / len(conversations)
    chats = [_messy(Dice(f"{seed}:mess:{one.number}"), one) for one in conversations]
    _plant(dice, [row for chat in chats for row in chat if row.act in ("direct", "scope")])
    table: list[Row] = []
    for chat, source in zip(chats, conversations, strict=True):
        start = START + spacing * (source.number + dice.uniform() / 3)
        _fill(dice, chat, source, start)
        table += chat
    table.sort(key=lambda row: row.cells["id"])
    return _paged(table)


def to_csv(table: Sequence[Row]) -> str:
    """Write the rows the way PapaParse does: CRLF between rows, quotes where they are needed."""
    lines = [",".join(COLUMNS)]
    lines += [",".join(_cell(row.cells[column]) for column in COLUMNS) for row in table]
    return "\r\n".join(lines)


def acts_csv(table: Sequence[Row]) -> str:
    """Write the act of every reply, once each, by id."""
    acts = {row.cells["id"]: row.act for row in table if row.act}
    return "id,act\n" + "".join(f"{key},{acts[key]}\n" for key in sorted(acts))


def content_hash(text: str) -> str:
    """Return the hash that `memory_turns` stores: of the text with LF line ends, trimmed; empty for no text."""
    canonical = text.replace("\r\n", "\n").replace("\r", "\n").strip()
    return hashlib.sha256(canonical.encode("utf-8")).hexdigest() if canonical else ""


def _messy(dice: Dice, source: Conversation) -> list[Row]:
    state = source.exchanges[0].state
    chat = [Row(SYSTEM, dice.pick(SYSTEM_LINES), state)] if dice.chance(0.03) else []
    if source.opening:
        log = f"\n{_log(dice)}" if dice.chance(0.08) else ""
        chat.append(Row(PERSON, source.opening + log, state))
    for exchange in source.exchanges:
        chat += _partner_rows(dice, exchange)
        chat += _person_rows(dice, exchange)
    if dice.chance(0.02):
        last = source.exchanges[-1]
        chat += [Row(PARTNER, last.turn.body[0].upper() + last.turn.body[1:], last.state)]
        chat += [Row(PERSON, dice.pick((INTERRUPTED, "")), last.state, "other")]
    return chat


def _partner_rows(dice: Dice, exchange: Exchange) -> list[Row]:
    text = exchange.turn.text
    cut = text.find(". ")
    if cut > 0 and dice.chance(0.03):
        return [Row(PARTNER, part, exchange.state) for part in (text[: cut + 1], text[cut + 2 :])]
    empty = [Row(PARTNER, "", exchange.state)] if dice.chance(0.005) else []
    return [*empty, Row(PARTNER, text, exchange.state)]


def _person_rows(dice: Dice, exchange: Exchange) -> list[Row]:
    text, act = exchange.reply, exchange.act
    if dice.chance(0.007):
        texts = [f"{text}. {dice.pick(LOG_INTROS)}\n{_log(dice)}"]
    elif ". " in text and dice.chance(0.12):
        texts = text.split(". ", 1)
    elif dice.chance(0.03):
        texts = [_typo(dice, text)]
    elif act in ("continue", "commit") and dice.chance(0.015):
        texts = [f"{text} {EMOJI}"]
    else:
        texts = [text]
    if dice.chance(0.01):
        texts = [dice.pick((INTERRUPTED, "")), *texts]
    return [Row(PERSON, part, exchange.state, act) for part in texts]


def _log(dice: Dice) -> str:
    words = ("billing", "checkout", "search", "ledger", "gateway", "mailer")
    return dice.pick(LOGS).format(word=dice.pick(words), number=dice.integer(2, 90))


def _typo(dice: Dice, text: str) -> str:
    """Return the text with two neighbouring letters swapped."""
    places = [at for at in range(1, len(text) - 1) if text[at : at + 2].isalpha() and text[at] != text[at + 1]]
    if not places:
        return text
    at = dice.pick(places)
    return text[:at] + text[at + 1] + text[at] + text[at + 2 :]


def _plant(dice: Dice, replies: Sequence[Row]) -> None:
    """Put one made-up key and one made-up address into two replies."""
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    key = "sk-test-" + "FAKE" + "".join(dice.pick(letters) for _ in range(40)) + "FAKE"
    first, second = dice.distinct([row for row in replies if row.content.count("\n") == 0], 2)
    first.content += f", key is {key}"
    second.content += f", mail {ADDRESS} when done"


def _fill(dice: Dice, chat: list[Row], source: Conversation, start: datetime) -> None:
    conversation_id, now = _uuid(dice), start
    for depth, row in enumerate(chat):
        low, high = (15, 400) if row.role == PERSON else (4, 60)
        now += timedelta(
            seconds=dice.integer(low, high), microseconds=dice.integer(0, 99_999) * 10 + dice.integer(1, 9)
        )
        row.cells = {
            "id": _uuid(dice),
            "conversation_id": conversation_id,
            "role": row.role,
            "phase": "" if dice.chance(0.06) else dice.pick(PHASES[row.state]),
            "salience_score": "" if dice.chance(0.04) else _number(dice.integer(0, 1000) / 1000),
            "trajectory_depth": str(depth),
            "trajectory_sibling_order": str(int(dice.chance(0.02))),
            "trajectory_homogeneity": _number(dice.integer(0, 1000) / 1000),
            "trajectory_temporal": _number(round(depth / max(1, len(chat) - 1), 4)),
            "trajectory_complexity": str(dice.integer(1, 4)),
            "created_at": f"{now:%Y-%m-%d %H:%M:%S.%f}+00",
            "content_hash": "" if dice.chance(0.09) else content_hash(row.content),
            "content_text": row.content,
            "domain": source.exchanges[0].turn.topic.domain,
            "task_type": "" if dice.chance(0.3) else dice.pick(TASKS),
        }


def _paged(table: list[Row]) -> list[Row]:
    """Return the rows as fetched page by page; at every other page's start the row before it comes again."""
    fetched: list[Row] = []
    for at, row in enumerate(table):
        fetched.append(row)
        if at % (2 * PAGE) == 2 * PAGE - 1:
            fetched.append(row)
    return fetched


def _uuid(dice: Dice) -> str:
    digits = "".join("0123456789abcdef"[dice.integer(0, 15)] for _ in range(32))
    digits = digits[:12] + "4" + digits[13:16] + "89ab"[int(digits[16], 16) % 4] + digits[17:]
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


def _cell(text: str) -> str:
    bad = any(mark in text for mark in ('"', "\r", "\n", ",")) or text != text.strip(" ")
    return '"' + text.replace('"', '""') + '"' if bad else text
