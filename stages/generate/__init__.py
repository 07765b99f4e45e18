"""Lets the adapters answer what the base answered: models/adapter/, data/split/, data/baseline/ → data/generate/.

X is the adapter, C the champion where one is registered. Both get what B0 and B1 got in `baseline`: the same system
line and context, the same decoding (greedy by default) and the same limit. They answer the ten fixed prompts, the test
prompts and twenty of valid; the real replies of test are scored under both, under X also replies of train, whose gain
shows what was memorised, real replies to other prompts, among which the right one has to be recognised, and answers to
plain questions, which show what was unlearned. Where the twin draws several replies to a prompt, those after the first
lie apart, with what the re-ranker that chooses among them is fitted on: the base's replies to the rest of valid. Apart
lies too what a live reply is judged by: the twin's replies to all of cal, on which its confidence is fitted, and arm F,
the twin shown the facts that a graph has for a prompt; it and X are also asked for such facts, which X cannot know.
Everything after this stage reads its files and needs no model.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stages.generate.live import NOTHING_TOLD, WITH_FACTS, Informed, Told, plain, questions_of, told_by
from twin.adapter import RECIPE_FILE, WEIGHTS_FILE
from twin.asking import Arm, Asked, Row, Said, ask, decoder, split_rows
from twin.asking.said import cost, in_order
from twin.base import resolve
from twin.config.generate import GenerateConfig
from twin.config.load import load
from twin.config.model import ModelConfig
from twin.config.promote import PromoteConfig
from twin.errors import ModelError
from twin.files import canonical_json, read_json, sha256_file, sha256_text, staged_folder, write_json, write_jsonl
from twin.model import Base, attach, load_base
from twin.progress import teller
from twin.prompt import PromptRecipe
from twin.reply import Speaker
from twin.runlog import record

BASELINE = Path("data/baseline")
ADAPTER = Path("models/adapter")
CHAMPION = Path("models/champion/adapter")
OUT = Path("data/generate")

Tell = Callable[[], None]


@dataclass(frozen=True)
class Apart:
    """What a live reply is judged by."""

    live: list[Row]
    """X to cal, and F."""
    reminders: list[Row]
    """X and F, asked for facts."""


def generate(
    bases: Callable[[], Base],
    adapter: Path,
    asked: Asked,
    config: GenerateConfig,
    *,
    told: Told = NOTHING_TOLD,
    champion: Path | None = None,
) -> tuple[Said, Apart]:
    """Return what the adapters said, in no order; apart, what a live reply is judged by.

    Args:
        bases: gives a base on which no adapter lies; a second one is asked for when there is a champion.
        adapter: of arm X.
        asked: what is asked and scored.
        config: from params.yaml.
        told: what arm F is asked.
        champion: the adapter of arm C, if there is one.
    """
    shared = config.samples + (champion is not None)
    tell = teller(shared * len(asked.shared) + len(asked.cal) + len(told.informed) + 2 * len(told.reminders))
    said, apart = _twin(_tuned(bases(), adapter), asked, config, told, tell)
    if champion is not None:  # only now, when X's base is gone: one model in memory
        said += _champion(_tuned(bases(), champion), asked, config, tell)
    return said, apart


def _tuned(base: Base, adapter: Path) -> Base:
    attach(base, adapter)
    return base


def _twin(base: Base, asked: Asked, config: GenerateConfig, told: Told, tell: Tell) -> tuple[Said, Apart]:
    speaker, decode = Speaker(base), decoder(config)
    twin, knowing = Arm("X", base, speaker), Arm(WITH_FACTS, base, speaker)
    said = Said(twin.answers(asked.shared, decode, tell), twin.likelihoods([*asked.held_out, *asked.extra]))
    live = twin.answers(asked.cal, decode, tell)
    live += _with_facts(knowing.answers(questions_of(told.informed), decode, tell), told.informed)
    reminders = twin.answers([one.question for one in told.reminders], decode, tell)
    reminders += _with_facts(knowing.answers(questions_of(told.reminded), decode, tell), told.reminded)
    facts = {one.question.id: {"asked": plain(one.fact)} for one in told.reminders}
    for sample in range(1, config.samples):
        drawn = twin.answers(asked.shared, decode, tell, sample)
        said.further.extend(row | {"sample": sample} for row in drawn)
    return said, Apart(live, [row | facts[row["prompt_id"]] for row in reminders])


def _with_facts(rows: Iterable[Row], informed: Iterable[Informed]) -> list[Row]:
    facts = {(one.question.prompt_set, one.question.id): one.known() for one in informed}
    return [row | facts[row["prompt_set"], row["prompt_id"]] for row in rows]


def _champion(base: Base, asked: Asked, config: GenerateConfig, tell: Tell) -> Said:
    champion = Arm("C", base, Speaker(base))
    return Said(champion.answers(asked.shared, decoder(config), tell), champion.likelihoods(asked.held_out))


def decoding(config: GenerateConfig, champion: Path | None, run_id: str) -> dict[str, Any]:
    """Return how every arm answered, and which run made the twin."""
    arms = ["B0", "B1", "X", *(["C"] if champion else []), *([WITH_FACTS] if config.graph else [])]
    return {"method": "drawn" if config.temperature else "greedy", "arms": arms, "run_id": run_id, **asdict(config)}


def models(adapter: Path, champion: Path | None) -> dict[str, str | None]:
    """Return the sha256 of all that answered, by which the decision knows that it is about this adapter."""
    return {
        "adapter": sha256_file(adapter / WEIGHTS_FILE),
        "recipe": sha256_file(adapter / RECIPE_FILE),
        "base": sha256_text(canonical_json(read_json(adapter / RECIPE_FILE)["base"])),
        "champion": sha256_file(champion / WEIGHTS_FILE) if champion else None,
    }


def registered(champion: str | None, recipe: Mapping[str, Any]) -> Path | None:
    """Return the folder of the champion that promote.champion names; `recipe` is that of X.

    Raises:
        ModelError: the folder holds another adapter or none, or one of another base or prompt than X.
    """
    if champion is None:
        return None
    weights = CHAMPION / WEIGHTS_FILE
    if not weights.exists() or sha256_file(weights) != champion:
        there = sha256_file(weights)[:12] if weights.exists() else "no adapter"
        raise ModelError(
            f"{CHAMPION} holds {there}; promote.champion is {champion[:12]}. Bring it back with `dvc checkout "
            f"{CHAMPION}.dvc`, or set promote.champion to null."
        )
    if not (CHAMPION / RECIPE_FILE).exists():
        raise ModelError(f"{CHAMPION} has no {RECIPE_FILE}. Bring it back with `dvc checkout --force {CHAMPION}.dvc`.")
    theirs = read_json(CHAMPION / RECIPE_FILE)
    for part in ("base", "prompt"):
        if theirs.get(part) != recipe[part]:
            raise ModelError(
                f"{CHAMPION / RECIPE_FILE}: the champion's {part} is {canonical_json(theirs.get(part))}, that of "
                f"{ADAPTER} is {canonical_json(recipe[part])}. The two are of other models or answer other prompts: "
                "train with the champion's, or set promote.champion to null."
            )
    return CHAMPION


def main() -> None:
    """Ask, answer, score."""
    config = load(GenerateConfig)
    recipe = read_json(ADAPTER / RECIPE_FILE)
    prompts = PromptRecipe.from_json(recipe["prompt"])
    asked = ask(split_rows(), prompts, config)
    told = told_by(config.graph, [*asked.protocol, *asked.test, *asked.cal], prompts)
    champion = registered(load(PromoteConfig).champion, recipe)
    folder = resolve(recipe["base"], load(ModelConfig).folder)
    started_s = time.perf_counter()
    said, apart = generate(lambda: load_base(folder), ADAPTER, asked, config, told=told, champion=champion)
    with staged_folder(OUT) as part:
        (Said.read(BASELINE) + said).ordered(asked).write(part)
        write_jsonl(part / "live.jsonl", in_order(apart.live, asked.every))
        write_jsonl(part / "reminders.jsonl", in_order(apart.reminders, [one.question for one in told.reminders]))
        write_json(part / "decoding.json", decoding(config, champion, recipe["run"]["id"]))
        write_json(part / "models.json", models(ADAPTER, champion))
    record("generate", cost([*said.answers, *said.further, *apart.live, *apart.reminders], started_s))
