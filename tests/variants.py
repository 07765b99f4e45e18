"""What the tests of fusing share: bases of other precisions, random adapters with a recipe, logits."""

import json
import shutil

import mlx.core as mx
import mlx_lm
import numpy as np
from mlx import nn
from mlx.utils import tree_flatten

from tests.test_prompt import CONFIG
from twin.base import identify
from twin.config.adapter import AdapterConfig, Kind
from twin.model import adapt, load_base, trainable
from twin.prompt import PromptRecipe
from twin.training.save import write_adapter

KEYS = ["q_proj", "v_proj", "o_proj", "gate_proj", "down_proj"]
RECIPE = PromptRecipe.from_config(CONFIG)
PROBE = mx.array([[5, 6, 7, 8, 9, 10, 11, 12]])
STRONG, WEAK = 0.1, 1e-4


def saved(folder, model, config):
    """Write a model beside the tokenizer that `folder` already has."""
    mx.save_safetensors(str(folder / "model.safetensors"), dict(tree_flatten(model.parameters())), {"format": "mlx"})
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def variant(base, folder, change):
    """Copy a base, its model and config changed."""
    shutil.copytree(base, folder)
    model, _, config = mlx_lm.load(str(base), return_config=True)
    change(model, config)
    return saved(folder, model, config)


def in_bfloat16(model, config):
    model.set_dtype(mx.bfloat16)


def in_4_bit_bfloat16(model, config):
    model.set_dtype(mx.bfloat16)
    nn.quantize(model, 32, 4)
    config["quantization"] = {"group_size": 32, "bits": 4}


def mixed(model, config):
    """Pack most layers with 6 bits, some with 3 or 8, and leave some as they are."""
    config["quantization"] = {"group_size": 32, "bits": 6}

    def packing(path, module):
        name = path.rsplit(".", 1)[-1]
        if name == "o_proj" or not hasattr(module, "to_quantized"):
            return False
        special = {"gate_proj": 3, "up_proj": 8}
        if name not in special:
            return True
        config["quantization"][path] = {"group_size": 32, "bits": special[name]}
        return config["quantization"][path]

    nn.quantize(model, 32, 6, class_predicate=packing)


def make_adapter(folder, base, kind=Kind.lora, size=STRONG):
    """Write an adapter that changes the base's weights by about `size`, with its recipe."""
    model = load_base(base).model
    written = adapt(model, AdapterConfig(kind, KEYS, None, 4, 2.0, 0.0), seed=3)
    weights = trainable(model)
    for number, (name, array) in enumerate(sorted(weights.items())):
        if name.endswith("lora_b"):
            weights[name] = mx.random.normal(array.shape, key=mx.random.key(number)) * size
    place = {"id": "tiny", "kind": "folder", "folder": str(base), "revision": None}
    recipe = {"base": identify(base, place), "prompt": RECIPE.to_json(), "max_tokens": 400}
    write_adapter(folder, weights, written, recipe, lambda part: None)
    return folder


def logits(model):
    return np.array(model(PROBE)[0].astype(mx.float32))


def distance(one, other):
    """Return the largest difference as a share of the largest logit."""
    return float(np.abs(one - other).max() / np.abs(other).max())


def tensors(folder):
    return {name: array for file in folder.glob("model*.safetensors") for name, array in mx.load(str(file)).items()}
