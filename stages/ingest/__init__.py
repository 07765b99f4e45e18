"""An export becomes turns: data/raw/NAME/ → data/ingest/turns.parquet, metrics/ingest.json.

Every row of the export ends as a turn or is counted under the one reason for which it was dropped.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from twin.config.ingest import IngestConfig, Speaker
from twin.config.load import PARAMS, load
from twin.errors import ConfigError, DataError
from twin.export.manifest import RAW, Manifest, check_name, edited, read_manifest
from twin.export.roles import counts_text, override
from twin.export.rows import Row, read
from twin.files import write_json, write_with
from twin.scrub import KINDS, Scrubber, shown

TURNS: Final = Path("data/ingest/turns.parquet")
METRICS: Final = Path("metrics/ingest.json")
# What a coding assistant's log writes in place of a turn that was cut off.
INTERRUPTED: Final = re.compile(r"\[Request interrupted by user[^\]\n]{0,80}\]")
REASONS: Final = ("duplicate", "role", "empty", "interrupted")
SCHEMA: Final = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("conversation_id", pa.string(), nullable=False),
        pa.field("position", pa.int64(), nullable=False),
        pa.field("role", pa.string(), nullable=False),
        pa.field("content", pa.string(), nullable=False),
        pa.field("created_at", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("phase", pa.string()),
        pa.field("salience", pa.float64()),
        pa.field("domain", pa.string()),
    ]
)


@dataclass(frozen=True)
class Turn:
    """One turn of a conversation; the columns of turns.parquet."""

    id: str
    conversation_id: str
    position: int
    """0, 1, … in the conversation."""
    role: str
    """person or partner."""
    content: str
    created_at: datetime
    phase: str | None
    salience: float | None
    domain: str | None


@dataclass(frozen=True)
class Ingested:
    """The turns, and what became of the rows that are not among them."""

    turns: list[Turn]
    roles: Counter[str]
    """Rows read, by raw role."""
    dropped: Counter[str]
    """Rows left out, by reason."""
    scrubbed: Counter[str]
    """Replacements, by kind."""


def ingest(rows: Iterable[Row], config: IngestConfig) -> Ingested:
    """Turn rows into turns: mapped to speakers, without duplicates and empty rows, ordered, scrubbed.

    Raises:
        ConfigError: the role map does not fit the data.
        DataError: rows of one id differ, or the person never replies.
    """
    speakers = _speakers(config)
    roles: Counter[str] = Counter()
    dropped: Counter[str] = Counter()
    scrubbed: Counter[str] = Counter()
    unique = list(_without_duplicates(rows, roles, dropped))
    check_roles(roles, speakers)
    kept = [row for row in unique if _keep(row, speakers[row.role], dropped)]
    turns = list(_turns(kept, speakers, scrubbed))
    if not replies(turns):
        raise DataError(
            f"the person never replies to the partner in what was kept. Rows per role: {counts_text(roles)}; dropped: "
            f"{_words(dropped)}. Say who is who: {_hint(dict(roles.most_common()), speakers, Speaker.person)}."
        )
    assert roles.total() == len(turns) + dropped.total(), "every row is a turn or is counted as dropped"
    return Ingested(turns, roles, dropped, scrubbed)


def _speakers(config: IngestConfig) -> dict[str, Speaker]:
    speakers: dict[str, Speaker] = {}
    for role, speaker in config.roles.items():
        if speakers.setdefault(role.strip().lower(), speaker) is not speaker:
            raise ConfigError(
                f"{PARAMS}: ingest.roles names {shown(role)} twice; roles are compared in lower case. Keep one."
            )
    return speakers


def _without_duplicates(rows: Iterable[Row], roles: Counter[str], dropped: Counter[str]) -> Iterator[Row]:
    seen: dict[str, Row] = {}
    for row in rows:
        roles[row.role] += 1
        first = seen.setdefault(row.id, row)
        if first is row:
            yield row
            continue
        difference = next((name for name in Row._fields[2:] if getattr(first, name) != getattr(row, name)), None)
        if difference:
            raise DataError(
                f"{row.place}: id {shown(row.id)} stands at {first.place} too, with another {difference}. "
                "Keep the row that is right, or export again in the order of a unique column."
            )
        dropped["duplicate"] += 1


def check_roles(counts: Mapping[str, int], speakers: Mapping[str, Speaker]) -> None:
    """Check that the role map names a person, a partner and every role of the data.

    Raises:
        ConfigError: it does not.
    """
    there = f"Rows per role: {counts_text(counts)}."
    for wanted in (Speaker.person, Speaker.partner):
        if wanted not in speakers.values():
            raise ConfigError(
                f"{PARAMS}: ingest.roles names no {wanted.value}. {there} Name one: {_hint(counts, speakers, wanted)}."
            )
    unknown = sorted(role for role in counts if role not in speakers)
    if unknown:
        raise ConfigError(
            f"{PARAMS}: ingest.roles does not say what {counts_text({role: counts[role] for role in unknown})} is. "
            f"{there} Say person, partner or drop: {_hint(unknown, speakers, Speaker.partner)}."
        )


def _hint(roles: Iterable[str], speakers: Mapping[str, Speaker], speaker: Speaker) -> str:
    # A role without a meaning is the likelier one, then one that is left out; another speaker's comes last.
    order = (None, Speaker.drop, *(other for other in Speaker if other not in (Speaker.drop, speaker)), speaker)
    role = min(roles, key=lambda role: order.index(speakers.get(role)))
    return override(role, speaker.value, known=role in speakers)


def _keep(row: Row, speaker: Speaker, dropped: Counter[str]) -> bool:
    if speaker is Speaker.drop:
        reason = "role"
    elif not row.content:
        reason = "empty"
    elif INTERRUPTED.fullmatch(row.content):
        reason = "interrupted"
    else:
        return True
    dropped[reason] += 1
    return False


def _turns(rows: list[Row], speakers: Mapping[str, Speaker], scrubbed: Counter[str]) -> Iterator[Turn]:
    ids = Scrubber(scrubbed)
    for conversation in conversations(rows):
        texts = Scrubber(scrubbed)
        conversation_id = ids.scrub(conversation[0].conversation_id)
        for position, row in enumerate(conversation):
            yield Turn(
                id=ids.scrub(row.id),
                conversation_id=conversation_id,
                position=position,
                role=speakers[row.role].value,
                content=texts.scrub(row.content),
                created_at=row.created_at,
                phase=texts.scrub(row.phase) if row.phase else None,
                salience=row.salience,
                domain=texts.scrub(row.domain) if row.domain else None,
            )


def conversations(rows: Iterable[Row]) -> list[list[Row]]:
    """Group rows by conversation, the earliest conversation first, each in the order in which it was held.

    Rows of one instant are ordered by trajectory_depth, trajectory_sibling_order, then as the export has them: an
    order by id would shuffle question and answer.
    """
    grouped: dict[str, list[Row]] = {}
    for row in rows:
        grouped.setdefault(row.conversation_id, []).append(row)
    for conversation in grouped.values():
        conversation.sort(key=lambda row: (row.created_at, row.depth, row.sibling))
    return sorted(
        grouped.values(), key=lambda conversation: (conversation[0].created_at, conversation[0].conversation_id)
    )


def replies(turns: Iterable[Turn]) -> int:
    """Count the person's replies: runs of their turns with a partner's turn right before."""
    count, before = 0, ("", "")
    for turn in turns:
        now = (turn.conversation_id, turn.role)
        count += now == (before[0], Speaker.person.value) and before[1] == Speaker.partner.value
        before = now
    return count


def write_turns(path: Path, turns: list[Turn]) -> None:
    """Write turns.parquet; the same turns give the same bytes."""
    columns = {field.name: [getattr(turn, field.name) for turn in turns] for field in fields(Turn)}
    table = pa.table(columns, schema=SCHEMA)
    write_with(
        path,
        lambda part: pq.write_table(
            table,
            part,
            version="2.6",
            compression="zstd",
            compression_level=3,
            store_schema=False,
            row_group_size=65536,
        ),
    )


def measures(result: Ingested, folder: Path, manifest: Manifest) -> dict[str, object]:
    """Return what metrics/ingest.json says."""
    turns = result.turns
    return {
        "source": folder.name,
        "synthetic": manifest.synthetic,
        "export": {
            "sha256": _sha256(folder / file.name for file in manifest.files),
            "files": len(manifest.files),
            "edited": edited(folder, manifest),
        },
        "rows": {
            "in": result.roles.total(),
            "out": len(turns),
            "dropped": {reason: result.dropped[reason] for reason in REASONS},
            "by_role": dict(result.roles),
        },
        "conversations": len({turn.conversation_id for turn in turns}),
        "turns": dict(Counter(turn.role for turn in turns)),
        "replies": replies(turns),
        "first": min(turn.created_at for turn in turns).isoformat(),
        "last": max(turn.created_at for turn in turns).isoformat(),
        "scrubbed": {kind: result.scrubbed[kind] for kind in KINDS},
    }


def _sha256(files: Iterable[Path]) -> str:
    """Return what `cat FILES | sha256sum` prints."""
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


def _words(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} {count:,}" for reason, count in sorted(counts.items())) or "nothing"


def main() -> None:
    """Run the stage."""
    config = load(IngestConfig)
    check_name(config.source, f"{PARAMS}: ingest.source")
    folder = RAW / config.source
    manifest = read_manifest(folder)
    result = ingest(chain.from_iterable(read(folder / file.name) for file in manifest.files), config)
    write_turns(TURNS, result.turns)
    write_json(METRICS, measures(result, folder, manifest))


if __name__ == "__main__":
    main()
