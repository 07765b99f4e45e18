"""Aligns the trained adapter: models/sft/, data/prefer/pairs.jsonl → models/adapter/, which everything after it reads.

Method `none` passes the adapter through; `dpo` goes on training it on pairs of replies (`stages/align/dpo.py`). The
recipe gets the run's id and the inputs it is computed from, so that whatever reads the adapter can name the run.
"""

import shutil
from pathlib import Path
from typing import Any

from stages.align.columns import HEADER
from twin.adapter import CONFIG_FILE, RECIPE_FILE, WEIGHTS_FILE
from twin.config.align import AlignConfig, Method
from twin.config.load import load
from twin.config.memory import MemoryConfig
from twin.config.model import ModelConfig
from twin.errors import DataError
from twin.files import read_json, restore, staged_folder, write_json, write_text
from twin.identity import Inputs, run_id, stage_inputs

IN = Path("models/sft")
OUT = Path("models/adapter")
METRICS = Path("metrics/align.json")
CURVES = Path("metrics/align.csv")


def recipe(source: Path, inputs: Inputs) -> dict[str, Any]:
    """Return the trained adapter's recipe with the run's id; `inputs` are those of this stage."""
    trained: dict[str, Any] = read_json(source / RECIPE_FILE)
    run_inputs = {"train": trained["run"]["inputs"]["train"], "align": inputs}
    return trained | {"run": {"id": run_id(run_inputs), "inputs": run_inputs}}


def passed_through(source: Path, target: Path, inputs: Inputs) -> None:
    """Write the trained adapter to `target` as it is, whole or not at all.

    Raises:
        DataError: a file of the trained adapter is missing.
    """
    with staged_folder(target) as part:
        for name in (WEIGHTS_FILE, CONFIG_FILE):
            if not (source / name).exists():
                raise DataError(f"{source / name} is missing. {restore(source)}")
            shutil.copyfile(source / name, part / name)
        write_json(part / RECIPE_FILE, recipe(source, inputs))


def main() -> None:
    """Align the trained adapter."""
    inputs, config = stage_inputs("align"), load(AlignConfig)
    if config.method is Method.none:
        passed_through(IN, OUT, inputs)
        write_json(METRICS, {"method": config.method.value})
        write_text(CURVES, HEADER)
        return
    from stages.align.dpo import run

    metrics, curves = run(
        IN, OUT, config, load(MemoryConfig), recipe=recipe(IN, inputs), place=load(ModelConfig).folder, inputs=inputs
    )
    write_json(METRICS, metrics)
    write_text(CURVES, curves)
