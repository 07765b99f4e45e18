"""Lets every arm answer: models/adapter/, data/split/ → data/generate/.

B0 is the base, B1 the base shown a few of the person's replies, X the adapter, C the champion where one is registered.
All get the same system line and context, greedy decoding and the same limit. Every arm answers the ten fixed prompts,
the test prompts and twenty of valid; B0 and B1 all of cal. The real replies of test are scored under every arm; under
B0 and X also replies of train, whose gain shows what was memorised, and real replies to other prompts, among which
the right one has to be recognised. Everything after this stage reads its files and needs no model.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx

from stages.generate.arms import Arm, Row
from stages.generate.questions import Message, Question, few_shot, protocol_questions, questions, spread
from stages.generate.tasks import Task, choice_tasks, real_tasks
from twin.adapter import RECIPE_FILE, WEIGHTS_FILE
from twin.base import resolve
from twin.config.generate import GenerateConfig
from twin.config.load import load
from twin.config.model import ModelConfig
from twin.config.promote import PromoteConfig
from twin.errors import ModelError
from twin.files import read_json, read_jsonl, sha256_file, staged_folder, write_json, write_jsonl
from twin.model import Base, attach, load_base
from twin.progress import Eta, Progress
from twin.prompt import PromptRecipe
from twin.protocol import protocol
from twin.reply import Speaker
from twin.runlog import record

SPLITS = {name: Path(f"data/split/{name}.jsonl") for name in ("train", "valid", "cal", "test")}
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
    """Answered by the base arms, to calibrate the judge."""
    pairs: list[Message]
    """Few-shot pairs of arm B1."""
    held_out: list[Task]
    """All of test: what every arm is scored on."""
    extra: list[Task]
    """As many replies of train, and choices among real replies: what B0 and X are scored on too."""

    @property
    def shared(self) -> list[Question]:
        """What every arm answers."""
        return [*self.protocol, *self.test, *self.valid]


def ask(splits: Mapping[str, list[Row]], recipe: PromptRecipe, config: GenerateConfig) -> Asked:
    """Choose what is asked."""
    test = questions("test", spread(splits["test"], config.test_prompts))
    learned = questions("train", spread(splits["train"], len(splits["test"])))
    return Asked(
        protocol=protocol_questions(protocol(), recipe),
        test=test,
        valid=questions("valid", spread(splits["valid"], SIDE_BY_SIDE)),
        cal=questions("cal", splits["cal"]),
        pairs=few_shot(splits["train"], config.few_shot),
        held_out=real_tasks(questions("test", splits["test"])),
        extra=[*real_tasks(learned), *choice_tasks(test, recipe)],
    )


def generate(
    bases: Callable[[], Base], adapter: Path, asked: Asked, config: GenerateConfig, champion: Path | None = None
) -> tuple[list[Row], list[Row]]:
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
    arms = 4 if champion else 3
    tell = _teller(arms * len(asked.shared) + 2 * len(asked.cal))
    answers, likelihoods = [], []
    for arm in (Arm("B0", base, speaker), Arm("B1", base, speaker, asked.pairs)):
        for some in (asked.shared, asked.cal):
            answers += arm.answers(some, config.max_new_tokens, tell)
        likelihoods += arm.likelihoods([*asked.held_out, *(asked.extra if arm.name == "B0" else ())])
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
        answers += tuned.answers(asked.shared, config.max_new_tokens, tell)
        likelihoods += tuned.likelihoods([*asked.held_out, *tasks])
    order = {(one.prompt_set, one.id): place for place, one in enumerate([*asked.shared, *asked.cal])}
    scored = {
        (task.prompt_set, task.question.id, task.reply["id"]): place
        for place, task in enumerate([*asked.held_out, *asked.extra])
    }
    return (
        sorted(answers, key=lambda row: (order[row["prompt_set"], row["prompt_id"]], row["arm"])),
        sorted(
            likelihoods,
            key=lambda row: (scored[row["prompt_set"], row["prompt_id"], row["reply_id"]], row["arm"]),
        ),
    )


def decoding(config: GenerateConfig, champion: Path | None) -> dict[str, Any]:
    """Return how every arm answered."""
    arms = ["B0", "B1", "X", *(["C"] if champion else [])]
    return {"method": "greedy", "samples": 1, "arms": arms, **asdict(config)}


def registered(champion: str | None) -> Path | None:
    """Return the folder of the champion that promote.champion names.

    Raises:
        ModelError: the folder holds another adapter or none.
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
    return CHAMPION


def _teller(total: int) -> Callable[[], None]:
    progress, eta, done = Progress(), Eta(total), 0

    def tell() -> None:
        nonlocal done
        done += 1
        line = f"reply {done}/{total}  {eta.left(done)} left"
        # A log gets a line at every tenth of the way.
        (progress.keep if done * 10 // total > (done - 1) * 10 // total else progress.show)(line)

    return tell


def main() -> None:
    """Ask, answer, score."""
    config = load(GenerateConfig)
    recipe = read_json(ADAPTER / RECIPE_FILE)
    splits = {name: read_jsonl(path) for name, path in SPLITS.items()}
    asked = ask(splits, PromptRecipe.from_json(recipe["prompt"]), config)
    champion = registered(load(PromoteConfig).champion)
    folder = resolve(recipe["base"], load(ModelConfig).folder)
    started_s = time.perf_counter()
    answers, likelihoods = generate(lambda: load_base(folder), ADAPTER, asked, config, champion)
    with staged_folder(OUT) as part:
        write_jsonl(part / "generations.jsonl", answers)
        write_jsonl(part / "nll.jsonl", likelihoods)
        write_json(part / "decoding.json", decoding(config, champion))
    record(
        "generate",
        {
            "replies": len(answers),
            "reply_tokens": sum(row["tokens"] for row in answers),
            "answering_s": round(time.perf_counter() - started_s, 3),
            "peak_array_bytes": mx.get_peak_memory(),
        },
    )
