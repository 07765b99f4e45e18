"""Synthetic turns for benchmarks, the same for the same seed: a number → CSV as psql writes it, JSONL, or Parquet.

python -m bench.turns FOLDER [--rows 1000000]
"""

import argparse
import hashlib
import json
import random
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

COLUMNS = (
    "id", "conversation_id", "role", "phase", "salience_score", "trajectory_depth", "trajectory_sibling_order",
    "created_at", "content_hash", "content_text",
)  # fmt: skip
PHASES = ("exploration", "debugging", "planning", "consolidation", "synthesis")
TEXT = (
    "the pipeline reads each row once and keeps its order so that a turn which was said twice is counted twice when we "
    "ship I think yes no maybe actually, let me check that again: why does test fail on main? because schema changed; "
    'retry after merge "quoted" don\'t café naïve – ok 👍 data\n\n```python\nprint(x)\n``` https://example.org/a?b=c'
)
VOCABULARY = 5000  # beside TEXT, so that the text is packed about as well as real text
MEAN_WORDS = 68  # some 460 bytes
START = datetime(2024, 1, 1, tzinfo=UTC)
BATCH = 10_000


def turns(count: int, seed: int = 7) -> Iterator[list[dict[str, Any]]]:
    """Yield lists of rows of the table memory_turns; about one text in nine is empty and has no hash."""
    rng = random.Random(seed)
    letters = "etaoinshrdlucmfwypvbgk"
    made = ["".join(rng.choices(letters, k=rng.randrange(3, 10))) for _ in range(VOCABULARY)]
    words = made + TEXT.split(" ") * 20
    conversation, depth, now, rows = "", 0, START, []
    for number in range(count):
        if not conversation or rng.random() < 0.04:
            conversation, depth = str(uuid.UUID(int=rng.getrandbits(128), version=4)), 0
        depth, now = depth + 1, now + timedelta(microseconds=rng.randrange(120_000_000))
        length = 0 if number % 9 == 8 else 1 + int(rng.expovariate(1 / MEAN_WORDS))
        text = " ".join(rng.choices(words, k=length)).strip()
        rows.append(
            {
                "id": str(uuid.UUID(int=rng.getrandbits(128), version=4)),
                "conversation_id": conversation,
                "role": ("user", "assistant")[depth % 2 == 0],
                "phase": rng.choice(PHASES),
                "salience_score": round(rng.random(), 4),
                "trajectory_depth": depth,
                "trajectory_sibling_order": 0,
                "created_at": now,
                "content_hash": hashlib.sha256(text.encode()).hexdigest() if text else None,
                "content_text": text,
            }
        )
        if len(rows) == BATCH or number == count - 1:
            yield rows
            rows = []


def write_all(folder: Path, count: int) -> dict[str, Path]:
    """Write `count` turns into `folder` in every format; return the file of each."""
    paths = {kind: folder / f"turns.{kind}" for kind in ("csv", "jsonl", "parquet")}
    types = {"salience_score": pa.float64(), "trajectory_depth": pa.int32(), "trajectory_sibling_order": pa.int32()}
    types["created_at"] = pa.timestamp("us", "UTC")
    schema = pa.schema([(name, types.get(name, pa.string())) for name in COLUMNS])
    with (
        paths["csv"].open("w", encoding="utf-8", newline="") as table,
        paths["jsonl"].open("w", encoding="utf-8", newline="") as lines,
        pq.ParquetWriter(paths["parquet"], schema, compression="zstd") as writer,
    ):
        table.write(",".join(COLUMNS) + "\n")
        for rows in turns(count):
            writer.write_batch(pa.RecordBatch.from_pylist(rows, schema))
            for row in rows:
                table.write(",".join(_cell(name, row[name]) for name in COLUMNS) + "\n")
                lines.write(json.dumps(row, ensure_ascii=False, default=lambda now: now.isoformat()) + "\n")
    return paths


def _cell(name: str, value: Any) -> str:
    """One cell as psql writes it with force_quote (content_text): quotes where needed, NULL unquoted."""
    if value is None:
        return ""
    if name == "content_text":
        return '"' + value.replace('"', '""') + '"'
    return f"{value:%Y-%m-%d %H:%M:%S.%f}+00" if isinstance(value, datetime) else str(value)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.turns", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    for path in write_all(options.folder, options.rows).values():
        print(f"{path}  {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
