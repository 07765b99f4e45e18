"""Lets every arm answer: models/adapter/, data/split/ → data/generate/.

B0 is the base, B1 the base shown a few of the person's replies, X the adapter, C the champion where one is registered.
All get the same system line and context, the same decoding (greedy by default) and the same limit. Every arm answers
the ten fixed prompts, the test prompts and twenty of valid; B0 and B1 all of cal. The real replies of test are scored
under every arm; under B0 and X also replies of train, whose gain shows what was memorised, real replies to other
prompts, among which the right one has to be recognised, and answers to plain questions, which show what was unlearned.
Where the twin draws several replies to a prompt, those after the first lie apart, with what the re-ranker that chooses
among them is fitted on: the base's replies to the rest of valid. Apart lies too what a live reply is judged by: the
twin's replies to all of cal, on which its confidence is fitted, and arm F, the twin shown the facts that a graph has
for a prompt. Everything after this stage reads its files and needs no model.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import mlx.core as mx

from stages.generate.arms import Arm, Row, decoder
from stages.generate.capability import capability_tasks
from stages.generate.live import WITH_FACTS, Informed, questions_of, with_known
from stages.generate.questions import Message, Question, few_shot, protocol_questions, questions, spread
from stages.generate.tasks import Task, canary_tasks, choice_tasks, real_tasks
from twin.adapter import RECIPE_FILE, WEIGHTS_FILE
from twin.base import resolve
from twin.config.generate import GenerateConfig
from twin.config.load import load
from twin.config.model import ModelConfig
from twin.config.promote import PromoteConfig
from twin.errors import ModelError
from twin.files import (
    canonical_json,
    read_json,
    read_jsonl,
    sha256_file,
    sha256_text,
    staged_folder,
    write_json,
    write_jsonl,
)
from twin.model import Base, attach, load_base
from twin.progress import teller
from twin.prompt import PromptRecipe
from twin.protocol import protocol
from twin.reply import Speaker
from twin.runlog import record

SPLITS = {name: Path(f"data/split/{name}.jsonl") for name in ("train", "valid", "cal", "test", "canaries")}
ADAPTER = Path("models/adapter")
CHAMPION = Path("models/champion/adapter")
SIDE_BY_SIDE = 20
"""Prompts of valid that every arm answers, to be looked at side by side."""
OUT = Path("data/generate")


@dataclass(frozen=True)
class Asked:
    """The questions of a run."""

    protocol: list[Question]
    test: list[Question]
    valid: list[Question]
    """These three are answered by every arm."""
    cal: list[Question]
    """Answered by the base arms, to calibrate the judge, and by the twin, to calibrate its confidence."""
    pairs: list[Message]
    """Few-shot pairs of arm B1."""
    held_out: list[Task]
    """All of test: what every arm is scored on."""
    unseen: list[Question]
    """What else valid holds, if the twin draws several replies: the base arms' replies fit the re-ranker."""
    extra: list[Task]
    """As many replies of train, choices among real replies, canaries and answers to plain questions: for B0 and X."""
    informed: list[Informed] = field(default_factory=list)
    """Test prompts and the ten of which the graph knows something: arm F."""

    @property
    def shared(self) -> list[Question]:
        """What every arm answers."""
        return [*self.protocol, *self.test, *self.valid]


def ask(splits: Mapping[str, list[Row]], recipe: PromptRecipe, config: GenerateConfig) -> Asked:
    """Choose what is asked."""
    several = config.samples > 1
    test = questions("test", spread(splits["test"], config.test_prompts))
    side_by_side = spread(splits["valid"], SIDE_BY_SIDE)
    shown = {row["id"] for row in side_by_side}
    learned = questions("train", spread(splits["train"], len(splits["test"])))
    fixed = protocol_questions(protocol(), recipe)
    return Asked(
        protocol=fixed,
        test=test,
        valid=questions("valid", side_by_side),
        cal=questions("cal", splits["cal"]),
        pairs=few_shot(splits["train"], config.few_shot),
        unseen=questions("valid", [row for row in splits["valid"] if row["id"] not in shown] if several else []),
        held_out=real_tasks(questions("test", splits["test"])),
        extra=[
            *real_tasks(learned),
            *choice_tasks(test, recipe),
            *canary_tasks(splits["canaries"]),
            *capability_tasks(recipe),
        ],
        informed=with_known([*fixed, *test], config.graph),
    )


@dataclass(frozen=True)
class Said:
    """What the arms said: rows of the four files."""

    answers: list[Row] = field(default_factory=list)
    likelihoods: list[Row] = field(default_factory=list)
    further: list[Row] = field(default_factory=list)
    """Draws of X after the first, and the base arms' replies to the rest of valid."""
    live: list[Row] = field(default_factory=list)
    """X on cal, and arm F."""


def generate(
    bases: Callable[[], Base], adapter: Path, asked: Asked, config: GenerateConfig, champion: Path | None = None
) -> Said:
    """Return every arm's answers and likelihoods.

    Args:
        bases: gives a base on which no adapter lies; a second one is asked for when there is a champion.
        adapter: of arm X.
        asked: what is asked and scored.
        config: from params.yaml.
        champion: the adapter of arm C, if there is one.
    """
    base = bases()
    speaker = Speaker(base)
    decode, said = decoder(config), Said()
    draws = (3 if champion is None else 4) + config.samples - 1
    further = 2 * len(asked.unseen) + 3 * len(asked.cal) + len(asked.informed)
    tell = teller(draws * len(asked.shared) + further)
    for arm in (Arm("B0", base, speaker), Arm("B1", base, speaker, asked.pairs)):
        for some in (asked.shared, asked.cal):
            said.answers.extend(arm.answers(some, decode, tell))
        said.further.extend(arm.answers(asked.unseen, decode, tell))
        said.likelihoods.extend(arm.likelihoods([*asked.held_out, *(asked.extra if arm.name == "B0" else ())]))
    for name, folder, tasks in (("X", adapter, asked.extra), ("C", champion, [])):
        if folder is None:
            continue
        if name == "C":
            del speaker, base  # one model in memory
            base = bases()
            speaker = Speaker(base)
        attach(base, folder)
        speaker.forget()
        tuned = Arm(name, base, speaker)
        said.answers.extend(tuned.answers(asked.shared, decode, tell))
        said.likelihoods.extend(tuned.likelihoods([*asked.held_out, *tasks]))
        if name == "X":
            said.live.extend(tuned.answers(asked.cal, decode, tell))
            facts = {(one.question.prompt_set, one.question.id): one.known() for one in asked.informed}
            knowing = Arm(WITH_FACTS, base, speaker).answers(questions_of(asked.informed), decode, tell)
            said.live.extend(row | facts[row["prompt_set"], row["prompt_id"]] for row in knowing)
        for sample in range(1, config.samples if name == "X" else 1):
            drawn = tuned.answers(asked.shared, decode, tell, sample)
            said.further.extend(row | {"sample": sample} for row in drawn)
    return _in_order(said, asked)


def _in_order(said: Said, asked: Asked) -> Said:
    """Return the rows in the order of the questions, then of the arms."""
    every = [*asked.shared, *asked.cal, *asked.unseen]
    order = {(one.prompt_set, one.id): place for place, one in enumerate(every)}
    scored = {
        (task.prompt_set, task.question.id, task.reply["id"]): place
        for place, task in enumerate([*asked.held_out, *asked.extra])
    }

    def answer(row: Row) -> tuple[int, str, int]:
        return order[row["prompt_set"], row["prompt_id"]], row["arm"], row.get("sample", 0)

    def likelihood(row: Row) -> tuple[int, str]:
        return scored[row["prompt_set"], row["prompt_id"], row["reply_id"]], row["arm"]

    return Said(
        sorted(said.answers, key=answer),
        sorted(said.likelihoods, key=likelihood),
        sorted(said.further, key=answer),
        sorted(said.live, key=answer),
    )


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
    splits = {name: read_jsonl(path) for name, path in SPLITS.items()}
    asked = ask(splits, PromptRecipe.from_json(recipe["prompt"]), config)
    champion = registered(load(PromoteConfig).champion, recipe)
    folder = resolve(recipe["base"], load(ModelConfig).folder)
    started_s = time.perf_counter()
    said = generate(lambda: load_base(folder), ADAPTER, asked, config, champion)
    with staged_folder(OUT) as part:
        write_jsonl(part / "generations.jsonl", said.answers)
        write_jsonl(part / "nll.jsonl", said.likelihoods)
        write_jsonl(part / "further.jsonl", said.further)
        write_jsonl(part / "live.jsonl", said.live)
        write_json(part / "decoding.json", decoding(config, champion, recipe["run"]["id"]))
        write_json(part / "models.json", models(ADAPTER, champion))
    every = [*said.answers, *said.further, *said.live]
    record(
        "generate",
        {
            "replies": len(every),
            "reply_tokens": sum(row["tokens"] for row in every),
            "answering_s": round(time.perf_counter() - started_s, 3),
            "peak_array_bytes": mx.get_peak_memory(),
        },
    )
