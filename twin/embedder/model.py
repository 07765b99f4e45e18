"""A model as an embedder: texts → what the cache has, and the rest from the model."""

import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from twin.embedder.batches import Encoder, Vector, encode
from twin.embedder.cache import Cache, key
from twin.progress import Eta, Progress

PATIENCE_S = 3.0
"""Before progress is shown."""
STORE_S = 2.0
"""Between two writes to the cache: what a kill costs."""


class ModelEmbedder:
    """An encoder, with or without a cache."""

    def __init__(self, identity: Mapping[str, Any], encoder: Encoder, cache: Cache | None = None) -> None:
        self.identity, self._encoder, self._cache = identity, encoder, cache
        # Another MLX or device rounds differently: its vectors are others.
        self._maker = f"mlx {version('mlx')} {mx.default_device()}"

    def embed(self, texts: Sequence[str], progress: Progress | None = None) -> NDArray[np.float64]:
        """Return one row a text, shape (N, D); 0 where a text has no token. Many texts at once are read faster."""
        keys = [key(self._maker, text) for text in texts]
        place = {name: index for index, name in enumerate(keys)}
        known = self._cache.get(list(place), self._encoder.width) if self._cache else {}
        missing = [name for name in place if name not in known]
        known |= self._read(missing, [texts[place[name]] for name in missing], progress or Progress())
        rows = [known[name] for name in keys]
        return np.array(rows, np.float64).reshape(len(rows), self._encoder.width)

    def _read(self, keys: Sequence[bytes], texts: Sequence[str], progress: Progress) -> dict[bytes, Vector]:
        made: dict[bytes, Vector] = {}
        waiting: dict[bytes, Vector] = {}
        teller = _Teller(len(texts), str(self.identity["id"]), progress)
        stored_s = time.monotonic()
        for finished in encode(self._encoder, texts):
            waiting |= {keys[index]: vector for index, vector in finished}
            if time.monotonic() - stored_s > STORE_S:
                made |= self._stored(waiting)
                waiting, stored_s = {}, time.monotonic()
            teller.tell(len(made) + len(waiting))
        teller.end()
        return made | self._stored(waiting)

    def _stored(self, vectors: dict[bytes, Vector]) -> dict[bytes, Vector]:
        if self._cache:
            self._cache.put(vectors)
        return vectors


class _Teller:
    """Says how far it has come, once it takes longer than a person waits without asking."""

    def __init__(self, total: int, name: str, progress: Progress) -> None:
        self._total, self._name, self._progress = total, name, progress
        self._eta, self._started_s = Eta(total), time.monotonic()

    def tell(self, done: int) -> None:
        if done and self._late():
            self._progress.show(f"states {done}/{self._total} by {self._name}  {self._eta.left(done)} left")

    def end(self) -> None:
        if self._total and self._late():
            self._progress.keep(f"states of {self._total} texts by {self._name}")

    def _late(self) -> bool:
        return time.monotonic() - self._started_s >= PATIENCE_S
