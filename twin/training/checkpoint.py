"""A run that can be killed: its state → .work/checkpoints/<key>/state.safetensors → the same run, from there on.

The state is all of a run that its inputs do not determine. Which examples make an update, what dropout drops and
the learning rate follow from the seed and the update's number, so they have none. When a state was saved never
changes what comes out. What is in a state the stage knows, which says in a `Form` how it becomes text and arrays.
"""

import fcntl
import os
import platform
import shutil
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import mlx.core as mx

from twin.errors import StorageError, TrainError
from twin.files import canonical_json, sha256_text, storing, write_with
from twin.identity import Inputs, fingerprint
from twin.progress import Progress, size_text
from twin.runlog import work_folder

# A kill costs at most this and the update in hand. The state of Qwen2.5-7B at rank 32 is 0.9 GB.
EVERY_S = 60.0
# A save that takes longer makes the pauses longer in proportion: at most a sixtieth of the time goes into saving.
SLOW_S = 1.0
FILE = "state.safetensors"
# Besides the stage's inputs: the libraries that draw, tokenise and compute.
LIBRARIES = ("mlx", "mlx-lm", "numpy", "tokenizers", "transformers")

Arrays = dict[str, mx.array]
Key = dict[str, str]


class Resumable(Protocol):
    """A run after an update."""

    @property
    def update(self) -> int:
        """Number of updates done, skipped ones included."""
        ...


S = TypeVar("S", bound=Resumable)


@dataclass(frozen=True)
class Form(Generic[S]):
    """How the state of a stage becomes one text and arrays by name, and a state again, to the bit."""

    packed: Callable[[S], tuple[str, Arrays]]
    unpacked: Callable[[str, Mapping[str, mx.array]], S]


def joined(groups: Mapping[str, Arrays]) -> Arrays:
    """Return the arrays of named groups under one name each, `group.name`."""
    return {f"{group}.{name}": array for group, named in groups.items() for name, array in named.items()}


def parted(arrays: Mapping[str, mx.array], *groups: str) -> dict[str, Arrays]:
    """Return the named groups that `joined` made `arrays` of."""
    found: dict[str, Arrays] = {group: {} for group in groups}
    for path, array in arrays.items():
        group, _, name = path.partition(".")
        found[group][name] = array
    return found


class Checkpoint(Generic[S]):
    """The file a run can go on from."""

    def __init__(self, path: Path, key: Key, form: Form[S]) -> None:
        self._path = path
        self._key = key
        self._form = form
        self._saved: int | None = None
        self._next_s = time.perf_counter() + EVERY_S

    @property
    def next_move(self) -> str:
        """What starting again comes to, as a sentence; empty if there is nothing to go on from."""
        if not self._path.exists():
            return ""
        return f"`dvc repro` goes on from {'its last state' if self._saved is None else f'update {self._saved}'}."

    def load(self, updates: int) -> S | None:
        """Return the state in the file, after one of `updates`; None if there is none of this run, or not a whole one.

        What it does with a file is said in a line.
        """
        if not self._path.exists():
            return None
        try:
            state = self._form.unpacked(*_read(self._path, self._key))
        except _UnusableError as error:
            self._path.unlink()
            Progress().keep(f"{self._path} {error}: it is deleted, and training starts from its beginning")
            return None
        self._saved = state.update
        Progress().keep(f"resumed after update {state.update} of {updates} from {self._path}")
        return state

    def due(self) -> bool:
        """Whether the last save is long enough ago."""
        return time.perf_counter() >= self._next_s

    def save(self, state: S) -> None:
        """Put `state` in the place of the last one, whole or not at all.

        Raises:
            StorageError: the disk refused; the last one is untouched.
        """
        started_s = time.perf_counter()
        text, arrays = self._form.packed(state)
        mx.eval(arrays)
        metadata = {"key": canonical_json(self._key), "state": text, "crc32": _checksum(text, arrays)}

        def write(part: Path) -> None:
            with part.open("wb") as file:
                mx.save_safetensors(file, arrays, metadata)

        try:
            write_with(self._path, write)
        except StorageError as error:
            size = size_text(sum(array.nbytes for array in arrays.values()))
            said = f"{error} The state after update {state.update} takes {size}."
            raise StorageError(error.errno, f"{said} {self.next_move or 'No earlier one was saved.'}") from error
        self._saved = state.update
        ended_s = time.perf_counter()
        self._next_s = ended_s + EVERY_S * max(1.0, (ended_s - started_s) / SLOW_S)

    def remove(self) -> None:
        """Delete the file and its folder."""
        shutil.rmtree(self._path.parent, ignore_errors=True)
        self._saved = None


class _UnusableError(Exception):
    """What is wrong with a file, as a predicate."""


def _read(path: Path, key: Key) -> tuple[str, Arrays]:
    try:
        found: tuple[Any, ...] = mx.load(str(path), format="safetensors", return_metadata=True)  # type: ignore[assignment]
        arrays, metadata = found
        mx.eval(arrays)
    except (RuntimeError, ValueError, OSError) as error:
        raise _UnusableError(f"is damaged ({error})") from error
    if metadata.get("key") != canonical_json(key):
        raise _UnusableError("is of a run with other inputs or on another machine")
    if metadata.get("crc32") != _checksum(metadata.get("state", ""), arrays):
        raise _UnusableError("is damaged (its checksum is another)")
    return metadata["state"], arrays


def _checksum(text: str, arrays: Arrays) -> str:
    """Return the CRC-32 of the text and of every name, type, shape and byte."""
    checksum = zlib.crc32(text.encode())
    for name, array in sorted(arrays.items()):
        checksum = zlib.crc32(f"{name} {array.dtype} {array.shape}".encode(), checksum)
        checksum = zlib.crc32(memoryview(array.reshape(-1).view(mx.uint8)), checksum)  # type: ignore[arg-type]
    return f"{checksum:08x}"


def run_key(inputs: Inputs) -> Key:
    """Return what decides the bytes of a run: the stage's inputs, and `machine`."""
    return {"inputs": fingerprint(inputs), **machine()}


def machine() -> Key:
    """Return how this machine computes, and with which libraries."""
    libraries = {name: version(name) for name in LIBRARIES}
    name = f"{platform.system()} {platform.machine()} {mx.default_device()}"
    return {"machine": name, "rounding": _rounding(), **libraries}


def _rounding() -> str:
    """Return a checksum of one product's last bits: another BLAS, CPU or GPU adds in another order."""
    left, right = (mx.random.normal(shape, key=mx.random.key(0)) for shape in ((33, 257), (257, 65)))
    return _checksum("", {"product": mx.softmax(left @ right)})


@contextmanager
def open_checkpoint(inputs: Inputs, form: Form[S]) -> Iterator[Checkpoint[S] | None]:
    """Yield the checkpoint of the run with these inputs; None, and a line that says so, if another process runs it.

    What an interrupted run goes on from is in the message of its KeyboardInterrupt. A run that fails for good leaves
    no checkpoint.
    """
    key = run_key(inputs)
    folder = _folder() / sha256_text(canonical_json(key))[:16]
    with storing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        handle = _lock(folder)
    if handle is None:
        Progress().keep(f"another process trains on the same inputs and keeps {folder}: this one saves no checkpoint")
        yield None
        return
    for part in folder.glob(f".{FILE}.*.part"):  # of a run that was killed while it saved
        part.unlink()
    kept = Checkpoint(folder / FILE, key, form)
    try:
        yield kept
    except TrainError:
        kept.remove()
        raise
    except KeyboardInterrupt:
        raise KeyboardInterrupt(kept.next_move) from None
    finally:
        if not (folder / FILE).exists():
            shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def _folder() -> Path:
    folder, here = work_folder() / "checkpoints", Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder


def _lock(folder: Path) -> int | None:
    """Return a handle that holds `folder` for this process until it ends, however it ends; None if it is held."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle


def leftovers() -> str:
    """Return a line that names the checkpoints of other interrupted runs and how to delete them; empty if none."""
    folders = [path.parent for path in sorted(_folder().glob(f"*/{FILE}")) if not _held(path.parent)]
    if not folders:
        return ""
    size = size_text(sum(file.stat().st_size for folder in folders for file in folder.iterdir()))
    runs = "1 interrupted run" if len(folders) == 1 else f"{len(folders)} interrupted runs"
    return f"checkpoints of {runs} with other inputs are kept, {size}. Delete: rm -r {' '.join(map(str, folders))}"


def _held(folder: Path) -> bool:
    handle = _lock(folder)
    if handle is not None:
        os.close(handle)
    return handle is None
