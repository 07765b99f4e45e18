"""Lets the base answer without an adapter: models/base/, data/split/ → data/baseline/.

B0 is the base as it is, B1 the base shown a few of the person's replies. They answer the ten fixed prompts, the test
prompts, twenty of valid and all of cal; where the twin draws several replies, the rest of valid too. The real replies
of test are scored under both, and under B0 what else is (`twin/asking/asked.py`). Nothing of this depends on an
adapter, so that runs which differ in that alone share it.
"""

import time
from pathlib import Path

from twin.asking import Arm, Asked, Said, ask, decoder, split_rows
from twin.asking.said import cost
from twin.base import resolve
from twin.config.generate import GenerateConfig
from twin.config.load import load
from twin.config.model import ModelConfig
from twin.files import read_json, staged_folder
from twin.model import Base, load_base
from twin.progress import teller
from twin.prompt import PromptRecipe
from twin.reply import Speaker
from twin.runlog import record

RECIPE = Path("data/augment/recipe.json")
BASE = Path("models/base/identity.json")
OUT = Path("data/baseline")


def baseline(base: Base, asked: Asked, config: GenerateConfig) -> Said:
    """Return the answers and likelihoods of B0 and B1."""
    speaker, decode, said = Speaker(base), decoder(config), Said()
    tell = teller(2 * (len(asked.shared) + len(asked.cal) + len(asked.unseen)))
    for arm in (Arm("B0", base, speaker), Arm("B1", base, speaker, asked.pairs)):
        for some in (asked.shared, asked.cal):
            said.answers.extend(arm.answers(some, decode, tell))
        said.further.extend(arm.answers(asked.unseen, decode, tell))
        said.likelihoods.extend(arm.likelihoods([*asked.held_out, *(asked.extra if arm.name == "B0" else ())]))
    return said.ordered(asked)


def main() -> None:
    """Ask, answer, score."""
    config = load(GenerateConfig)
    asked = ask(split_rows(), PromptRecipe.from_json(read_json(RECIPE)), config)
    folder = resolve(read_json(BASE), load(ModelConfig).folder)
    started_s = time.perf_counter()
    said = baseline(load_base(folder), asked, config)
    with staged_folder(OUT) as part:
        said.write(part)
    record("baseline", cost([*said.answers, *said.further], started_s))
