"""mlx-lm's side: a job → a filled gauge, through the functions that `mlx_lm.lora --config` calls, in its order.

Its own data set, batches, loss, compiled step and optimizer; the explicit settings stand where its YAML would.
"""

from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import numpy as np
from mlx_lm import load
from mlx_lm.lora import CONFIG_DEFAULTS, train_model
from mlx_lm.tuner.callbacks import TrainingCallback
from mlx_lm.tuner.datasets import load_dataset

from bench.train.gauge import Gauge, Update, arguments
from bench.train.job import Job, peer_settings


class Watch(TrainingCallback):
    """Hears of every update; mlx-lm times the update itself, not the loading of its batch."""

    def __init__(self, gauge: Gauge) -> None:
        self._gauge = gauge
        self._trained_tokens = 0

    def on_train_loss_report(self, train_info: dict[str, Any]) -> None:
        trained_tokens = train_info["trained_tokens"] - self._trained_tokens
        self._trained_tokens = train_info["trained_tokens"]
        seconds = 1 / train_info["iterations_per_second"]
        self._gauge.updates.append(Update(seconds, train_info["train_loss"], trained_tokens))


def measure(job: Job) -> Gauge:
    gauge = Gauge()
    with TemporaryDirectory() as folder:
        paths = {"model": job.base, "data": job.rows, "adapter_path": folder}
        args = SimpleNamespace(**(CONFIG_DEFAULTS | peer_settings(job) | paths))
        np.random.seed(args.seed)
        loaded: tuple[Any, ...] = load(args.model)
        model, tokenizer = loaded[:2]
        gauge.loaded()
        train_set, valid_set, _ = load_dataset(args, tokenizer)
        train_model(args, model, train_set, valid_set, Watch(gauge))
    return gauge


def main() -> None:
    job, result = arguments()
    measure(job).write(result)


if __name__ == "__main__":
    main()
