"""How often the decision promotes what is no better, and how often it sees a gain that is there.

python -m bench.nulls [--seeds 3] [--resamples 20]      # after `dvc repro`: on its base, split and stored base arms

Adapters that must not be promoted: one of zeros, some trained on another person's replies to the same prompts, some on
the person's own replies dealt to other prompts. Each is judged by every gate with what caps a demo lifted (profile,
data, human), on its test conversations as they are and resampled. The power of the likelihood gate is that of a gain of
0.1 bits with the spread that the trained adapter has when it is weakened so far, and at smaller spreads; that of the
whole decision is the share of promotions of the trained adapter itself, whose replies are drawn at temperature 0.7.
"""

import argparse
import datetime
import random
import shutil
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from bench.machine import describe
from stages import evaluate as judge
from stages import generate as ask
from stages.evaluate.data import GENERATIONS, gather
from stages.generate.arms import Arm, decoder
from stages.generate.questions import questions
from stages.generate.tasks import real_tasks
from stages.promote.decision import State, Verdict, decide
from stages.promote.evidence import Evidence
from stages.promote.files import Files
from stages.promote.gates import gates
from stages.train import Settings, train
from tests.persona import terse
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
from twin.intervals import interval, rate_bounds, ratio
from twin.model import adapt, attach, load_base, trainable
from twin.prompt import PromptRecipe
from twin.reply import Speaker
from twin.training.save import write_adapter

RESULTS = Path("bench/results/nulls.json")
LIFTED = {"profile", "enough_data", "human"}
REPLIES, GAIN_BITS, SIMULATIONS = 328, 0.1, 2_000
SPREADS = (0.2, 0.3, 0.4)
"""Of the conversations' gains, bits a token: what a base that few-shot pairs confuse less would show."""
TEMPERATURE = 0.7
Rows = list[dict[str, Any]]


def zero(folder: Path, base: Path, seed: int) -> None:
    """Write an adapter that changes nothing."""
    model = load_base(base).model
    written = adapt(model, load(AdapterConfig), seed)
    weights = {name: mx.zeros(array.shape) for name, array in trainable(model).items()}
    write_adapter(folder, weights, written, {"version": 1}, lambda part: None)


def trained_on(change: Callable[[Rows, int], Rows]) -> Callable[[Path, Path, int], None]:
    """Return what trains an adapter on changed rows, as the demo is trained."""

    def make(folder: Path, base: Path, seed: int) -> None:
        rows = {name: change(read_jsonl(ask.SPLITS[name]), seed) for name in ("train", "valid")}
        settings = Settings(load(AdapterConfig), load(OptimizerConfig), replace(load(TrainConfig), seed=seed))
        trained = train(base, rows, settings)
        write_adapter(folder, trained.weights, trained.adapter_config, {"version": 1}, lambda part: None)

    return make


def trained(folder: Path, base: Path, seed: int) -> None:
    """Write the adapter of the run."""
    shutil.copytree(ask.ADAPTER, folder)


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


def answered(folder: Path, base: Path, config: GenerateConfig) -> tuple[Rows, Rows]:
    """Return generations and likelihoods with this adapter as arm X, and the stored base arms."""
    recipe = read_json(ask.ADAPTER / "recipe.json")
    splits = {name: read_jsonl(path) for name, path in ask.SPLITS.items()}
    asked = ask.ask(splits, PromptRecipe.from_json(recipe["prompt"]), config)
    model = load_base(base)
    attach(model, folder)
    arm = Arm("X", model, Speaker(model))
    said = arm.answers(asked.shared, decoder(config), lambda: None)
    scored = arm.likelihoods([*asked.held_out, *asked.extra])
    kept = [[row for row in read_jsonl(path) if row["arm"] != "X"] for path in (Path(GENERATIONS), judge.LIKELIHOODS)]
    return kept[0] + said, kept[1] + scored


def resampled(rows: Rows, names: Sequence[str]) -> Rows:
    """Return the rows of test as if its conversations had been `names`; other rows stay."""
    by_conversation: dict[str, Rows] = defaultdict(list)
    others = []
    for row in rows:
        if row.get("prompt_set", row.get("split")) in ("test", "choice"):
            by_conversation[row["conversation_id"]].append(row)
        else:
            others.append(row)
    ids = ("conversation_id", "prompt_id", "id", "reply_id")
    drawn = [
        row | {key: f"{row[key]}/{place}" for key in ids if key in row}
        for place, name in enumerate(names)
        for row in by_conversation[name]
        if row.get("prompt_set") != "choice"
    ]
    return others + drawn


def verdict(generations: Rows, likelihoods: Rows, splits: dict[str, Rows]) -> tuple[Verdict, list[str]]:
    """Return the decision without the caps of a demo, and the gates that do not pass."""
    metrics = judge.evaluate(
        gather(splits, generations), likelihoods, {}, replace(load(EvaluateConfig), draws=1000)
    ).metrics
    paths = ("metrics/split.json", "models/adapter/recipe.json", "models/base/identity.json", "metrics/ingest.json")
    evidence = replace(Evidence(metrics, *(read_json(Path(path)) for path in paths)), files=Files())
    found = [
        replace(one, state=State.not_applicable) if one.name in LIFTED else one
        for one in gates(evidence, replace(load(PromoteConfig), human=Human.waived))
    ]
    return decide(found, Human.waived).verdict, [one.name for one in found if one.state.value in ("FAIL", "UNKNOWN")]


def judged(kind: str, seed: int, resamples: int, base: Path) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as scratch:
        KINDS[kind](Path(scratch) / "adapter", base, seed)
        config = load(GenerateConfig)
        drawn_config = replace(config, temperature=TEMPERATURE, seed=seed) if kind == DRAWN else config
        generations, likelihoods = answered(Path(scratch) / "adapter", base, drawn_config)
    splits = {name: read_jsonl(path) for name, path in judge.SPLITS.items()}
    names = sorted({row["conversation_id"] for row in splits["test"]})
    dice = random.Random(seed)
    rows = []
    for resample in range(resamples + 1):
        if resample:
            # The choice among real replies is not drawn anew: its rows name replies of other conversations.
            chosen = dice.choices(names, k=len(names))
            drawn = splits | {"test": resampled(splits["test"], chosen)}
            some = [row for row in likelihoods if row["prompt_set"] == "choice"]
            found = verdict(resampled(generations, chosen), resampled(likelihoods, chosen) + some, drawn)
        else:
            found = verdict(generations, likelihoods, splits)
        rows.append(
            {"kind": kind, "seed": seed, "resample": resample, "decision": found[0].value, "not_passed": found[1]}
        )
    print(f"{kind:18} seed {seed}: {rows[0]['decision']:8} {', '.join(rows[0]['not_passed'])}", flush=True)
    return rows


def weakened(base: Path, share: float) -> Rows:
    """Return the likelihoods of the test replies under so much of the trained adapter."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "adapter"
        shutil.copytree(ask.ADAPTER, folder)
        config = read_json(folder / "adapter_config.json")
        config["lora_parameters"]["scale"] *= share
        write_json(folder / "adapter_config.json", config)
        model = load_base(base)
        attach(model, folder)
    held_out = real_tasks(questions("test", read_jsonl(ask.SPLITS["test"])))
    return Arm("X", model, Speaker(model)).likelihoods(held_out)


def gains(rows: Rows) -> np.ndarray:
    """Return (conversations, 3): bits saved over the stored prompted base, tokens, replies."""
    prompted = {
        row["prompt_id"]: row["total_nats"]
        for row in read_jsonl(judge.LIKELIHOODS)
        if (row["prompt_set"], row["arm"]) == ("test", "B1")
    }
    sums: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(3))
    for row in rows:
        saved = (prompted[row["prompt_id"]] - row["total_nats"]) / np.log(2)
        sums[row["conversation_id"]] += (saved, row["tokens"], 1)
    return np.array(list(sums.values()))


def power(config: PromoteConfig, base: Path) -> dict[str, Any]:
    """Return how often a gain of 0.1 bits a token with 328 replies passes the gate of likelihood, and no gain does.

    The adapter is weakened until its gain over the prompted base is about that; its conversations are drawn whole, and
    moved to the mean exactly.
    """
    low, high = 0.0, 1.0
    for _ in range(8):
        share = (low + high) / 2
        found = gains(weakened(base, share))
        mean = found[:, 0].sum() / found[:, 1].sum()
        low, high = (share, high) if mean < GAIN_BITS else (low, share)
    spread = float(np.std(found[:, 0] / found[:, 1]))
    power, false_pass = (passing(found, gain, 1.0, config) for gain in (GAIN_BITS, 0.0))
    return {
        "power": power,
        "false_pass": false_pass,
        "power_by_spread_bits": {str(bits): passing(found, GAIN_BITS, bits / spread, config) for bits in SPREADS},
        "share_of_the_adapter": share,
        "conversation_sd_bits": spread,
        "simulations": SIMULATIONS,
    }


def passing(found: np.ndarray, gain: float, narrowed: float, config: PromoteConfig) -> float:
    """Return the share of drawn test sets that pass when the mean is `gain` and deviations from it `narrowed` times."""
    mean = found[:, 0].sum() / found[:, 1].sum()
    rng = np.random.default_rng(0)
    passes = 0
    for _ in range(SIMULATIONS):
        order = rng.integers(len(found), size=REPLIES)
        some = found[order[: int(np.searchsorted(np.cumsum(found[order, 2]), REPLIES)) + 1]]
        moved = gain * some[:, 1] + narrowed * (some[:, 0] - mean * some[:, 1])
        bounds = interval(ratio(moved, some[:, 1]), len(some), 500, 1)
        passes += bounds.lower > 0 and bounds.value >= config.bits_min
    return passes / SIMULATIONS


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.nulls", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--resamples", type=int, default=20)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    recipe = read_json(ask.ADAPTER / "recipe.json")
    base = resolve(recipe["base"], load(ModelConfig).folder)
    found = power(load(PromoteConfig), base)
    print(
        f"{GAIN_BITS} bits/token with {REPLIES} replies pass in {found['power']:.1%}, none in {found['false_pass']:.1%}"
        f" (spread of conversations {found['conversation_sd_bits']:.2f} bits)",
        found["power_by_spread_bits"],
        flush=True,
    )
    rows = [
        row
        for kind in arguments.kinds
        for seed in range(1 if kind == "zero" else arguments.seeds)
        for row in judged(kind, seed, arguments.resamples, base)
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
    header = {"date": str(datetime.date.today()), "machine": describe(), "power": found}
    write_json(arguments.results, header | {"promoted": promoted, "judged": len(nulls), "decisions": rows})


if __name__ == "__main__":
    main()
