"""The files of an embedder's model: id and revision, or a folder → their place and their hashes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twin import base
from twin.errors import ModelError
from twin.files import sha256_file

MINILM = ("config.json", "model.safetensors", "tokenizer.json")
"""All that MiniLM is read from."""

NEXT = "Name the folder that has them: -S augment.embedder.folder=PATH."


def snapshot(repository: str, revision: str, *, download: bool = False) -> Path:
    """Return the local folder of a hub repository at a commit, fetching what is missing if `download`.

    Raises:
        ModelError: it is not here, or cannot be fetched.
    """
    try:
        return base.snapshot(repository, revision, download=download)
    except ModelError as error:
        reason = (str(error.__cause__).strip() or type(error.__cause__).__name__).splitlines()[0]
        move = "Check the network" if download else "Fetch it with `dvc repro augment`"
        raise ModelError(
            f"the embedder {repository} at {revision} is not on this machine ({reason}). {move}, or name a folder that "
            "has its files: -S augment.embedder.folder=PATH."
        ) from error


def hashes(folder: Path, name: str) -> dict[str, str]:
    """Return {file: sha256} of what the vectors of the embedder `name` depend on.

    Raises:
        ModelError: the folder or what every model needs is not there.
    """
    if not folder.is_dir():
        raise ModelError(f"augment.embedder: there is no folder {folder}. {NEXT}")
    files = [folder / file for file in MINILM] if name == "minilm" else base.model_files(folder)
    missing = [file.name for file in files if not file.is_file()]
    if name == "states":
        missing += [pattern for pattern in ("config.json", base.WEIGHTS, "tokenizer*") if not _any(folder, pattern)]
    if missing:
        raise ModelError(f"{folder} holds no model that can embed: {', '.join(missing)} missing. {NEXT}")
    return {file.name: sha256_file(file) for file in files}


def _any(folder: Path, pattern: str) -> bool:
    return any(file.is_file() for file in folder.glob(pattern))


def require(identity: Mapping[str, Any], folder: Path) -> None:
    """Compare the files in `folder` with those that an identity names.

    Raises:
        ModelError: every file that is missing, new or another one, at once.
    """
    named, present = identity["files"], _present(folder, identity["name"])
    wrong = [f"{file} is missing" for file in named if file not in present]
    wrong += [f"{file} is new" for file in present if file not in named]
    wrong += [f"{file} is another file" for file, seen in present.items() if named.get(file, seen) != seen]
    if wrong:
        raise ModelError(
            f"{folder} is not the embedder {identity['id']} that the adapter was trained with: {'; '.join(wrong)}. "
            "Bring those files back, or train again with `dvc repro`."
        )


def _present(folder: Path, name: str) -> dict[str, str]:
    files = [folder / file for file in MINILM] if name == "minilm" else base.model_files(folder)
    return {file.name: sha256_file(file) for file in files if file.is_file()}
