"""Twins that benchmarks of the server talk to: the demo's, and a wider random one made here. Servers as processes.

The wider one has the demo's tokenizer, 384 dimensions and 6 blocks in float32: 10 M parameters, 40 MB.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil

from bench.machine import preload
from tests.variants import make_adapter
from twin.config.adapter import Kind

DEMO = Path("models/demo")
WIDE = {"hidden_size": 384, "intermediate_size": 1024, "num_hidden_layers": 6, "num_attention_heads": 6,
        "num_key_value_heads": 3}  # fmt: skip
BIN = Path(sys.executable).parent
STARTED_S = 120


def make_wide(folder: Path) -> Path:
    """Write the wider base."""
    import mlx.core as mx
    from mlx.utils import tree_flatten
    from mlx_lm.models import qwen2

    shutil.copytree(DEMO, folder, ignore=shutil.ignore_patterns("*.safetensors", "README.md"))
    config = json.loads((DEMO / "config.json").read_text()) | WIDE
    for name in ("quantization", "quantization_config"):
        del config[name]
    mx.random.seed(0)
    model = qwen2.Model(qwen2.ModelArgs.from_dict(config))
    # Random weights of MLX's size repeat the last token for ever.
    weights = [(name, array * (0.5 if "embed" in name else 3.0)) for name, array in tree_flatten(model.parameters())]
    mx.save_safetensors(str(folder / "model.safetensors"), dict(weights), metadata={"format": "mlx"})
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def make_voice(folder: Path, base: Path, kind: Kind = Kind.lora) -> Path:
    """Write a random adapter for a base, with a run's name."""
    make_adapter(folder, base, kind)
    recipe = json.loads((folder / "recipe.json").read_text()) | {"run": {"id": f"bench-{folder.name}"}}
    (folder / "recipe.json").write_text(json.dumps(recipe))
    return folder


@contextmanager
def running(command: list[str], port: int) -> Iterator[tuple[str, psutil.Process]]:
    """Run a server until the block ends; yields its address and process."""
    url = f"http://127.0.0.1:{port}"
    environment = os.environ | preload()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        _await(url, process)
        yield url, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.communicate(timeout=60)


def _await(url: str, process: subprocess.Popen[str]) -> None:
    until_s = time.monotonic() + STARTED_S
    with httpx.Client(trust_env=False, timeout=5) as http:
        while time.monotonic() < until_s:
            if process.poll() is not None:
                raise SystemExit(f"{process.args}: {process.communicate()[1][-2000:]}")
            try:
                if http.get(f"{url}/health").status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.2)
    raise SystemExit(f"{process.args} did not start in {STARTED_S} s")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


def ours(adapter: Path, *more: str) -> tuple[list[str], int]:
    """Return the command of `twin serve` and its port."""
    port = free_port()
    return [str(BIN / "twin"), "serve", "--adapter", str(adapter), "--port", str(port), *more], port


def theirs(base: Path, adapter: Path) -> tuple[list[str], int]:
    """Return the command of mlx-lm's server and its port."""
    port = free_port()
    command = [str(BIN / "mlx_lm.server"), "--model", str(base), "--adapter-path", str(adapter), "--port", str(port)]
    return [*command, "--log-level", "ERROR"], port
