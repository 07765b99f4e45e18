"""Adapters and bases are mlx-lm's: its own commands take what we train, we take what it saves, to the same logits."""

import json
import os
import subprocess
import sys
import urllib.request

import mlx.core as mx
import mlx_lm
import numpy as np
import pytest
from mlx.utils import tree_flatten
from mlx_lm.tuner.utils import linear_to_lora_layers

from stages import train as stage
from tests.conftest import make_rows
from twin.config.adapter import AdapterConfig, Kind
from twin.config.optimizer import OptimizerConfig
from twin.config.train import TrainConfig
from twin.model import attach, load_base
from twin.reply import Speaker
from twin.tokens import prompt_tokens
from twin.training.save import write_adapter

ROWS = {"train": make_rows(40), "valid": make_rows(6, seed=1)}
SETTINGS = {
    kind: stage.Settings(
        AdapterConfig(kind, ["q_proj", "v_proj", "o_proj", "gate_proj", "down_proj"], None, 8, 2.0, 0.0),
        OptimizerConfig(learning_rate=2e-2, weight_decay=0.01, warmup=0.05, final=0.01, clip=0.3),
        TrainConfig(
            updates=30, batch=8, accumulate=1, packing=False, ranks=1, max_tokens=160, checkpointing=False,
            validate_every=30, validate_examples=6, patience=4, min_delta=0.001, learn_by=None, seed=17,
        ),
    )
    for kind in Kind
}  # fmt: skip
BASES = ("tiny_base", "tiny_llama", "tiny_quantized")
PROBE = mx.array([[5, 6, 7, 8, 9, 10, 11, 12]])
SYSTEM, USER = "You are Sam.", "the deploy and the cache"
MESSAGES = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": USER}]
REPLY_TOKENS = 12


@pytest.fixture(
    scope="module",
    params=[(base, kind) for base in BASES for kind in Kind],
    ids=lambda pair: f"{pair[0]}-{pair[1].value}",
)
def pair(request, tmp_path_factory):
    """A base, an adapter that our stage trained on it, and the logits it had there for one example."""
    name, kind = request.param
    base = request.getfixturevalue(name)
    trained = stage.train(base, ROWS, SETTINGS[kind])
    folder = tmp_path_factory.mktemp("adapter") / "sft"
    write_adapter(folder, trained.weights, trained.adapter_config, {"version": 1}, lambda part: None)
    return base, folder, mx.array([trained.encoded["valid"].examples[0].tokens]), trained.adapted_logits[0]


def logits(model, tokens=PROBE):
    return np.array(model(tokens)[0].astype(mx.float32))


def distance(one, other):
    """Return the largest difference as a share of the largest logit."""
    return float(np.abs(one - other).max() / np.abs(other).max())


def ours(base, adapter=None):
    """Return our model's logits and its greedy reply."""
    loaded = load_base(base)
    if adapter is not None:
        attach(loaded, adapter)
    return logits(loaded.model), Speaker(loaded).reply(prompt_tokens(MESSAGES, loaded.tokenizer), REPLY_TOKENS).text


def command(monkeypatch, name, *arguments):
    """Run an mlx-lm command in this process."""
    from importlib import import_module

    monkeypatch.setattr(sys, "argv", [f"mlx_lm.{name}", *map(str, arguments)])
    import_module(f"mlx_lm.{name}").main()


def test_mlx_lm_load_gives_the_logits_of_training(pair):
    base, adapter, tokens, trained = pair
    assert distance(logits(mlx_lm.load(str(base), adapter_path=str(adapter))[0], tokens), trained) <= 1e-5
    assert distance(logits(mlx_lm.load(str(base))[0], tokens), trained) > 1e-2


def test_mlx_lm_generate_gives_our_reply(monkeypatch, capsys, pair):
    base, adapter, *_ = pair
    _, reply = ours(base, adapter)
    command(
        monkeypatch, "generate", "--model", base, "--adapter-path", adapter, "--system-prompt", SYSTEM,
        "--prompt", USER, "--max-tokens", REPLY_TOKENS, "--temp", 0, "--verbose", "false",
    )  # fmt: skip
    assert capsys.readouterr().out.splitlines()[-1] == reply
    assert reply.startswith("ship it")
    assert reply != ours(base)[1]


def test_mlx_lm_fuse_takes_our_adapter(monkeypatch, tmp_path, pair):
    base, adapter, tokens, trained = pair
    command(
        monkeypatch, "fuse", "--model", base, "--adapter-path", adapter, "--save-path", tmp_path / "out", "--dequantize"
    )
    assert distance(logits(mlx_lm.load(str(tmp_path / "out"))[0], tokens), trained) <= 1e-4


@pytest.mark.parametrize("keys", [["self_attn.q_proj", "mlp.down_proj"], None], ids=["some", "all"])
@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("base_name", BASES)
def test_an_adapter_that_mlx_lm_saved_gives_its_logits_here(request, tmp_path, base_name, kind, keys):
    base = request.getfixturevalue(base_name)
    theirs = mlx_lm.load(str(base))[0]
    parameters = {"rank": 8, "dropout": 0.0, "scale": 20.0} | ({} if keys is None else {"keys": keys})
    theirs.freeze()
    linear_to_lora_layers(theirs, 1, parameters, use_dora=kind is Kind.dora)
    theirs.eval()
    for number, (name, array) in enumerate(sorted(tree_flatten(theirs.trainable_parameters()))):
        moved = array + mx.random.normal(array.shape, key=mx.random.key(number)) * 0.02
        theirs.load_weights([(name, moved)], strict=False)
    # As its trainer writes them; the config also holds every other argument of the run.
    mx.save_safetensors(str(tmp_path / "adapters.safetensors"), dict(tree_flatten(theirs.trainable_parameters())))
    arguments = {"fine_tune_type": kind.value, "num_layers": 1, "lora_parameters": parameters, "iters": 5, "lr": 1e-5}
    (tmp_path / "adapter_config.json").write_text(json.dumps(arguments))
    assert distance(ours(base, tmp_path)[0], logits(theirs)) <= 1e-5
    assert distance(ours(base)[0], logits(theirs)) > 1e-3


class Server:
    """`mlx_lm.server` as a process of its own, on a free port of the loopback."""

    def __init__(self, *arguments):
        import socket

        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        command = [sys.executable, "-m", "mlx_lm", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        self.process = subprocess.Popen(
            [*command, *map(str, arguments)],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            env=os.environ | {"HF_HUB_OFFLINE": "1"},
        )

    def __enter__(self):
        said = []
        for line in self.process.stderr:
            said.append(line)
            if "Starting httpd" in line:
                return self
        raise AssertionError("".join(said))

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stderr.close()

    def chat(self, messages):
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/v1/chat/completions",
            json.dumps({"messages": messages, "max_tokens": REPLY_TOKENS, "temperature": 0}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["choices"][0]["message"]["content"]


@pytest.mark.parametrize("pair", [("tiny_quantized", Kind.dora)], indirect=True, ids=["tiny_quantized-dora"])
def test_mlx_lm_server_answers_with_our_adapter(pair):
    base, adapter, *_ = pair
    with Server("--model", base, "--adapter-path", adapter) as server:
        reply = server.chat(MESSAGES)
    assert reply == ours(base, adapter)[1]
    assert reply != ours(base)[1]
