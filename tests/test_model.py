"""Adapters go where their keys say, come off exactly, and are refused where they do not belong."""

import mlx.core as mx
import numpy as np
import pytest

from tests.conftest import make_base
from twin.config.adapter import AdapterConfig, Kind
from twin.errors import ConfigError, ModelError
from twin.model import Adapter, adapt, attach, load_base, trainable
from twin.training.save import write_adapter

PROBE = mx.array([[5, 6, 7, 8, 9, 10]])


def config(kind=Kind.lora, keys=("q_proj", "v_proj", "down_proj"), layers=None, rank=4):
    return AdapterConfig(kind=kind, keys=list(keys), layers=layers, rank=rank, scale=2.0, dropout=0.0)


def shaken(model):
    """Give the adapter's zero matrices values, so that it does something."""
    for number, (name, array) in enumerate(sorted(trainable(model).items())):
        if name.endswith("lora_b"):
            model.load_weights([(name, mx.random.normal(array.shape, key=mx.random.key(number)) * 0.1)], strict=False)


def saved(folder, base_folder, kind):
    base = load_base(base_folder)
    written = adapt(base.model, config(kind), seed=3)
    shaken(base.model)
    write_adapter(folder, trainable(base.model), written, {}, lambda part: None)
    return np.array(base.model(PROBE))


def test_short_keys_name_layers_inside_a_block(tiny_base):
    written = adapt(load_base(tiny_base).model, config(keys=["q_proj", "mlp.gate_proj"]), seed=1)
    assert written["lora_parameters"]["keys"] == ["mlp.gate_proj", "self_attn.q_proj"]
    assert (written["num_layers"], written["alpha"], written["fine_tune_type"]) == (2, 8.0, "lora")


@pytest.mark.parametrize(("keys", "named"), [(["q_proj", "query"], "names query, which"), ([], "is empty")])
def test_keys_that_name_nothing_are_an_error_that_lists_the_layers(tiny_base, keys, named):
    with pytest.raises(ConfigError, match=rf"adapter\.keys {named}.*mlp\.down_proj, .*self_attn\.v_proj"):
        adapt(load_base(tiny_base).model, config(keys=keys), seed=1)


def test_more_layers_than_the_base_has_are_an_error(tiny_base):
    with pytest.raises(ConfigError, match=r"adapter\.layers is 3; the base has 2 blocks"):
        adapt(load_base(tiny_base).model, config(layers=3), seed=1)


def test_dora_on_bits_that_do_not_divide_a_word_is_an_error_and_lora_is_not(tmp_path):
    folder = make_base(tmp_path / "base", bits=6)
    with pytest.raises(ConfigError, match=r"adapter\.kind is dora and the base has layers of 6 bits.*adapter=lora_r32"):
        adapt(load_base(folder).model, config(Kind.dora), seed=1)
    adapt(load_base(folder).model, config(), seed=1)


def test_layers_are_counted_from_the_last(tiny_base):
    model = load_base(tiny_base).model
    adapt(model, config(layers=1), seed=1)
    assert {name.split(".")[2] for name in trainable(model)} == {"1"}


def test_only_the_adapter_is_trainable(tiny_quantized):
    model = load_base(tiny_quantized).model
    adapt(model, config(Kind.dora), seed=1)
    assert {name.rsplit(".", 1)[1] for name in trainable(model)} == {"lora_a", "lora_b", "m"}


def test_a_fresh_adapter_drops_nothing_until_training_asks(tiny_base):
    model = load_base(tiny_base).model
    adapt(model, config(), seed=1)
    assert not any(module.training for _, module in model.named_modules())


def test_initial_weights_are_a_function_of_the_seed(tiny_base):
    def first(seed):
        model = load_base(tiny_base).model
        adapt(model, config(), seed=seed)
        return {name: array.tolist() for name, array in trainable(model).items()}

    assert first(1) == first(1) != first(2)


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("base_name", ["tiny_base", "tiny_quantized", "tiny_llama"])
def test_an_adapter_switches_off_and_on_exactly(request, tmp_path, base_name, kind):
    folder = request.getfixturevalue(base_name)
    adapted = saved(tmp_path / "adapter", folder, kind)
    base = load_base(folder)
    plain = np.array(base.model(PROBE))
    adapter = attach(base, tmp_path / "adapter")
    np.testing.assert_array_equal(np.array(base.model(PROBE)), adapted)
    assert not np.array_equal(adapted, plain)
    adapter.off()
    np.testing.assert_array_equal(np.array(base.model(PROBE)), plain)
    adapter.on()
    np.testing.assert_array_equal(np.array(base.model(PROBE)), adapted)


def test_an_adapter_of_another_base_is_refused(tmp_path, tiny_base):
    saved(tmp_path / "adapter", tiny_base, Kind.lora)
    weights = dict(mx.load(str(tmp_path / "adapter/adapters.safetensors")))
    name, array = next(iter(weights.items()))
    weights[name] = mx.zeros((array.shape[0] + 1, array.shape[1]))
    mx.save_safetensors(str(tmp_path / "adapter/adapters.safetensors"), weights)
    with pytest.raises(ModelError, match="the adapter does not go onto the base"):
        attach(load_base(tiny_base), tmp_path / "adapter")


def test_a_broken_base_is_a_clear_error(tmp_path, tiny_base):
    import shutil

    broken = shutil.copytree(tiny_base, tmp_path / "broken")
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ModelError, match="broken: mlx-lm cannot load it"):
        load_base(broken)


def test_adapter_finds_every_adapted_layer(tiny_base):
    model = load_base(tiny_base).model
    adapt(model, config(keys=["q_proj", "k_proj"]), seed=1)
    before = np.array(model(PROBE))
    shaken(model)
    Adapter(model).off()
    np.testing.assert_array_equal(np.array(model(PROBE)), before)
