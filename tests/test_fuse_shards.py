"""Weights become sorted safetensors files of bounded size that others read."""

import json
import shutil

import mlx.core as mx
import mlx_lm
import numpy as np

from tests.variants import logits, tensors
from twin.fuse.shards import write_weights
from twin.model import load_base


def test_weights_are_cut_into_shards_that_mlx_lm_reads(tmp_path, tiny_llama):
    folder = shutil.copytree(tiny_llama, tmp_path / "sharded")
    weights = tensors(folder)
    (folder / "model.safetensors").unlink()
    given = dict(weights)
    write_weights(folder, given, shard_bytes=20_000)
    assert given == {}
    files = sorted(path.name for path in folder.glob("model-*"))
    assert len(files) > 3
    assert files[0] == f"model-00001-of-{len(files):05}.safetensors"
    largest = max(array.nbytes for array in weights.values())
    assert all(sum(a.nbytes for a in mx.load(str(folder / name)).values()) <= max(20_000, largest) for name in files)
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    assert set(index["weight_map"]) == set(weights)
    assert all(name in mx.load(str(folder / file)) for name, file in index["weight_map"].items())
    assert index["metadata"]["total_size"] == sum(array.nbytes for array in weights.values())
    np.testing.assert_array_equal(logits(mlx_lm.load(str(folder))[0]), logits(load_base(tiny_llama).model))


def test_files_are_sorted_safetensors_of_any_type(tmp_path):
    from safetensors.numpy import load_file

    arrays = {
        "b.scalar": mx.array(3.0),
        "a.transposed": mx.arange(6, dtype=mx.float32).reshape(2, 3).T,
        "c.words": mx.array([[1, 2**31]], dtype=mx.uint32),
    }
    wanted = {name: np.array(array) for name, array in arrays.items()}
    write_weights(tmp_path, dict(arrays) | {"d.half": mx.array([1.5, -2.0], dtype=mx.bfloat16)})
    file = tmp_path / "model.safetensors"
    read = mx.load(str(file))
    assert read["d.half"].tolist() == [1.5, -2.0] and read["d.half"].dtype == mx.bfloat16
    header = json.loads(file.read_bytes()[8 : 8 + int.from_bytes(file.read_bytes()[:8], "little")])
    assert list(header) == ["__metadata__", *sorted(read)]
    write_weights(tmp_path, dict(arrays))
    for name, array in load_file(file).items():
        np.testing.assert_array_equal(array, wanted[name])
