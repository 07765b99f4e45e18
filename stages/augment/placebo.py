"""The placebo: rows with their own readings → rows with those of other replies.

Every reply that has a reading is given another one's, so the tags say as much and as often as before, of another
situation. Which one depends on the seed and the ids, and on no text.
"""

import json
from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages.augment.rows import Part, encoded, reading_json
from stages.augment.tally import Tally
from twin.errors import DataError
from twin.geometry import Reading
from twin.prompt import PromptRecipe, opening

BATCH_ROWS: Final = 1000

Readings = NDArray[np.float64]


class Deck:
    """Readings of all replies that have one, and an order of them that only seed and ids decide; 72 bytes a reply."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._readings: list[Readings] = []
        self._digests: list[bytes] = []

    def add(self, ids: Sequence[str], readings_N_S: Readings) -> None:
        """Take the readings of more replies."""
        self._digests.append(b"".join(sha256(f"{self._seed} {name}".encode()).digest()[:16] for name in ids))
        self._readings.append(readings_N_S)

    def dealt(self) -> Readings:
        """Return the reading that each reply is given, in the order in which they came: that of the next in the order.

        Raises:
            DataError: fewer than two replies have a reading.
        """
        keys_N_2 = np.frombuffer(b"".join(self._digests), dtype=">u8").reshape(-1, 2)
        if len(keys_N_2) < 2:
            raise DataError(
                f"augment.tags is shuffled, but {len(keys_N_2)} of the replies has a reading, and none can be given "
                "another's. Bring longer conversations, or set augment.tags to context."
            )
        own_N_S = np.concatenate(self._readings)
        order = np.lexsort((keys_N_2[:, 1], keys_N_2[:, 0]))
        given_N_S = np.empty_like(own_N_S)
        given_N_S[order] = own_N_S[np.roll(order, -1)]
        return given_N_S


class Batch(NamedTuple):
    """Rows as they are, and the readings for those of them that have one."""

    lines: list[bytes]
    readings_N_S: Readings


def batches(path: Path, given_N_S: Readings) -> Iterator[Batch]:
    """Yield the rows of a file of rows, with the readings they are given."""
    start = 0
    with path.open("rb") as file:
        while lines := list(islice(file, BATCH_ROWS)):
            # Inside a text the quotes would be escaped.
            stop = start + sum(b'"reading": null' not in line for line in lines)
            yield Batch(lines, given_N_S[start:stop])
            start = stop


def rewritten(batch: Batch, recipe: PromptRecipe) -> Part:
    """Write rows again with the readings they are given; cold starts stay what they are."""
    readings = [Reading(*row) for row in batch.readings_N_S.tolist()]
    rows = [json.loads(line) for line in batch.lines]
    warm = [row for row in rows if row["reading"] is not None]
    for row, reading in zip(warm, readings, strict=True):
        _give(row, reading, recipe)
    tally = Tally()
    tally.read([row["act"] for row in warm], readings)
    return Part("".join(map(encoded, rows)).encode("utf-8"), tally, [row["id"] for row in warm], batch.readings_N_S)


def _give(row: dict[str, Any], reading: Reading, recipe: PromptRecipe) -> None:
    message, tag = opening(reading, recipe)
    row["messages"][0] = message
    row["tag"], row["reading"] = tag, reading_json(reading)
