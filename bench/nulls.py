"""How often the decision promotes what is no better, and how often it promotes the twin.

python -m bench.nulls [--seeds 3] [--sets 8]      # after `dvc repro`: on its base, split and adapter

Adapters that must not be promoted: one of zeros, some trained on another person's replies to the same prompts, some on
the person's own replies dealt to other prompts. Each is judged by every gate with what caps a demo lifted (profile,
data, human), on the run's test set and on others of the same person, which `bench.fresh` makes. The power of the whole
decision is the share of promotions of the trained adapter itself, all arms' replies drawn at temperature 0.7.
"""

import argparse
import datetime
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mlx.core as mx

from bench.fresh import fresh_sets
from bench.machine import describe
from stages import evaluate as judge
from stages.evaluate.data import gather
from stages.generate import ADAPTER
from stages.promote.decision import State, Verdict, decide
from stages.promote.evidence import Evidence
from stages.promote.files import Files
from stages.promote.gates import gates
from stages.train import Settings, train
from tests.persona import terse
from twin.asking import SPLITS, Arm, Asked, Row, ask, decoder, split_rows
from twin.asking.questions import Question
from twin.base import resolve
from twin.config.adapter import AdapterConfig
from twin.config.evaluate import EvaluateConfig
from twin.config.generate import GenerateConfig
from twin.config.load import load
from twin.config.model import ModelConfig
from twin.config.optimizer import OptimizerConfig
from twin.config.promote import Human, PromoteConfig
from twin.config.train import TrainConfig
from twin.files import read_json, read_jsonl, write_json
from twin.intervals import rate_bounds
from twin.model import adapt, attach, load_base, trainable
from twin.prompt import PromptRecipe
from twin.reply import Speaker
from twin.training.save import write_adapter

RESULTS = Path("bench/results/nulls.json")
LIFTED = {"profile", "enough_data", "human"}
TEMPERATURE = 0.7
Rows = list[Row]


def zero(folder: Path, base: Path, seed: int) -> None:
    """Write an adapter that changes nothing."""
    model = load_base(base).model
    written = adapt(model, load(AdapterConfig), seed)
    weights = {name: mx.zeros(array.shape) for name, array in trainable(model).items()}
    write_adapter(folder, weights, written, {"version": 1}, lambda part: None)


def trained_on(change: Callable[[Rows, int], Rows]) -> Callable[[Path, Path, int], None]:
    """Return what trains an adapter on changed rows, as the demo is trained."""

    def make(folder: Path, base: Path, seed: int) -> None:
        rows = {name: change(read_jsonl(SPLITS[name]), seed) for name in ("train", "valid")}
        settings = Settings(load(AdapterConfig), load(OptimizerConfig), replace(load(TrainConfig), seed=seed))
        trained = train(base, rows, settings)
        write_adapter(folder, trained.weights, trained.adapter_config, {"version": 1}, lambda part: None)

    return make


def trained(folder: Path, base: Path, seed: int) -> None:
    """Write the adapter of the run."""
    shutil.copytree(ADAPTER, folder)


def shuffled(rows: Rows, seed: int) -> Rows:
    """Deal the replies to other prompts."""
    said = [row["messages"][-1] for row in rows]
    random.Random(seed).shuffle(said)
    return [row | {"messages": [*row["messages"][:-1], reply]} for row, reply in zip(rows, said, strict=True)]


def another(rows: Rows, seed: int) -> Rows:
    """Let somebody else of few words answer."""
    dice = random.Random(seed)
    return [row | {"messages": [*row["messages"][:-1], {"role": "assistant", "content": terse(dice)}]} for row in rows]


DRAWN = "the twin, drawn"
KINDS = {
    "zero": zero,
    "shuffled replies": trained_on(shuffled),
    "another person": trained_on(another),
    DRAWN: trained,
}


@dataclass(frozen=True)
class Judged:
    """What is judged together: a test set, what is asked of it, and what the base arms say."""

    splits: dict[str, Rows]
    asked: Asked
    config: GenerateConfig
    answers: Rows
    likelihoods: Rows


class Bases:
    """The base arms: what they say to prompts that every test set shares, once for each temperature, and to each."""

    def __init__(self, base: Path, sets: Sequence[Rows]) -> None:
        recipe = read_json(ADAPTER / "recipe.json")
        self._recipe = PromptRecipe.from_json(recipe["prompt"])
        self._splits = split_rows()
        self._sets = [self._splits["test"], *sets]
        self._model = load_base(base)
        self._speaker = Speaker(self._model)
        self._shared: dict[float, Rows] = {}
        self._apart: dict[tuple[float, int], Judged] = {}

    def __len__(self) -> int:
        return len(self._sets)

    def judged(self, temperature: float, place: int) -> Judged:
        """Return what is judged with one test set; 0 is the run's own."""
        if (temperature, place) not in self._apart:
            self._apart[temperature, place] = self._asked(temperature, place)
        return self._apart[temperature, place]

    def _asked(self, temperature: float, place: int) -> Judged:
        splits = self._splits | {"test": self._sets[place]}
        # Another seed for each set, or the ten fixed prompts would get the same draws every time.
        config = replace(load(GenerateConfig), temperature=temperature, seed=place, graph=None)
        asked = ask(splits, self._recipe, config)
        arms = [Arm(name, self._model, self._speaker, pairs) for name, pairs in (("B0", []), ("B1", asked.pairs))]
        if temperature not in self._shared:
            fixed = [*asked.protocol, *asked.valid], asked.cal
            self._shared[temperature] = [row for arm in arms for some in fixed for row in said(arm, some, config)]
        answers = [row for arm in arms for row in said(arm, asked.test, config)]
        scored = [
            row
            for arm in arms
            for row in arm.likelihoods([*asked.held_out, *(asked.extra if arm.name == "B0" else [])])
        ]
        return Judged(splits, asked, config, self._shared[temperature] + answers, scored)


def said(arm: Arm, asked: Sequence[Question], config: GenerateConfig) -> Rows:
    """Return an arm's answers."""
    return arm.answers(asked, decoder(config), lambda: None)


def verdict(of: Judged, twin: Arm) -> tuple[Verdict, list[str]]:
    """Return the decision on an adapter without the caps of a demo, and the gates that do not pass."""
    generations = of.answers + said(twin, of.asked.shared, of.config)
    likelihoods = of.likelihoods + twin.likelihoods([*of.asked.held_out, *of.asked.extra])
    config = replace(load(EvaluateConfig), draws=1000)
    metrics = judge.evaluate(gather(of.splits, generations), likelihoods, {}, config).metrics
    paths = ("metrics/split.json", "models/adapter/recipe.json", "models/base/identity.json", "metrics/ingest.json")
    evidence = replace(Evidence(metrics, *(read_json(Path(path)) for path in paths)), files=Files())
    found = [
        replace(one, state=State.not_applicable) if one.name in LIFTED else one
        for one in gates(evidence, replace(load(PromoteConfig), human=Human.waived))
    ]
    return decide(found, Human.waived).verdict, [one.name for one in found if one.state.value in ("FAIL", "UNKNOWN")]


def decisions(kind: str, seed: int, bases: Bases, base: Path) -> list[dict[str, Any]]:
    """Return the decision on an adapter for each test set."""
    model = load_base(base)
    with tempfile.TemporaryDirectory() as scratch:
        KINDS[kind](Path(scratch) / "adapter", base, seed)
        attach(model, Path(scratch) / "adapter")
    twin = Arm("X", model, Speaker(model))
    rows = []
    for place in range(len(bases)):
        decision, not_passed = verdict(bases.judged(TEMPERATURE if kind == DRAWN else 0.0, place), twin)
        rows.append({"kind": kind, "seed": seed, "set": place, "decision": decision.value, "not_passed": not_passed})
        print(f"{kind:18} seed {seed}, set {place}: {decision.value:8} {', '.join(not_passed)}", flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.nulls", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sets", type=int, default=8, help="test sets besides the run's own")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    base = resolve(read_json(ADAPTER / "recipe.json")["base"], load(ModelConfig).folder)
    header = {"date": str(datetime.date.today()), "machine": describe()}
    write_json(arguments.results, header | of_the_decision(base, arguments))


def of_the_decision(base: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return every decision on what is no better, and on the twin, and show how many promote."""
    own = {row["conversation_id"] for row in read_jsonl(SPLITS["test"])}
    bases = Bases(base, fresh_sets(arguments.sets, read_jsonl(SPLITS["train"]), len(own)))
    rows = [
        row
        for kind in arguments.kinds
        for seed in range(1 if kind in (DRAWN, "zero") else arguments.seeds)
        for row in decisions(kind, seed, bases, base)
    ]
    nulls = [row for row in rows if row["kind"] != DRAWN]
    promoted = sum(row["decision"] == "PROMOTE" for row in nulls)
    print(
        f"promoted: {promoted} of {len(nulls)} (upper bound {rate_bounds(promoted, len(nulls))[1]:.1%} if independent)"
    )
    seen = [row["decision"] == "PROMOTE" for row in rows if row["kind"] == DRAWN]
    print(f"power of the whole decision: {sum(seen)} of {len(seen)}")
    for kind in arguments.kinds:
        stops = Counter(gate for row in rows if row["kind"] == kind for gate in row["not_passed"])
        print(f"{kind:18} " + ", ".join(f"{gate} {n}" for gate, n in stops.most_common()))
    return {"promoted": promoted, "judged": len(nulls), "decisions": rows}


if __name__ == "__main__":
    main()
