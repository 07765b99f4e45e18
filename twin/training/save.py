"""The adapter as files, proven: weights → models/sft/, only if mlx-lm loads it back to the same logits."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from twin.adapter import CONFIG_FILE, RECIPE_FILE, WEIGHTS_FILE
from twin.errors import TrainError
from twin.files import staged_folder, write_bytes, write_json
from twin.model import Adapter, load_base
from twin.tokens import Example

PROBES = 4
# Of the largest logit. The same weights through the same code differ by nothing; this leaves room for a device
# that does not add in one order.
TOLERANCE = 1e-4

Logits = NDArray[np.float32]


def write_adapter(
    folder: Path,
    weights: Mapping[str, mx.array],
    adapter_config: Mapping[str, Any],
    recipe: Mapping[str, Any],
    prove: Callable[[Path], None],
) -> None:
    """Write an adapter folder and put it in place once `prove` accepts it.

    The bytes depend on the weights alone: tensors in the order of their names, no metadata.
    """
    with staged_folder(folder) as part:
        arrays = {name: np.array(weights[name].astype(mx.float32)) for name in sorted(weights)}
        write_bytes(part / WEIGHTS_FILE, save(arrays))
        write_json(part / CONFIG_FILE, adapter_config)
        write_json(part / RECIPE_FILE, recipe)
        prove(part)


def probe(model: Any, examples: Sequence[Example]) -> list[Logits]:
    """Return the logits of a few examples, each (L, V)."""
    shown = [mx.array([example.tokens]) for example in examples[:PROBES]]
    return [np.array(model(tokens)[0].astype(mx.float32)) for tokens in shown]


def probe_both(model: Any, examples: Sequence[Example]) -> tuple[list[Logits], list[Logits]]:
    """Return the probes' logits with the adapter on the model and without it."""
    adapted = probe(model, examples)
    adapter = Adapter(model)
    adapter.off()
    base = probe(model, examples)
    adapter.on()
    return adapted, base


def prove_reload(
    part: Path, base_folder: Path, examples: Sequence[Example], adapted: Sequence[Logits], base: Sequence[Logits]
) -> None:
    """Load the adapter in `part` through mlx-lm and compare it with the model it was saved from.

    Raises:
        TrainError: the reloaded adapter answers differently from the trained one, or just as the base does.
    """
    reloaded = probe(load_base(base_folder, part).model, examples)
    distance = _distance(reloaded, adapted)
    if not distance <= TOLERANCE:
        raise TrainError(
            f"the saved adapter does not reproduce the trained one: logits differ by {distance:.2g} of the largest. "
            "This is a defect of the program; keep models/sft/ as it was and report the base and adapter settings."
        )
    if not _distance(reloaded, base) > 0:
        raise TrainError(
            "the trained adapter answers exactly as the base does: nothing was learned. "
            "Raise optimizer.learning_rate or train.updates."
        )


def _distance(one: Sequence[Logits], other: Sequence[Logits]) -> float:
    """Return the largest difference, as a share of the largest logit."""
    largest = max(float(np.abs(logits).max()) for logits in other)
    return max(float(np.abs(a - b).max()) for a, b in zip(one, other, strict=True)) / largest
