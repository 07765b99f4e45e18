"""The processes that share a run: each takes its part of the work, and their sums are added.

Sums are made on the CPU, one at a time, of arrays that are computed already: a GPU that waits for another process
is stopped by Metal's watchdog after five seconds (ml-explore/mlx-examples#1185), and sums under way together can
meet in another order on each rank.
"""

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any, TypeVar

import mlx.core as mx
import numpy as np
from mlx.utils import tree_flatten, tree_map_with_path

from stages.train.launch import LOST, RANK
from twin.errors import ConfigError, ProvenanceError, TrainError
from twin.files import canonical_json

# Of one sum, which is in memory twice meanwhile; sending this much takes far longer than any network's latency.
PART_BYTES = 32 * 2**20

Item = TypeVar("Item")


class Ranks:
    """This process among those of a run; without a group it is alone."""

    def __init__(self, group: mx.distributed.Group | None = None) -> None:
        self._group = group
        self.rank = 0 if group is None else group.rank()
        self.size = 1 if group is None else group.size()

    def share(self, items: Sequence[Item]) -> list[tuple[int, Item]]:
        """Return this rank's part of the items, each with its number among all of them."""
        return list(enumerate(items))[self.rank :: self.size]

    def total(self, tree: Any) -> Any:
        """Return the sum of all ranks' trees of arrays, which differ in nothing but values."""
        if self._group is None:
            return tree
        mx.eval(tree)
        summed: dict[str, mx.array] = {}
        with mx.stream(mx.cpu):
            for part in _parts(dict(tree_flatten(tree))):
                total = self._sum(mx.concatenate([array.reshape(-1) for _, array in part]))
                ends = np.cumsum([array.size for _, array in part])[:-1].tolist()
                for (name, array), piece in zip(part, mx.split(total, ends), strict=True):
                    summed[name] = piece.reshape(array.shape)
            mx.eval(summed)
        return tree_map_with_path(lambda name, _: summed[name or ""], tree)

    def _sum(self, array: mx.array) -> mx.array:
        mx.eval(array)
        try:
            total = mx.distributed.all_sum(array, group=self._group)
            mx.eval(total)
        except RuntimeError as error:
            # No error of this rank: the one that ended has said why, and the run can go on from its checkpoint.
            print(f"train: rank {self.rank} ends because another did: {error}", file=sys.stderr)
            raise SystemExit(LOST) from error
        return total

    def wait(self) -> None:
        """Return when every rank has come here."""
        self.total(mx.array(0))

    def said(self, rank: int, data: bytes) -> bytes:
        """Return what `rank` passes, whatever the others do."""
        mine = data if self.rank == rank else b""
        size = int(self.total(mx.array(len(mine), dtype=mx.int64)).item())
        padded = np.frombuffer(mine.ljust(size, b"\0"), dtype=np.uint8)
        return bytes(np.array(self.total(mx.array(padded))))

    def broadcast(self, text: str, arrays: Mapping[str, mx.array]) -> tuple[str, dict[str, mx.array]]:
        """Return rank 0's text and arrays bit for bit, whatever the others pass."""
        kinds = {name: (str(array.dtype).rpartition(".")[2], array.shape) for name, array in arrays.items()}
        text, kinds = json.loads(self.said(0, json.dumps([text, kinds]).encode()))
        zeros = {name: mx.zeros(shape, getattr(mx, kind)) for name, (kind, shape) in kinds.items()}
        # As bytes: adding a zero would make -0.0 another number.
        own = {name: array.reshape(-1).view(mx.uint8) for name, array in (zeros if self.rank else arrays).items()}
        sent = self.total(own)
        return text, {name: sent[name].view(zero.dtype).reshape(zero.shape) for name, zero in zeros.items()}

    def agree(self, inputs: Mapping[str, object]) -> None:
        """Make sure that all ranks train the same.

        Raises:
            ProvenanceError: another rank has other inputs, on every rank.
        """
        text = canonical_json({**inputs, "mlx": version("mlx")}).encode()
        first, *others = [json.loads(self.said(rank, text)) for rank in range(self.size)]
        for rank, other in enumerate(others, 1):
            differ = sorted(name for name in first.keys() | other.keys() if first.get(name) != other.get(name))
            if differ:
                raise ProvenanceError(
                    f"rank {rank} has other inputs than rank 0: {', '.join(differ)}. Every machine needs the same "
                    "commit, params.yaml and data at the same path: copy the folder from the first one and run again."
                )


ALONE = Ranks()


def _parts(leaves: Mapping[str, mx.array]) -> Iterator[list[tuple[str, mx.array]]]:
    """Yield the leaves in groups of one type and of at most PART_BYTES; one that is larger is a group of its own."""
    part: list[tuple[str, mx.array]] = []
    for name, array in sorted(leaves.items(), key=lambda leaf: str(leaf[1].dtype)):
        size_bytes = sum(other.nbytes for _, other in part) + array.nbytes
        if part and (part[0][1].dtype != array.dtype or size_bytes > PART_BYTES):
            yield part
            part = []
        part.append((name, array))
    if part:
        yield part


def join(size: int) -> Ranks:
    """Return this process among the `size` of a run; it is alone unless it was started as a rank.

    Raises:
        TrainError: the others cannot be reached.
        ConfigError: there are more or fewer of them.
    """
    if RANK not in os.environ:
        return Ranks()
    try:
        backend = "jaccl" if "MLX_IBV_DEVICES" in os.environ else "ring"
        group = mx.distributed.init(strict=True, backend=backend)
    except RuntimeError as error:
        raise TrainError(
            f"rank {os.environ[RANK]} did not reach the others: {error}. Check the addresses in the hostfile and that "
            "no firewall lies between them."
        ) from error
    if group.size() != size:
        raise ConfigError(f"train.ranks is {size}, and {group.size()} ranks were started. Run with as many.")
    return Ranks(group)
