"""A fused model is base and adapter in one, the same bytes each time, and is not written where it loses the adapter."""

import errno
import hashlib
import json
import re
import shutil
from functools import partial
from pathlib import Path

import mlx.core as mx
import mlx_lm
import numpy as np
import pytest
from mlx import nn
from mlx.utils import tree_flatten
from mlx_lm.models.switch_layers import SwitchLinear
from mlx_lm.tuner.lora import LoRASwitchLinear
from typer.testing import CliRunner

from tests.conftest import make_rows
from tests.variants import (
    KEYS,
    RECIPE,
    WEAK,
    distance,
    in_4_bit_bfloat16,
    in_bfloat16,
    logits,
    make_adapter,
    mixed,
    tensors,
    variant,
)
from twin import fuse as fusing
from twin.asking.questions import protocol_questions
from twin.cli import app
from twin.config.adapter import Kind
from twin.errors import ConfigError, DataError, ModelError, StorageError
from twin.files import write_jsonl
from twin.fuse import Source, export
from twin.fuse.layers import fuse, quantization
from twin.fuse.shards import write_weights
from twin.model import load_base
from twin.protocol import protocol
from twin.reply import Speaker
from twin.tokens import encode, prompt_tokens


@pytest.fixture(scope="module")
def bases(tiny_base, tiny_llama, tiny_quantized, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bases")
    return {
        "plain": tiny_base,
        "untied": tiny_llama,
        "4 bits": tiny_quantized,
        "mixed": variant(tiny_llama, folder / "mixed", mixed),
        "bfloat16": variant(tiny_base, folder / "bfloat16", in_bfloat16),
        "4 bits bfloat16": variant(tiny_base, folder / "packed", in_4_bit_bfloat16),
    }


def contents(folder):
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}


@pytest.fixture(autouse=True)
def work(tmp_path, tmp_path_factory, monkeypatch):
    """Every test runs in a folder of its own, with four short probes."""
    monkeypatch.chdir(tmp_path)
    probes = tmp_path_factory.mktemp("split") / "valid.jsonl"
    write_jsonl(probes, make_rows(4))
    monkeypatch.setattr(fusing, "VALID", probes)


def exported(base, adapter, destination, choices, force=False):
    """Export, and return what was told."""
    told = []
    export(Source.find(adapter, None), destination, choices, force=force, tell=told.append)
    return told


# No DoRA on the mixed base: mlx-lm's DoRALinear does not count the inputs of a layer of 3 or 6 bits right.
@pytest.mark.parametrize(
    ("name", "kind"), [*((name, kind) for name in ("plain", "untied", "4 bits") for kind in Kind), ("mixed", Kind.lora)]
)
def test_a_full_fuse_is_base_and_adapter(tmp_path, bases, name, kind):
    adapter = make_adapter(tmp_path / "adapter", bases[name], kind)
    twin = logits(load_base(bases[name], adapter).model)
    exported(bases[name], adapter, tmp_path / "out", [None])
    assert distance(logits(mlx_lm.load(str(tmp_path / "out"))[0]), twin) <= 1e-5
    assert distance(logits(load_base(bases[name]).model), twin) > 1e-2
    assert "quantization" not in json.loads((tmp_path / "out/config.json").read_text())


def test_8_bits_leave_the_layers_without_adapter_byte_for_byte_and_no_layer_coarser(tmp_path, bases):
    adapter = make_adapter(tmp_path / "adapter", bases["mixed"])
    exported(bases["mixed"], adapter, tmp_path / "out", [8])
    before, after = tensors(bases["mixed"]), tensors(tmp_path / "out")
    adapted = tuple(f"{key}.{part}" for key in KEYS for part in ("weight", "scales", "biases"))
    untouched = [name for name in before if not name.endswith(adapted)]
    assert len(untouched) > 10
    assert all(mx.array_equal(before[name], after[name]) for name in untouched)
    model = mlx_lm.load(str(tmp_path / "out"))[0]
    bits = {
        path.rsplit(".", 1)[-1]: module.get("scales") is not None and module.bits
        for path, module in model.named_modules()
        if "weight" in module
    }
    assert {name: bits[name] for name in (*KEYS, "up_proj", "k_proj", "lm_head")} == {
        "q_proj": 8, "v_proj": 8, "o_proj": False, "gate_proj": 8, "down_proj": 8,
        "up_proj": 8, "k_proj": 6, "lm_head": 6,
    }  # fmt: skip


def test_fewer_bits_than_a_layer_had_are_not_taken(tmp_path, bases):
    model = load_base(bases["mixed"], make_adapter(tmp_path / "adapter", bases["mixed"])).model
    fuse(model, 4)
    layer = model.layers[0]
    assert (layer.mlp.gate_proj.bits, layer.self_attn.q_proj.bits) == (4, 6)


def test_the_config_names_no_layer_that_is_no_longer_packed(bases):
    model = load_base(bases["mixed"]).model
    stored = {"group_size": 32, "bits": 6, "model.layers.0.mlp.gone": {"group_size": 32, "bits": 3}, "other": False}
    said = quantization(model, stored)
    assert (said["bits"], said["mode"], said["other"]) == (6, "affine", False)
    assert "model.layers.0.mlp.gone" not in said
    assert said["model.layers.1.mlp.up_proj"] == {"group_size": 32, "bits": 8, "mode": "affine"}


def test_a_plain_base_is_exported_full_and_packed_whole_when_asked(tmp_path, monkeypatch, bases):
    monkeypatch.setattr(fusing, "LOST_MAX", 1.0)  # random weights suffer from 8 bits everywhere
    adapter = make_adapter(tmp_path / "adapter", bases["untied"])
    source = Source.find(adapter, None)
    assert source.choices() == [None]
    exported(bases["untied"], adapter, tmp_path / "out", [8])
    model, _, config = mlx_lm.load(str(tmp_path / "out"), return_config=True)
    assert all("scales" in module for _, module in model.named_modules() if isinstance(module, nn.Linear))
    assert config["quantization"].pop("model.layers.1.mlp.down_proj")["group_size"] == 64  # the others have 32 inputs
    assert {key: config["quantization"][key] for key in ("group_size", "bits")} == {"group_size": 32, "bits": 8}
    assert distance(logits(model), logits(load_base(bases["untied"], adapter).model)) < 0.05


@pytest.mark.parametrize("kind", Kind)
def test_half_precision_is_rounded_once_and_stays_half_precision(tmp_path, bases, kind):
    adapter = make_adapter(tmp_path / "adapter", bases["bfloat16"], kind, size=0.01)
    exact = load_base(bases["bfloat16"], adapter).model
    exact.set_dtype(mx.float32)
    fuse(exact, None)
    rounded = load_base(bases["bfloat16"], adapter).model
    fuse(rounded, None)
    for (name, fused), (_, wanted) in zip(
        tree_flatten(rounded.parameters()), tree_flatten(exact.parameters()), strict=True
    ):
        assert fused.dtype == mx.bfloat16, name
        assert mx.array_equal(fused, wanted.astype(mx.bfloat16)), name


def test_packed_layers_keep_half_precision_scales(tmp_path, bases):
    model = load_base(bases["4 bits bfloat16"], make_adapter(tmp_path / "adapter", bases["4 bits bfloat16"])).model
    fuse(model, 8)
    assert {array.dtype for _, array in tree_flatten(model.parameters())} == {mx.bfloat16, mx.uint32}


def test_experts_are_fused(tmp_path):
    class Experts(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = LoRASwitchLinear.from_base(SwitchLinear(32, 16, 4).to_quantized(32, 4), r=2, scale=2.0)
            self.layer.lora_b = mx.random.normal(self.layer.lora_b.shape, key=mx.random.key(0))

    model = Experts()
    x, chosen = mx.random.normal((3, 1, 32), key=mx.random.key(1)), mx.array([[0], [3], [2]])
    twin = model.layer(x, chosen)
    fuse(model, None)
    assert isinstance(model.layer, SwitchLinear)
    np.testing.assert_allclose(np.array(model.layer(x, chosen)), np.array(twin), rtol=1e-4, atol=1e-4)


def test_the_export_needs_neither_base_nor_adapter_and_brings_what_belongs_to_the_base(tmp_path, bases):
    base = shutil.copytree(bases["4 bits"], tmp_path / "base")
    (base / "LICENSE").write_text("free")
    (base / "generation_config.json").write_text('{"do_sample": false}')
    (base / "notes.bin").write_text("no part of a model")
    adapter = make_adapter(tmp_path / "adapter", base)
    loaded = load_base(base, adapter)
    prompt = prompt_tokens(make_rows(1)[0]["messages"][:-1], loaded.tokenizer)
    reply = Speaker(loaded).reply(prompt, 24).text
    companions = ["LICENSE", "chat_template.jinja", "generation_config.json", "tokenizer.json", "tokenizer_config.json"]
    kept = {name: (base / name).read_bytes() for name in companions} | {
        "recipe.json": (adapter / "recipe.json").read_bytes()
    }
    exported(base, adapter, tmp_path / "out", [None])
    shutil.rmtree(base)
    shutil.rmtree(adapter)
    own = {"config.json", "model.safetensors", "model.safetensors.index.json"}
    assert set(contents(tmp_path / "out")) == {*kept, *own}
    assert {name: (tmp_path / "out" / name).read_bytes() for name in kept} == kept
    alone = load_base(tmp_path / "out")
    assert prompt_tokens(make_rows(1)[0]["messages"][:-1], alone.tokenizer) == prompt
    assert Speaker(alone).reply(prompt, 24).text == reply


@pytest.mark.parametrize("place", ["models/card", "adapter"])
def test_the_export_has_the_card_of_its_run_and_keeps_the_bases_own(tmp_path, bases, place):
    base = Path(shutil.copytree(bases["plain"], tmp_path / "base"))
    (base / "README.md").write_text("the base's own")
    adapter = make_adapter(tmp_path / "adapter", base, Kind.lora)
    recipe = json.loads((adapter / "recipe.json").read_text())
    (adapter / "recipe.json").write_text(json.dumps(recipe | {"run": {"id": "r"}}))
    card = tmp_path / place / "README.md"
    card.parent.mkdir(parents=True, exist_ok=True)
    card.write_text("---\nbase_model_relation: adapter\n---\n# A twin\n\nRun `r`.\n")
    exported(base, adapter, tmp_path / "out", [None])
    assert (tmp_path / "out/README.md").read_text() == "---\nbase_model_relation: finetune\n---\n# A twin\n\nRun `r`.\n"
    assert (tmp_path / "out/README-base.md").read_text() == "the base's own"
    card.write_text("# A twin\n\nRun `another`.\n")
    exported(base, adapter, tmp_path / "again", [None])
    assert (tmp_path / "again/README.md").read_text() == "the base's own"


@pytest.mark.parametrize("choice", [None, 8])
def test_two_exports_are_the_same_bytes(tmp_path, bases, choice):
    adapter = make_adapter(tmp_path / "adapter", bases["4 bits"], Kind.dora)
    exported(bases["4 bits"], adapter, tmp_path / "one", [choice])
    exported(bases["4 bits"], adapter, tmp_path / "elsewhere/two", [choice])
    assert contents(tmp_path / "one") == contents(tmp_path / "elsewhere/two")


def test_a_4_bit_fuse_that_rounds_the_adapter_away_is_refused_and_leaves_nothing(tmp_path, bases):
    adapter = make_adapter(tmp_path / "adapter", bases["4 bits"], size=0.003)
    with pytest.raises(
        ModelError, match=r"4 bits would lose \d+\.\d% of what .* at most 10% .* Nothing was written\. Let"
    ):
        exported(bases["4 bits"], adapter, tmp_path / "out", [4])
    assert [path.name for path in tmp_path.iterdir()] == ["adapter"]


def test_where_8_bits_lose_the_adapter_the_full_model_is_taken(tmp_path, monkeypatch, bases):
    monkeypatch.setattr(fusing, "write_weights", partial(write_weights, shard_bytes=20_000))
    adapter = make_adapter(tmp_path / "adapter", bases["4 bits"], size=WEAK)
    told = exported(bases["4 bits"], adapter, tmp_path / "out", Source.find(adapter, None).choices())
    assert [line.split()[0] for line in told] == ["probes", "base", "8", "full"]
    assert "quantization" not in json.loads((tmp_path / "out/config.json").read_text())
    index = json.loads((tmp_path / "out/model.safetensors.index.json").read_text())
    assert {path.name for path in (tmp_path / "out").glob("model*.safetensors")} == set(index["weight_map"].values())


def test_where_8_bits_keep_it_they_are_taken(tmp_path, bases):
    adapter = make_adapter(tmp_path / "adapter", bases["4 bits"])
    told = exported(bases["4 bits"], adapter, tmp_path / "out", Source.find(adapter, None).choices())
    assert [line.split()[0] for line in told] == ["probes", "base", "8"]
    assert json.loads((tmp_path / "out/config.json").read_text())["quantization"]["bits"] == 4


def test_an_adapter_that_does_nothing_is_refused(tmp_path, bases):
    adapter = make_adapter(tmp_path / "adapter", bases["plain"], size=0.0)
    with pytest.raises(ModelError, match="adapter changes nothing in the base's answers"):
        exported(bases["plain"], adapter, tmp_path / "out", [None])


def test_probes_come_from_the_split_and_otherwise_from_the_protocol(tmp_path, monkeypatch, bases):
    monkeypatch.setattr(fusing, "VALID", fusing.Path("data/split/valid.jsonl"))
    adapter = make_adapter(tmp_path / "adapter", bases["plain"])
    tokenizer = load_base(bases["plain"]).tokenizer
    source = Source.find(adapter, None)
    asked = [prompt_tokens(question.messages, tokenizer) for question in protocol_questions(protocol(), RECIPE)]
    assert fusing._probes(source, tokenizer) == ("the protocol", asked)
    rows = make_rows(40)
    write_jsonl(tmp_path / "data/split/valid.jsonl", rows)
    place, prompts = fusing._probes(source, tokenizer)
    examples = [encode(row["messages"], tokenizer, row["id"]) for row in rows[:36:3]]
    assert (place, prompts) == (
        "data/split/valid.jsonl",
        [list(example.tokens[: example.prompt_tokens]) for example in examples],
    )


def test_a_full_disk_leaves_the_older_export(tmp_path, monkeypatch, bases):
    adapter = make_adapter(tmp_path / "adapter", bases["plain"])
    exported(bases["plain"], adapter, tmp_path / "out", [None])
    before = contents(tmp_path / "out")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(fusing, "write_weights", full)
    with pytest.raises(StorageError, match="out could not be written .* Free some space"):
        exported(bases["plain"], adapter, tmp_path / "out", [None], force=True)
    assert contents(tmp_path / "out") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter", "out"]


def test_a_taken_place_is_refused_and_force_replaces_exports_only(tmp_path, bases):
    base = shutil.copytree(bases["plain"], tmp_path / "models/base")
    adapter = make_adapter(tmp_path / "models/adapter", base)
    exported(base, adapter, tmp_path / "out", [None])
    with pytest.raises(DataError, match=r"out exists already\. Choose another folder\. Replace an exported model with"):
        exported(base, adapter, tmp_path / "out", [None])
    (tmp_path / "out/extra").write_text("of an older export")
    exported(base, adapter, tmp_path / "out", [None], force=True)
    assert not (tmp_path / "out/extra").exists()
    (tmp_path / "mine").mkdir()
    with pytest.raises(DataError, match=r"mine exists already\. .* --force replaces exported models only"):
        exported(base, adapter, tmp_path / "mine", [None], force=True)
    for place in (base, adapter, tmp_path / "models"):
        with pytest.raises(DataError, match="holds the base or the adapter"):
            exported(base, adapter, place, [None], force=True)


def test_another_base_and_a_missing_adapter_are_refused(tmp_path, bases):
    base = shutil.copytree(bases["plain"], tmp_path / "base")
    adapter = make_adapter(tmp_path / "adapter", base)
    (base / "tokenizer.json").write_bytes((base / "tokenizer.json").read_bytes() + b" ")
    with pytest.raises(ModelError, match=r"not the base that tiny was identified as: tokenizer\.json is another file"):
        Source.find(adapter, None)
    with pytest.raises(ModelError, match=r"base holds no adapter\. Train one with"):
        Source.find(base, None)


def test_the_command_says_what_it_measured(tmp_path, bases):
    adapter = make_adapter(tmp_path / "adapter", bases["4 bits"])
    done = CliRunner().invoke(app, ["export", "out", "--adapter", str(adapter), "--full"], catch_exceptions=False)
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["probes", "base", "full", "written"]
    assert re.search(r"0 other tokens, 4 of 4 replies the same; 0\.\d% of the adapter is lost", lines[2])
    assert (tmp_path / "out/recipe.json").exists()
    with pytest.raises(ConfigError, match="--full and --bits 8 exclude each other"):
        CliRunner().invoke(app, ["export", "other", "--bits", "8", "--full"], catch_exceptions=False)
