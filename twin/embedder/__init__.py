"""Embedders: texts → one state vector each, the steps of the path that `twin.geometry` reads.

An embedder is named by its identity, a small dict that travels in the recipe: the same identity gives the
same vectors. A model is read only when its embedder is made, and MLX with it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from twin.config.embedder import Embedder as Kind
from twin.config.embedder import EmbedderConfig
from twin.embedder.hashing import HASHING_VERSION, HashingEmbedder
from twin.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from twin.embedder.batches import Encoder

FloatArray = NDArray[np.float64]
Identity = Mapping[str, Any]

VERSIONS = {"hashing": HASHING_VERSION, "minilm": 1, "states": 1}
"""Of each embedder's code; counts up whenever the vector of any text changes."""

KEYS = {"name", "version", "id", "revision", "files", "tokens_max", "pooling"}
"""Of a model embedder's identity."""


class Embedder(Protocol):
    """What makes states of texts."""

    @property
    def identity(self) -> Identity:
        """Everything that decides the vectors; JSON values."""

    def embed(self, texts: Sequence[str]) -> FloatArray:
        """Return one float64 row a text, shape (N, D); a text's row does not depend on the others."""


def embedder(config: EmbedderConfig) -> Embedder:
    """Make the embedder that params.yaml asks for, fetching its model if it is the hub's and not here yet.

    A model's vectors are kept in `.work/states/`.

    Raises:
        ModelError: the model is not to be had or not usable.
    """
    if config.kind is Kind.hashing:
        return restore(identity(config))
    from twin.embedder.cache import Cache, keep
    from twin.embedder.model import ModelEmbedder

    folder = _folder(config, download=True)
    named = _identity(config, folder)
    return ModelEmbedder(named, _encoder(named, folder), Cache(keep(named)))


def identity(config: EmbedderConfig) -> Identity:
    """Name the embedder that params.yaml asks for.

    Raises:
        ModelError: the model's files, whose hashes are in its name, are not on this machine.
    """
    if config.kind is Kind.hashing:
        return {"name": "hashing", "dimensions": config.dimensions, "version": HASHING_VERSION}
    return _identity(config, _folder(config, download=False))


def restore(identity: Identity, folder: str | None = None) -> Embedder:
    """Make the embedder that a recipe names; nothing is fetched, and what it reads leaves no trace on the disk.

    Args:
        identity: of an embedder.
        folder: where the model's files are, if they did not come from the hub.

    Raises:
        ConfigError: `folder` is needed and missing.
        ModelError: no embedder of this version of the program has that identity, or the files are others.
    """
    _require_known(identity)
    if identity["name"] == "hashing":
        return HashingEmbedder(identity["dimensions"])
    from twin.embedder import files
    from twin.embedder.model import ModelEmbedder

    if folder is None and identity["revision"] is None:
        raise ConfigError(
            f"the embedder {identity['id']} was read from a folder, which a recipe does not name. "
            "Name it: augment.embedder.folder."
        )
    place = Path(folder).expanduser() if folder else files.snapshot(identity["id"], identity["revision"])
    files.require(identity, place)
    return ModelEmbedder(identity, _encoder(identity, place))


def _folder(config: EmbedderConfig, *, download: bool) -> Path:
    from twin.embedder import files

    if config.folder is not None:
        return Path(config.folder).expanduser()
    return files.snapshot(str(config.id), str(config.revision), download=download)


def _identity(config: EmbedderConfig, folder: Path) -> Identity:
    from twin.embedder import files

    return {
        "name": config.kind.value,
        "version": VERSIONS[config.kind.value],
        "id": config.id,
        "revision": None if config.folder else config.revision,
        "files": files.hashes(folder, config.kind.value),
        "tokens_max": config.tokens_max,
        "pooling": "mean",
    }


def _encoder(identity: Identity, folder: Path) -> "Encoder":
    if identity["name"] == "minilm":
        from twin.embedder.bert import MiniLM

        return MiniLM(folder, identity["tokens_max"])
    from twin.embedder.states import States

    return States(folder, identity["tokens_max"])


def _require_known(identity: Identity) -> None:
    name, version = identity.get("name"), identity.get("version")
    needed = {"name", "dimensions", "version"} if name == "hashing" else KEYS
    size = identity.get("dimensions" if name == "hashing" else "tokens_max")
    if name in VERSIONS and (set(identity) != needed or not isinstance(size, int) or size < 1):
        raise ModelError(f"embedder {dict(identity)}: {', '.join(sorted(needed))} are needed. Train the adapter again.")
    if VERSIONS.get(str(name)) != version or identity.get("pooling", "mean") != "mean":
        known = ", ".join(f"{known} of version {number}" for known, number in VERSIONS.items())
        raise ModelError(
            f"embedder {name} of version {version} is not known; this program has {known}. "
            "Use the version that trained the adapter, or train again."
        )
