"""A model is counted from its config.json exactly, without loading it: parameters, bytes and adapter sizes."""

import json
from pathlib import Path

import mlx.core as mx
import pytest
from mlx.utils import tree_flatten

from bench.arrays import held_bytes
from tests.conftest import make_base
from twin.config.adapter import AdapterConfig, Kind
from twin.errors import ModelError
from twin.model import adapt, load_base, trainable
from twin.plan.shape import make_shape, read_shape, shipped_shape, shipped_shapes

FIVE = ("q_proj", "v_proj", "o_proj", "gate_proj", "down_proj")
CONFIG = {
    "model_type": "qwen2", "hidden_size": 128, "num_hidden_layers": 2, "intermediate_size": 192,
    "num_attention_heads": 2, "num_key_value_heads": 1, "rms_norm_eps": 1e-6, "vocab_size": 320,
    "tie_word_embeddings": True, "torch_dtype": "bfloat16",
}  # fmt: skip


def adapter_parameters(shape, rank, keys=FIVE, *, magnitude=False):
    layers = [layer for block in shape.blocks for layer in block if layer.path.split(".")[-1] in keys]
    return sum(layer.adapter_parameters(rank, magnitude=magnitude) for layer in layers)


# The totals are those of the model cards of Qwen2.5.
@pytest.mark.parametrize(
    ("name", "parameters", "adapter"),
    [
        ("qwen2.5-0.5b", 494_032_768, 12_386_304),
        ("qwen2.5-1.5b", 1_543_714_304, 25_919_488),
        ("qwen2.5-3b", 3_085_938_688, 42_172_416),
        ("qwen2.5-7b", 7_615_616_512, 56_885_248),
    ],
)
def test_shipped_shapes_have_the_published_number_of_parameters(name, parameters, adapter):
    shape = shipped_shape(name)
    assert shape.parameters == parameters
    assert adapter_parameters(shape, 32) == adapter
    assert (shape.activation_bytes, shape.context_tokens) == (2, 32768)


def test_every_shipped_shape_is_named():
    assert shipped_shapes() == ["qwen2.5-0.5b", "qwen2.5-1.5b", "qwen2.5-3b", "qwen2.5-7b"]


def test_counting_seven_billion_weights_allocates_next_to_nothing():
    before_bytes = held_bytes()
    assert shipped_shape("qwen2.5-7b").weight_bytes > 4e9
    assert mx.get_peak_memory() - before_bytes < 2**20


def test_a_tied_head_is_counted_once():
    tied, untied = (make_shape(CONFIG | {"tie_word_embeddings": value}, "m") for value in (True, False))
    assert untied.parameters - tied.parameters == 320 * 128
    assert untied.weight_bytes - tied.weight_bytes == 320 * 128 * 2


def test_widths_are_not_those_of_packed_words():
    whole, packed = (make_shape(CONFIG | more, "m") for more in ({}, {"quantization": {"group_size": 64, "bits": 4}}))
    assert packed.parameters == whole.parameters
    assert (packed.hidden, packed.intermediate, packed.vocabulary) == (128, 192, 320)
    assert [(layer.inputs, layer.outputs) for layer in packed.blocks[0]] == [
        (layer.inputs, layer.outputs) for layer in whole.blocks[0]
    ]
    assert all(layer.quantized for layer in packed.blocks[0])
    assert not any(layer.quantized for layer in whole.blocks[0])


def test_a_layer_keeps_the_bits_that_the_config_gives_it_alone():
    settings = {"group_size": 64, "bits": 4}
    path = "model.layers.0.mlp.down_proj"
    same = make_shape(CONFIG | {"quantization": settings}, "m")
    wider = make_shape(CONFIG | {"quantization": settings | {path: {"group_size": 64, "bits": 8}}}, "m")
    whole = make_shape(CONFIG | {"quantization": settings | {path: False}}, "m")
    assert wider.weight_bytes - same.weight_bytes == 128 * 192 // 2
    assert [layer.path for layer in whole.blocks[0] if not layer.quantized] == ["mlp.down_proj"]
    assert same.parameters == wider.parameters == whole.parameters


@pytest.mark.parametrize("fixture", ["tiny_base", "tiny_llama", "tiny_quantized"])
def test_the_count_is_that_of_the_loaded_model(fixture, request):
    folder: Path = request.getfixturevalue(fixture)
    arrays = dict(tree_flatten(load_base(folder).model.parameters())).values()
    config = json.loads((folder / "config.json").read_text()) | {"torch_dtype": "float32"}
    shape = make_shape(config, "m")
    assert shape.weight_bytes == sum(array.nbytes for array in arrays)
    assert shape.activation_bytes == 4


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("fixture", ["tiny_base", "tiny_quantized"])
def test_adapter_parameters_are_those_that_training_makes(fixture, kind, request):
    folder = request.getfixturevalue(fixture)
    base = load_base(folder)
    adapt(base.model, AdapterConfig(kind, list(FIVE), None, 4, 2.0, 0.0), seed=1)
    made = sum(array.size for array in trainable(base.model).values())
    assert adapter_parameters(read_shape(folder), 4, magnitude=kind is Kind.dora) == made


def test_weight_files_are_believed_before_the_count(tmp_path):
    folder = make_base(tmp_path / "base")
    assert read_shape(folder).weight_bytes == (folder / "model.safetensors").stat().st_size
    (folder / "model.safetensors").unlink()
    assert read_shape(folder).weight_bytes == 2 * read_shape(folder).parameters  # bfloat16 where no type is named


def test_a_folder_without_config_is_refused(tmp_path):
    with pytest.raises(ModelError, match="has no config.json; an MLX model folder has one beside its weights"):
        read_shape(tmp_path)


@pytest.mark.parametrize(
    ("config", "match"),
    [
        ({"model_type": "nonsense"}, 'm: mlx-lm cannot build a model of type "nonsense" from config.json'),
        ({"model_type": "qwen2"}, 'm: mlx-lm cannot build a model of type "qwen2" from config.json: .*hidden_size'),
        ({}, "m: mlx-lm cannot build a model of type null from config.json"),
    ],
)
def test_a_config_that_describes_no_model_is_refused(config, match):
    with pytest.raises(ModelError, match=match):
        make_shape(config, "m")
