"""An export becomes turns: data/raw/NAME/ → data/ingest/, metrics/ingest.json.

Every row of the export ends as a turn or is counted under the one reason for which it was dropped. Memory holds a
bucket of conversations, whatever the number of rows.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import pyarrow as pa

from stages.ingest.order import Spill, final_order, in_order
from stages.ingest.sift import Place, Sieve
from stages.ingest.tally import DROPPED, HELD, Tally
from stages.ingest.turns import SCHEMA, Turn, batches, turns, with_suspects
from twin.acts import ACTS
from twin.config.ingest import IngestConfig, Speaker
from twin.config.load import PARAMS, load
from twin.errors import DataError
from twin.export.batches import batches as read
from twin.export.cells import NO_ROLE
from twin.export.manifest import RAW, Manifest, check_name, edited, read_manifest
from twin.export.parquet import write_batches
from twin.export.records import place
from twin.export.roles import counts_text
from twin.files import write_json, write_jsonl
from twin.scrub import KINDS

TURNS: Final = Path("data/ingest/turns.parquet")
LEFT_OUT: Final = Path("data/ingest/left_out.jsonl")
METRICS: Final = Path("metrics/ingest.json")
ROW_GROUP: Final = 8192


def ingest(rows: Iterable[pa.RecordBatch], config: IngestConfig, tally: Tally, place: Place) -> Iterator[Turn]:
    """Yield turns: mapped to speakers, without duplicates and noise, ordered, judged, scrubbed; fills `tally`.

    `rows` are in the form of `canonical.ROWS`, `place` says where one of them stands.

    Raises:
        ConfigError: the role map does not fit the data.
        DataError: rows of one id differ, a text is damaged, or the person never replies.
    """
    with closing(Spill()) as spill:
        sieve = Sieve(config, tally, place, spill)
        for batch in rows:
            sieve.add(batch)
        kept = sieve.kept()
        tally.roles, tally.authors = sieve.speakers.roles, len(set(sieve.speakers.authors) - {NO_ROLE})
        sieve.speakers.check()
        prepare = partial(with_suspects, phones=config.phone_region is not None)
        yield from turns(in_order(spill, *final_order(sieve.keys, kept), prepare), config, tally)
    if not tally.replies:
        raise DataError(
            f"the person never replies to the partner in what was kept. Rows per role: "
            f"{counts_text(sieve.speakers.roles)}; dropped: {_words(tally.dropped)}; held back: {_words(tally.held)}. "
            f"Say who is who: {sieve.speakers.hint(Speaker.person)}."
        )
    assert tally.rows == tally.turns.total() + tally.dropped.total(), "every row is a turn or is counted as dropped"


def write_turns(path: Path, made: Iterable[Turn]) -> None:
    """Write turns.parquet; the same turns give the same bytes."""
    write_batches(path, batches(made, ROW_GROUP), SCHEMA, ROW_GROUP)


@dataclass(frozen=True)
class Export:
    """The files of data/raw/NAME/, read as one."""

    folder: Path
    manifest: Manifest

    def rows(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows of all files."""
        for file in self.manifest.files:
            yield from read(self.folder / file.name, self.manifest.tzinfo)

    def place(self, row: int) -> str:
        """Return where a row stands, counted through all files."""
        for file in self.manifest.files:
            path, size = self.folder / file.name, 0
            for batch in read(path, self.manifest.tzinfo):
                size += len(batch)
            if row < size:
                return place(path, row)
            row -= size
        raise AssertionError("a row of the export has a place in it")


def measures(tally: Tally, export: Export) -> dict[str, object]:
    """Return what metrics/ingest.json says."""
    folder, manifest = export.folder, export.manifest
    return {
        "source": folder.name,
        "synthetic": manifest.synthetic,
        "export": {
            "sha256": _sha256(folder / file.name for file in manifest.files),
            "files": len(manifest.files),
            "edited": edited(folder, manifest),
        },
        "rows": {
            "in": tally.rows,
            "out": tally.turns.total(),
            "dropped": {reason: tally.dropped[reason] for reason in DROPPED},
            "by_role": dict(tally.roles),
        },
        "held": {reason: tally.held[reason] for reason in HELD},
        "damaged": {"kept": tally.damaged.total(), "mended": tally.mended},
        "authors": tally.authors,
        "conversations": tally.conversations,
        "turns": dict(tally.turns),
        "replies": tally.replies,
        "replies_held": tally.replies_held,
        "long_form": tally.long_form,
        "acts": {act: tally.acts[act] for act in ACTS},
        "first": tally.first,
        "last": tally.last,
        "scrubbed": {kind: tally.scrubbed[kind] for kind in KINDS if tally.scrubbed[kind]},
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
    export = Export(RAW / config.source, read_manifest(RAW / config.source))
    tally = Tally(config.phone_region)
    write_turns(TURNS, ingest(export.rows(), config, tally, export.place))
    write_jsonl(LEFT_OUT, tally.lines())
    write_json(METRICS, measures(tally, export))


if __name__ == "__main__":
    main()
