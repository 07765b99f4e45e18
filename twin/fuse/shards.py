"""Weights as files: named arrays → model*.safetensors and their index, one array in memory at a time.

mlx-lm's own writer evaluates a shard of 5 GB at once and leaves the order of the tensors to a hash table. Here each
array is worked out, written and forgotten, in the order of the names.

Source: the safetensors format, https://huggingface.co/docs/safetensors.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import mlx.core as mx

from twin.files import write_json

INDEX = "model.safetensors.index.json"
SHARD_BYTES = 5 * 10**9  # what hubs ask for; also mlx-lm's limit, counted in powers of ten
TYPES = {
    mx.bool_: "BOOL", mx.uint8: "U8", mx.uint16: "U16", mx.uint32: "U32", mx.uint64: "U64",
    mx.int8: "I8", mx.int16: "I16", mx.int32: "I32", mx.int64: "I64",
    mx.float16: "F16", mx.bfloat16: "BF16", mx.float32: "F32", mx.float64: "F64",
}  # fmt: skip


def write_weights(folder: Path, arrays: dict[str, mx.array], shard_bytes: int = SHARD_BYTES) -> None:
    """Write `arrays`, which is emptied on the way, and their index."""
    total_bytes = sum(array.nbytes for array in arrays.values())
    shards = _shards(arrays, shard_bytes)
    places: dict[str, str] = {}
    for number, names in enumerate(shards, 1):
        file = f"model-{number:05}-of-{len(shards):05}.safetensors" if len(shards) > 1 else "model.safetensors"
        places |= dict.fromkeys(names, file)
        with (folder / file).open("wb") as stream:
            _write_shard(stream, names, arrays)
    write_json(folder / INDEX, {"metadata": {"total_size": total_bytes}, "weight_map": places})


def _shards(arrays: dict[str, mx.array], shard_bytes: int) -> list[list[str]]:
    shards: list[list[str]] = [[]]
    filled = 0
    for name in sorted(arrays):
        if shards[-1] and filled + arrays[name].nbytes > shard_bytes:
            shards.append([])
            filled = 0
        shards[-1].append(name)
        filled += arrays[name].nbytes
    return shards


def _write_shard(stream: BinaryIO, names: Sequence[str], arrays: dict[str, mx.array]) -> None:
    header: dict[str, object] = {"__metadata__": {"format": "mlx"}}
    end = 0
    for name in names:
        array = arrays[name]
        start, end = end, end + array.nbytes
        header[name] = {"dtype": TYPES[array.dtype], "shape": list(array.shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    stream.write(len(text).to_bytes(8, "little") + text)
    for name in names:
        # Popped: the last reference, so that its memory serves the next array.
        data: Any = arrays.pop(name).reshape(-1).view(mx.uint8)
        stream.write(memoryview(data))
