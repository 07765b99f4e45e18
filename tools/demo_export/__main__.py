"""Write the demo's export: a seed → data/raw/demo/ (memory_turns.csv.gz, manifest.json, README.md), and the labels.

Labels are written where `--labels` says: the act of every reply, as a person would label them by hand.
"""

import argparse
import gzip
import hashlib
import io
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from tools.demo_export.conversation import conversations
from tools.demo_export.table import COLUMNS, PARTNER, PERSON, Row, acts_csv, rows, to_csv
from twin.files import write_bytes, write_json, write_text

SEED = 7
CONVERSATIONS = 600
EXPORT = "memory_turns.csv.gz"

README = """# The demo's export: synthetic

Nobody said any of this. `memory_turns.csv.gz` is made by a program, in the shape in which the Supabase dashboard
exports a table `memory_turns`. "Sam" is an engineering operator (role `user`, the person whose voice is learned),
the other speaker a long-winded assistant (role `assistant`). The key, the address and the logs are made up.

    python -m tools.demo_export --seed {seed} --conversations {conversations}{null}

writes these files again, the same on every platform (the compressed bytes may differ between zlib versions).

- {rows} rows, {conversations} conversations, {replies} replies of Sam, {first} to {last}
- acts of the replies, {acts}: `data/labels/demo.csv`, by row id; rows that merge into one reply carry the same act
- {tie}
- on purpose, in small shares: interrupted turns, empty cells, pasted logs, typos, one speaker twice in a row, rows
  exported twice, system rows, missing phases and hashes, an emoji, one fake secret, one address at example.com
"""
TIED = """what Sam says depends on where the conversation stands (exploring, converging, going wrong, nearly done),
  which shows in how near the assistant's last turn is to its earlier ones, and hardly in that turn alone"""
UNTIED = "null data: what Sam says does not depend on where the conversation stands"


def export(seed: int, count: int, null: bool) -> list[Row]:
    """Return the rows of the export in file order."""
    return rows(seed, conversations(seed, count, null))


def compressed(text: str) -> bytes:
    """Return the gzip of the text without a time or a name in it."""
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=buffer, mtime=0) as file:
        file.write(text.encode("utf-8"))
    return buffer.getvalue()


def write(table: Sequence[Row], folder: Path, seed: int, count: int, null: bool) -> None:
    """Write the export, its manifest and the README into `folder`."""
    data = compressed(to_csv(table))
    entry = {
        "name": EXPORT,
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
        "rows": len(table),
    }
    write_bytes(folder / EXPORT, data)
    write_json(folder / "manifest.json", {"files": [entry], "columns": list(COLUMNS), "synthetic": True})
    write_text(folder / "README.md", readme(table, seed, count, null))


def readme(table: Sequence[Row], seed: int, count: int, null: bool) -> str:
    """Return the README that goes with the rows."""
    acts = Counter(line.split(",")[1] for line in acts_csv(table).splitlines()[1:])
    total = sum(acts.values())
    days = sorted(row.cells["created_at"][:10] for row in table)
    return README.format(
        seed=seed,
        conversations=count,
        null=" --null" if null else "",
        rows=len(table),
        replies=replies(table),
        first=days[0],
        last=days[-1],
        acts=", ".join(f"{act} {100 * acts[act] / total:.0f} %" for act in sorted(acts, key=lambda act: -acts[act])),
        tie=UNTIED if null else TIED,
    )


def replies(table: Sequence[Row]) -> int:
    """Count the replies of the person that say something, rows in a row as one."""
    unique = {row.cells["id"]: row for row in table}.values()
    spoken = [row for row in unique if row.role in (PERSON, PARTNER) and row.content]
    spoken.sort(key=lambda row: (row.cells["conversation_id"], row.cells["created_at"]))
    return sum(
        before.role == PARTNER
        and row.role == PERSON
        and before.cells["conversation_id"] == row.cells["conversation_id"]
        for before, row in pairwise(spoken)
    )


def main() -> None:
    """Read the arguments and write the export."""
    parser = argparse.ArgumentParser(prog="python -m tools.demo_export", description=__doc__)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--out", type=Path, default=Path("data/raw/demo"))
    parser.add_argument("--labels", type=Path, help="also write the act of every reply to this file")
    parser.add_argument("--null", action="store_true", help="Sam's replies do not depend on the conversation's path")
    parser.add_argument("--conversations", type=int, default=CONVERSATIONS)
    arguments = parser.parse_args()
    table = export(arguments.seed, arguments.conversations, arguments.null)
    if arguments.labels:
        write_text(arguments.labels, acts_csv(table))
    write(table, arguments.out, arguments.seed, arguments.conversations, arguments.null)
    print(f"{arguments.out}: {len(table)} rows, {replies(table)} replies")


if __name__ == "__main__":
    main()
