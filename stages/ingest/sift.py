"""Which rows become turns: batches → the reason of each row that does not, decided row by row."""

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
import pyarrow as pa

from stages.ingest.order import Keys, Spill, suspects
from stages.ingest.rules import row_reason
from stages.ingest.speakers import Speakers
from stages.ingest.tally import DROPPED, Tally
from twin.config.ingest import Damaged, IngestConfig, Speaker
from twin.errors import DataError
from twin.export.canonical import EPOCH, ROWS
from twin.export.damage import damage
from twin.forget import Forget
from twin.scrub import shown

Place = Callable[[int], str]
"""Number of a row, counted through all files → `file:line`; reads the file again, so it is for few rows."""
CODE: Final = {reason: code for code, reason in enumerate(DROPPED, 1)}
SIFTED: Final = pa.schema([*ROWS, pa.field("speaker", pa.string(), nullable=False)])
"""ROWS, and who speaks."""


class Sieve:
    """Takes all rows once; then knows which are kept."""

    def __init__(self, config: IngestConfig, tally: Tally, place: Place, spill: Spill) -> None:
        """`spill` receives the rows, and who speaks."""
        self._config, self._tally, self._place = config, tally, place
        self._forget = Forget(config.forget)
        self.speakers = Speakers(config)
        self._spill = spill
        self.keys = Keys()
        self._codes: list[np.ndarray] = []

    def add(self, batch: pa.RecordBatch) -> None:
        """Judge the rows of a batch."""
        columns = [batch.column(name).to_pylist() for name in ("conversation_id", "author", "role", "content_hash")]
        contents = batch.column("content").to_pylist()
        moments = batch.column("created_at").cast(pa.int64()).to_pylist()
        codes, speakers = np.zeros(len(batch), np.int8), []
        mended = False
        for row, (conversation, author, role, digest) in enumerate(zip(*columns, strict=True)):
            speaker = self.speakers.speaker(role, author)
            speakers.append((speaker or Speaker.drop).value)
            forgotten = self._forget and self._forget.has(conversation, author, _moment(moments[row]))
            reason: str | None = "forgotten"
            text = contents[row]
            if not forgotten:
                known = conversation is not None
                text, reason = self._judged(row, text, known=known, speaker=speaker, digest=digest)
            mended |= text is not contents[row]
            contents[row] = text
            codes[row] = CODE[reason] if reason else 0
        self.keys.add(batch)
        self._codes.append(codes)
        self._tally.rows += len(batch)
        arrays = [*batch.columns, pa.array(speakers, pa.string())]
        if mended:
            arrays[ROWS.get_field_index("content")] = pa.array(contents, pa.string())
        self._spill.add(pa.RecordBatch.from_arrays(arrays, schema=SIFTED))

    def _judged(
        self, row: int, text: str, *, known: bool, speaker: Speaker | None, digest: str | None
    ) -> tuple[str, str | None]:
        """Return the text, mended where it can be, and why the row is no turn; `known` is its conversation."""
        if not known:
            return text, self._noted("no_conversation", row, text)
        if speaker is Speaker.drop:
            return text, self._noted("role", row, text)
        whole, fault = damage(text, digest)
        self._tally.mended += whole is not text
        if fault and self._config.damaged is not Damaged.keep:
            if self._config.damaged is Damaged.refuse:
                raise DataError(self._damaged(fault, self._tally.rows + row))
            return text, self._noted(fault, row, text)
        self._tally.damaged.update([fault] if fault else [])
        reason = row_reason(whole, self._config.cleaning)
        return whole, self._noted(reason, row, whole) if reason else None

    def _noted(self, reason: str, row: int, text: str) -> str:
        if self._tally.wants(reason):
            self._tally.example(reason, f"row {self._tally.rows + row + 1}", text)
        return reason

    def _damaged(self, fault: str, row: int) -> str:
        what = (
            "the text ends like a cell that Supabase's dashboard cut at 10,240 characters"
            if fault == "truncated"
            else "the text is not the one that content_hash was taken of"
        )
        return (
            f"{self._place(row)}: {what}. Export with psql, pg_dump or `twin bring postgres`, which cut nothing; or go "
            "on without such rows: -S ingest.damaged=drop (keep learns from them)."
        )

    def kept(self) -> np.ndarray:
        """Return one truth value a row, and count the reasons.

        Raises:
            DataError: rows of one id differ.
        """
        codes = np.concatenate(self._codes) if self._codes else np.zeros(0, np.int8)
        twice = self._duplicates(codes)
        codes[twice] = CODE["duplicate"]
        counts = Counter(codes.tolist())
        self._tally.dropped.update({reason: counts[code] for reason, code in CODE.items() if counts[code]})
        return np.equal(codes, 0)

    def _duplicates(self, codes: np.ndarray) -> list[int]:
        """Return the rows whose id stood before, with the same content."""
        wanted = suspects(self.keys.arrays()[1])
        seen: dict[str, tuple[int, int]] = {}
        twice: list[int] = []
        for number, values in _rows(self._spill, wanted):
            digest = hash(tuple(values.items()))
            first, known = seen.setdefault(values["id"], (number, digest))
            if first == number:
                continue
            if known != digest:
                raise DataError(self._differ(first, number))
            twice.append(number)
            if codes[number] != CODE["forgotten"] and self._tally.wants("duplicate"):
                self._tally.example("duplicate", f"row {number + 1}", values["content"])
        return twice

    def _differ(self, first: int, second: int) -> str:
        (_, one), (_, other) = _rows(self._spill, {first, second})
        column = next(name for name in one if one[name] != other[name])
        return (
            f"{self._place(second)}: id {shown(other['id'])} stands at {self._place(first)} too, with another "
            f"{column}. Keep the row that is right, or export again in the order of a unique column."
        )


def _moment(microseconds: int) -> datetime:
    return EPOCH + timedelta(microseconds=microseconds)


def _rows(spill: Spill, wanted: set[int]) -> Iterable[tuple[int, dict[str, Any]]]:
    start = 0
    for batch in spill if wanted else ():
        inside = sorted(number for number in range(start, start + len(batch)) if number in wanted)
        if inside:
            part = batch.take(pa.array([number - start for number in inside])).drop_columns(["speaker"])
            moments = part.column("created_at").cast(pa.int64())
            part = part.set_column(part.schema.get_field_index("created_at"), "created_at", moments)
            yield from zip(inside, part.to_pylist(), strict=True)
        start += len(batch)
