"""Aligns the trained adapter: models/sft/ → models/adapter/, which everything after it reads.

Method `none` passes the adapter through. The recipe gets the run's id and the inputs it is computed from, so that
whatever reads the adapter can name the run.
"""

import shutil
from pathlib import Path

from twin.adapter import CONFIG_FILE, RECIPE_FILE, WEIGHTS_FILE
from twin.config.align import AlignConfig, Method
from twin.config.load import load
from twin.errors import ConfigError, DataError
from twin.files import read_json, restore, staged_folder, write_json
from twin.identity import Inputs, run_id, stage_inputs

IN = Path("models/sft")
OUT = Path("models/adapter")


def align(source: Path, target: Path, method: Method, inputs: Inputs) -> None:
    """Write the aligned adapter to `target`, whole or not at all; `inputs` are those of this stage.

    Raises:
        ConfigError: the method is not built.
        DataError: a file of the trained adapter is missing.
    """
    if method is Method.dpo:
        raise ConfigError(
            "align.method is dpo; preference training is not part of this version. Use align.method=none."
        )
    with staged_folder(target) as part:
        for name in (WEIGHTS_FILE, CONFIG_FILE):
            if not (source / name).exists():
                raise DataError(f"{source / name} is missing. {restore(source)}")
            shutil.copyfile(source / name, part / name)
        recipe = read_json(source / RECIPE_FILE)
        run_inputs = {"train": recipe["run"]["inputs"]["train"], "align": inputs}
        write_json(part / RECIPE_FILE, recipe | {"run": {"id": run_id(run_inputs), "inputs": run_inputs}})


def main() -> None:
    """Align the trained adapter."""
    align(IN, OUT, load(AlignConfig).method, stage_inputs("align"))
