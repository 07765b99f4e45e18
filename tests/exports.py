"""Small exports and configurations for tests of ingest: rows, tables, a project folder's parameters."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from stages import ingest as stage
from stages.ingest.tally import Tally
from stages.ingest.turns import Turn
from twin.config.cleaning import CleaningConfig
from twin.config.ingest import Damaged, ForgetConfig, IngestConfig, Speaker
from twin.export.canonical import EPOCH, ROWS
from twin.export.rows import Row

ROLES = {"user": Speaker.person, "assistant": Speaker.partner, "system": Speaker.drop}
CLEANING = CleaningConfig(
    noise_prefixes=["<system-reminder"], machine_share=0.5, quoted_share=0.6, duplicate_characters=80, similarity=95,
    characters_min=1, languages=[], long_form_characters=400,
)  # fmt: skip
CONFIG = IngestConfig(
    source="mine", roles=ROLES, authors={}, damaged=Damaged.refuse,
    forget=ForgetConfig(conversations=[], authors=[], dates=[]), phone_region=None, cleaning=CLEANING,
)  # fmt: skip
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SECRET = "sk-" + "ant-api03-q7Wm2Zk9Lx4Tn8Vb1Rc5"


def row(id_: str, role: str, content: str = "text", minute: float = 0, chat: str = "c", **more: Any) -> Row:
    cells: dict[str, Any] = dict.fromkeys(("author", "phase", "salience", "domain", "content_hash"))
    cells |= {"depth": 0, "sibling": 0}
    return Row(
        file="e.csv",
        line=int("".join(filter(str.isdigit, id_)) or 0) + 2,
        id=id_,
        conversation_id=chat,
        role=role,
        content=content,
        created_at=NOON + timedelta(minutes=minute),
        **cells | more,
    )


@dataclass
class Result:
    turns: list[Turn]
    tally: Tally


def batches(rows: Sequence[Row], size: int = 3) -> Iterator[pa.RecordBatch]:
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        columns = {name: [getattr(one, name) for one in part] for name in ROWS.names}
        columns["created_at"] = [(one.created_at - EPOCH) // timedelta(microseconds=1) for one in part]
        yield pa.RecordBatch.from_pydict(columns, schema=ROWS)


def ingest(rows: Sequence[Row], config: IngestConfig = CONFIG, size: int = 3) -> Result:
    tally = Tally()
    turns = list(stage.ingest(batches(rows, size), config, tally, lambda number: rows[number].place))
    return Result(turns, tally)


PAIR = [row("1", "assistant", "Shall I?", 0), row("2", "user", "go", 1)]


def ids(result: Result) -> list[str]:
    return [turn.id for turn in result.turns]


def params(config: IngestConfig) -> str:
    """Return a params.yaml; JSON is YAML."""
    return json.dumps({"ingest": asdict(config)}, default=lambda choice: choice.value)


HEADER = ["id", "conversation_id", "role", "content_text", "created_at", "trajectory_depth"]


def table(cells: Sequence[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows([HEADER, *cells])
    return text.getvalue().encode()


CELLS = [
    ["1", "c", "assistant", "Shall I?", "2026-01-01 12:00:00+00", "0"],
    ["2", "c", "user", "go, a@x.org", "2026-01-01 12:01:00+00", "1"],
]
