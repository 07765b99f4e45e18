"""Preference training: loss and gradient are the paper's, it starts from the trained adapter, real replies rule."""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
import yaml
from mlx import nn
from mlx.utils import tree_flatten, tree_map

from stages.align import dpo, drift, passed_through
from stages.align import reference as module
from stages.align.columns import HEADER
from stages.align.dpo import Aligned, align, ready
from stages.align.outcome import Look, better
from stages.align.pairs import Pair, encode_pairs, pair_nats
from stages.align.reference import Material
from stages.align.report import curves, metrics
from stages.align.state import FORM, State
from stages.align.trainer import PairTrainer
from tests.conftest import make_rows
from tests.structure import ROOT
from twin.base import identify
from twin.config.adapter import AdapterConfig, Kind
from twin.config.align import AlignConfig, Method
from twin.config.memory import MemoryConfig
from twin.config.optimizer import OptimizerConfig
from twin.errors import DataError, MemoryPlanError, TrainError
from twin.files import write_jsonl
from twin.identity import run_id
from twin.model import Split, adapt, load_base, split_head, trainable
from twin.runlog import facts_path, read_facts, recording
from twin.tokens import Example
from twin.training import checkpoint
from twin.training.checkpoint import Checkpoint, open_checkpoint
from twin.training.order import MicroBatch, plan
from twin.training.save import write_adapter

OPTIMIZER = OptimizerConfig(learning_rate=5e-3, weight_decay=0.0, warmup=0.1, final=0.1, clip=1.0)
CONFIG = AlignConfig(
    method=Method.dpo, beta=0.1, optimizer=OPTIMIZER, updates=8, batch=8, accumulate=1, checkpointing=False,
    validate_every=4, displacement_max=0.05, seed=17,
)  # fmt: skip
UNDECLARED = MemoryConfig(None)
INPUTS: dict[str, Any] = {"cmd": "python -m twin.guard align", "deps": {}, "params": {}}
OTHER = "queue queue token"


def pair_rows(rows: list[dict[str, Any]], split: str, *, swapped: bool = False) -> list[dict[str, Any]]:
    texts = [(row["messages"][-1]["content"], OTHER) for row in rows]
    texts = [(rejected, chosen) for chosen, rejected in texts] if swapped else texts
    return [
        {"id": row["id"], "split": split, "messages": row["messages"][:-1], "chosen": chosen, "rejected": rejected}
        for row, (chosen, rejected) in zip(rows, texts, strict=True)
    ]


TRAIN, VALID = make_rows(24, seed=1), make_rows(9, seed=2)
ROWS = {"pairs": pair_rows(TRAIN, "train") + pair_rows(VALID, "valid"), "valid": VALID}
SWAPPED = {"pairs": pair_rows(TRAIN, "train", swapped=True) + pair_rows(VALID, "valid", swapped=True), "valid": VALID}


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.setattr(checkpoint, "EVERY_S", 0.0)
    monkeypatch.setattr(drift, "PROMPTS", 2)
    return tmp_path


@pytest.fixture(scope="module")
def adapters(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[Kind, Path]:
    """Adapters that already do something, as `train` saves them; with dropout, which must not be drawn."""
    folders = {}
    for kind in Kind:
        base = load_base(tiny_base)
        config = adapt(base.model, AdapterConfig(kind, ["q_proj", "v_proj", "down_proj"], None, 4, 2.0, 0.5), 1)
        weights = {
            name: mx.random.normal(array.shape, key=mx.random.key(2)) * 0.05 if name.endswith("lora_b") else array
            for name, array in trainable(base.model).items()
        }
        folders[kind] = tmp_path_factory.mktemp("sft") / kind.value
        write_adapter(folders[kind], weights, config, {}, lambda part: None)
    return folders


@pytest.fixture(scope="module")
def undisturbed(tiny_base: Path, adapters: dict[Kind, Path], tmp_path_factory: pytest.TempPathFactory) -> Aligned:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("undisturbed"))
        patch.setattr(drift, "PROMPTS", 2)
        return align(tiny_base, adapters[Kind.lora], ROWS, CONFIG, max_tokens=160)


class Bigram(nn.Module):
    """Logits that are a table: what follows each of six tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.table = mx.random.normal((6, 6), key=mx.random.key(3))
        self.layers: list[Any] = []

    def __call__(self, tokens_B_L: mx.array) -> mx.array:
        return self.table[tokens_B_L]


TOY = [
    Pair(Example("a", (0, 1, 2, 3), 2), Example("a", (0, 1, 4, 4, 3), 2)),
    Pair(Example("b", (5, 2, 2, 1, 3), 2), Example("b", (5, 2, 3), 2)),
    Pair(Example("c", (1, 0, 5, 3), 1), Example("c", (1, 2, 2, 2, 3), 1)),
]
REFERENCE = np.array([[3.0, 4.5], [6.0, 1.5], [5.0, 8.5]])


def by_hand(table: np.ndarray, beta: float) -> tuple[float, np.ndarray]:
    """Return loss and gradient of the toy pairs, written out in numpy from the paper's equation 7."""
    shares = np.exp(table) / np.exp(table).sum(axis=1, keepdims=True)

    def reply(example: Example) -> tuple[float, np.ndarray]:
        total, slope = 0.0, np.zeros_like(table)
        for before, token in zip(example.tokens[example.prompt_tokens - 1 :], example.tokens[example.prompt_tokens :]):  # noqa: B905
            total += math.log(shares[before, token])
            slope[before] -= shares[before]
            slope[before, token] += 1
        return total, slope

    loss, gradient = 0.0, np.zeros_like(table)
    for pair, (chosen_nats, rejected_nats) in zip(TOY, REFERENCE, strict=True):
        (chosen, up), (rejected, down) = reply(pair.chosen), reply(pair.rejected)
        margin = beta * ((chosen + chosen_nats) - (rejected + rejected_nats))
        loss += math.log1p(math.exp(-margin))
        gradient -= beta / (1 + math.exp(margin)) * (up - down)
    return loss / len(TOY), gradient / len(TOY)


@pytest.mark.parametrize("beta", [0.1, 2.0])
def test_loss_and_gradient_are_those_written_out_by_hand(beta: float) -> None:
    model = Bigram()
    trainer = PairTrainer(model, Split(model, lambda logits: logits), TOY, REFERENCE, replace(CONFIG, beta=beta))
    loss, gradient = by_hand(np.array(model.table, dtype=np.float64), beta)
    assert np.abs(gradient).max() > 0.01 * beta
    for cut in ([(0, 1, 2)], [(0,), (1, 2)], [(2,), (1,), (0,)]):
        batches = [MicroBatch(rows, 5, 20) for rows in cut]
        learned, found = trainer.gradients(batches)
        assert learned.loss == pytest.approx(loss, rel=1e-5)
        np.testing.assert_allclose(np.array(found["table"]), gradient, rtol=1e-4, atol=1e-6)


def flat(tree: Any) -> dict[str, np.ndarray]:
    return {name: np.array(array) for name, array in tree_flatten(tree)}


@pytest.mark.parametrize("kind", list(Kind))
def test_micro_batches_change_neither_loss_nor_gradient(
    tiny_base: Path, adapters: dict[Kind, Path], kind: Kind
) -> None:
    base = ready(tiny_base, adapters[kind], checkpointing=False)
    pairs = encode_pairs(ROWS["pairs"], base.tokenizer, "train")
    split = split_head(base.model)
    reference = pair_nats(split, pairs) + np.array([[1.0, -2.0]])
    trainer = PairTrainer(base.model, split, pairs, reference, CONFIG)
    inputs, supervised = [pair.inputs for pair in pairs], [pair.supervised for pair in pairs]
    base.model.train()
    found = []
    for batch, accumulate in ((8, 1), (1, 8), (2, 4)):
        laid_out = plan(inputs, supervised, replace(CONFIG, batch=batch, accumulate=accumulate))
        learned, gradients = trainer.gradients(laid_out.updates[0])
        found.append((learned.loss, flat(gradients)))
    (loss, whole), *others = found
    norm = math.sqrt(sum(float((array**2).sum()) for array in whole.values()))
    assert norm > 1e-3 and all(np.abs(array).max() > 0 for array in whole.values())
    for other_loss, other in others:
        assert other_loss == pytest.approx(loss, rel=1e-5)
        apart = math.sqrt(sum(float(((whole[name] - other[name]) ** 2).sum()) for name in whole))
        assert apart <= 1e-5 * norm


@pytest.mark.parametrize("kind", list(Kind))
def test_rewards_rise_from_the_trained_adapter_and_the_base_stays(
    tiny_base: Path, adapters: dict[Kind, Path], undisturbed: Aligned, kind: Kind
) -> None:
    lora = kind is Kind.lora
    done = undisturbed if lora else align(tiny_base, adapters[kind], ROWS, CONFIG, max_tokens=160)
    looks = done.outcome.looks
    assert [look.update for look in looks] == [0, 4, 8]
    # At rest both replies are worth ln 2, and the held-out ones exactly nothing.
    assert done.outcome.steps[0].loss == pytest.approx(math.log(2), abs=1e-5)
    assert (looks[0].accuracy, looks[0].margin) == (0.5, 0.0)
    assert looks[-1].accuracy == 1.0 and looks[-1].margin > looks[1].margin > 0.05
    assert done.outcome.best.update > 0
    saved = mx.load(str(adapters[kind] / "adapters.safetensors"))
    assert isinstance(saved, dict)
    assert done.weights.keys() == saved.keys()
    assert any(bool((done.weights[name] != saved[name]).any()) for name in saved)


def test_nothing_but_the_adapter_can_learn_and_nothing_is_dropped(tiny_base: Path, adapters: dict[Kind, Path]) -> None:
    base = ready(tiny_base, adapters[Kind.dora], checkpointing=True)
    assert {name.rpartition(".")[2] for name in trainable(base.model)} == {"lora_a", "lora_b", "m"}
    pairs = encode_pairs(ROWS["pairs"], base.tokenizer, "valid")
    before = pair_nats(split_head(base.model), pairs)
    base.model.train()
    assert np.abs(pair_nats(split_head(base.model), pairs) - before).max() < 1e-4


class KilledError(BaseException):
    """Stands for `kill -9`: nothing of ours catches it."""


@contextmanager
def killed_after(update: int) -> Iterator[None]:
    save = Checkpoint.save

    def save_and_die(self: Checkpoint[State], state: State) -> None:
        save(self, state)
        if state.update == update:
            raise KilledError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoint, "save", save_and_die)
        yield


def kept_run(base: Path, adapter: Path) -> Aligned:
    with open_checkpoint(INPUTS, FORM) as kept:
        return align(base, adapter, ROWS, CONFIG, max_tokens=160, checkpoint=kept)


def written(done: Aligned) -> tuple[dict[str, bytes], str, str]:
    arrays = {name: bytes(memoryview(array)) for name, array in done.weights.items()}  # type: ignore[arg-type]
    numbers = metrics(done.outcome, done.material, 1, done.drift, CONFIG)
    return arrays, curves(done.outcome), json.dumps(numbers)


def test_a_killed_run_ends_with_the_bytes_of_an_undisturbed_one(
    tiny_base: Path, adapters: dict[Kind, Path], undisturbed: Aligned
) -> None:
    for update in (3, 5):
        with killed_after(update), pytest.raises(KilledError):
            kept_run(tiny_base, adapters[Kind.lora])
    again = kept_run(tiny_base, adapters[Kind.lora])
    assert again.resumed == 5
    assert written(again) == written(undisturbed)


@contextmanager
def spoilt(updates: set[int]) -> Iterator[None]:
    """Make the gradients of these updates NaN."""
    original, calls = PairTrainer.gradients, []

    def gradients(self: PairTrainer, micro_batches: Any) -> Any:
        learned, tree = original(self, micro_batches)
        calls.append(None)
        return learned, tree_map(lambda array: array * math.nan, tree) if len(calls) in updates else tree

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PairTrainer, "gradients", gradients)
        yield


def test_an_update_that_is_not_finite_is_skipped_and_counted(tiny_base: Path, adapters: dict[Kind, Path]) -> None:
    with spoilt({2, 5}):
        done = align(tiny_base, adapters[Kind.lora], ROWS, CONFIG, max_tokens=160)
    told = metrics(done.outcome, done.material, 64, done.drift, CONFIG)
    assert (told["status"], told["updates"]["run"], told["updates"]["skipped"]) == ("finished", 8, 2)
    assert all(bool(mx.isfinite(array).all()) for array in done.weights.values())
    rows = curves(done.outcome).splitlines()
    assert rows[0] + "\n" == HEADER and len(rows) == 9 and "nan" not in "".join(rows)


def test_three_in_a_row_stop_the_run_and_nothing_sound_is_an_error(tiny_base: Path, adapters: dict[Kind, Path]) -> None:
    with spoilt({5, 6, 7}):
        done = align(tiny_base, adapters[Kind.lora], ROWS, CONFIG, max_tokens=160)
    assert (done.outcome.status.value, len(done.outcome.steps), done.outcome.best.update) == ("diverged", 7, 4)
    with spoilt({1, 2, 3}), pytest.raises(TrainError, match="none of 3 updates was sound"):
        align(tiny_base, adapters[Kind.lora], ROWS, CONFIG, max_tokens=160)


def test_the_reference_is_computed_once_and_used_for_the_same_content_only(
    tiny_base: Path, adapters: dict[Kind, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    base = ready(tiny_base, adapters[Kind.lora], checkpointing=False)
    split = split_head(base.model)
    train, valid = (encode_pairs(ROWS["pairs"], base.tokenizer, part) for part in ("train", "valid"))
    material = Material(train, valid, [pair.chosen for pair in valid])
    measured: list[Material] = []
    original = module.measured
    monkeypatch.setattr(module, "measured", lambda split, shown: measured.append(shown) or original(split, shown))

    def computed(shown: Material, made_of: Any) -> Any:
        before = len(measured)
        return module.reference(split, shown, made_of), len(measured) - before

    first, times = computed(material, {"adapter": "1"})
    assert times == 1
    again, times = computed(material, {"adapter": "1"})
    assert times == 0
    assert (again.train == first.train).all() and (again.valid == first.valid).all()
    assert again.real_nats == first.real_nats
    swapped = Pair(train[0].rejected, train[0].chosen)
    for other in (
        replace(material, train=[swapped, *train[1:]]),
        replace(material, train=train[1:]),
        replace(material, train=[*train, valid[0]], valid=valid[1:]),
        replace(material, real=material.real[1:]),
    ):
        assert computed(other, {"adapter": "1"})[1] == 1
    assert computed(material, {"adapter": "2"})[1] == 1
    for path in Path(".work/references").iterdir():
        path.write_text("{")
    assert computed(material, {"adapter": "1"})[1] == 1


class SeenError(Exception):
    """The run is stopped once it has said what its reference is made of."""


def test_base_adapter_code_and_arithmetic_decide_which_reference_it_is(
    tiny_base: Path, tiny_llama: Path, adapters: dict[Kind, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def seen(folder: Path, kind: Kind, code: str) -> Any:
        made: list[Any] = []

        def stop(split: Any, material: Any, made_of: Any) -> None:
            made.append(made_of)
            raise SeenError

        monkeypatch.setattr(dpo, "reference", stop)
        with pytest.raises(SeenError, match="^$"):
            align(folder, adapters[kind], ROWS, CONFIG, max_tokens=160, code=code)
        return made[0]

    one = seen(tiny_base, Kind.lora, "1")
    assert one == seen(tiny_base, Kind.lora, "1") and one["machine"] == checkpoint.machine()
    assert one != seen(tiny_base, Kind.dora, "1")
    assert one != seen(tiny_base, Kind.lora, "2")
    assert one["base"] != seen(tiny_llama, Kind.lora, "1")["base"]


def test_the_alarm_tells_when_the_persons_replies_are_displaced_and_none_such_is_kept(
    tiny_base: Path, adapters: dict[Kind, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    strict = replace(CONFIG, displacement_max=0.01)
    done = align(tiny_base, adapters[Kind.lora], SWAPPED, strict, max_tokens=160)
    told = metrics(done.outcome, done.material, 64, done.drift, strict)
    assert told["rewards_never_gates"]["accuracy"]["last"] == 1.0
    assert told["displacement"]["alarm"] is True and told["displacement"]["displaced"] == 2
    assert told["displacement"]["worst_bits_per_token"] > 0.01
    assert (told["kept"], told["updates"]["best"]) == ("trained adapter", 0)
    assert "DISPLACED" in capsys.readouterr().out
    saved = mx.load(str(adapters[Kind.lora] / "adapters.safetensors"))
    assert isinstance(saved, dict)
    assert all(bool((done.weights[name] == saved[name]).all()) for name in saved)


def test_the_alarm_is_silent_where_they_gain(undisturbed: Aligned) -> None:
    told = metrics(undisturbed.outcome, undisturbed.material, 64, undisturbed.drift, CONFIG)
    assert told["displacement"]["alarm"] is False
    bits = told["real_replies"]["bits_per_token"]
    assert bits["after"] < bits["before"]
    assert told["length"]["prompts"] == 2 and told["length"]["person_tokens"] > 0


def look(update: int, accuracy: float, bits: float) -> Look:
    return Look(update, accuracy, 0.0, 0.0, 0.0, bits)


@pytest.mark.parametrize(
    ("candidate", "wins"),
    [
        ((0.8, 3.00), True),
        ((0.7, 3.04), False),  # equal accuracy, less likely replies
        ((0.7, 2.99), True),  # equal accuracy, likelier ones
        ((0.9, 3.051), False),  # displaced, whatever it is worth
        ((0.9, math.nan), False),
        ((math.nan, 2.0), False),
        ((0.6, 2.00), False),
    ],
)
def test_the_best_adapter_has_the_highest_accuracy_among_those_that_keep_real_replies(
    candidate: tuple[float, float], wins: bool
) -> None:
    assert better(look(2, *candidate), look(1, 0.7, 3.0), look(0, 0.5, 3.0), 0.05) is wins


def test_material_needs_pairs_of_both_parts(tiny_base: Path, adapters: dict[Kind, Path]) -> None:
    rows = {**ROWS, "pairs": pair_rows(TRAIN, "train")}
    with pytest.raises(DataError, match="has 24 pairs of train and 0 of valid"):
        align(tiny_base, adapters[Kind.lora], rows, CONFIG, max_tokens=160)
    assert Material([], [], [Example("a", (1, 2, 3), 1)]).bits(2 * math.log(2)) == pytest.approx(1.0)


def staged(
    project: Path,
    base: Path,
    adapter: Path,
    rows: dict[str, Any],
    config: AlignConfig,
    *,
    memory: MemoryConfig = UNDECLARED,
) -> dict[str, Any]:
    """Run the stage's own work in a small project and return what it wrote."""
    write_jsonl(project / dpo.PAIRS, rows["pairs"])
    write_jsonl(project / dpo.VALID, rows["valid"])
    place = {"id": "tiny", "kind": "local", "folder": None, "revision": None, "fixture": True}
    recipe = {"version": 1, "base": identify(base, place), "max_tokens": 160}
    told, _ = dpo.run(adapter, project / "adapter", config, memory, recipe=recipe, place=str(base), inputs=INPUTS)
    files = {path.name: path.read_bytes() for path in (project / "adapter").iterdir()}
    assert json.loads(files.pop("recipe.json")).items() >= recipe.items()
    assert files["adapter_config.json"] == (adapter / "adapter_config.json").read_bytes()
    assert not list((project / ".work/checkpoints").iterdir())
    return told | {"weights": files["adapters.safetensors"]}


def test_the_stage_saves_what_it_learned_or_the_trained_adapter_to_the_byte(
    project: Path, tiny_base: Path, adapters: dict[Kind, Path]
) -> None:
    short = replace(CONFIG, updates=2, validate_every=1, displacement_max=0.0)
    trained = (adapters[Kind.dora] / "adapters.safetensors").read_bytes()
    learned = staged(project, tiny_base, adapters[Kind.dora], ROWS, short)
    assert learned["weights"] != trained and learned["kept"] == "aligned adapter"
    displacing = staged(project, tiny_base, adapters[Kind.dora], SWAPPED, short)
    assert displacing["weights"] == trained and displacing["kept"] == "trained adapter"


def test_what_would_not_fit_is_refused_before_the_model_is_loaded(
    project: Path, tiny_base: Path, adapters: dict[Kind, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dpo, "load_base", lambda folder: pytest.fail("the model was loaded"))
    with pytest.raises(MemoryPlanError, match=r"DoRA r4 by DPO needs .* MiB at batch 8 × 2 × 160 tokens"):
        staged(project, tiny_base, adapters[Kind.dora], ROWS, CONFIG, memory=MemoryConfig(1e-3))
    assert not (project / "adapter").exists()


def test_memory_that_runs_out_in_an_update_is_told_with_what_needs_less(
    project: Path, tiny_base: Path, adapters: dict[Kind, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: PairTrainer, micro_batches: Any) -> Any:
        raise RuntimeError("[malloc] Unable to allocate 64 bytes.")

    monkeypatch.setattr(PairTrainer, "gradients", fail)
    with pytest.raises(MemoryPlanError, match="memory ran out in training LoRA r4 by DPO at batch 8") as told:
        staged(project, tiny_base, adapters[Kind.lora], ROWS, CONFIG)
    assert "-S align.batch=4 -S align.accumulate=2" in str(told.value)
    assert "memory.budget_gib declares none" in str(told.value)


def test_the_peak_is_predicted_in_the_metrics_and_measured_outside_every_output(
    project: Path, tiny_base: Path, adapters: dict[Kind, Path]
) -> None:
    with recording("align", "f"):
        told = staged(project, tiny_base, adapters[Kind.lora], ROWS, replace(CONFIG, updates=1))
    facts = read_facts(facts_path("align", "f"))
    assert facts["planned_peak_bytes"] == told["predicted_bytes"]["total"] > 0
    assert facts["peak_array_bytes"] and "peak" not in json.dumps(told["predicted_bytes"])


def test_off_passes_the_adapter_through_and_names_the_run(project: Path, adapters: dict[Kind, Path]) -> None:
    source = project / "sft"
    source.mkdir()
    for name in ("adapters.safetensors", "adapter_config.json"):
        (source / name).write_bytes((adapters[Kind.lora] / name).read_bytes())
    trained = {"cmd": "train", "deps": {}, "params": {"adapter": 1}}
    (source / "recipe.json").write_text(json.dumps({"version": 1, "run": {"inputs": {"train": trained}}}))
    passed_through(source, project / "adapter", INPUTS)
    for name in ("adapters.safetensors", "adapter_config.json"):
        assert (project / "adapter" / name).read_bytes() == (source / name).read_bytes()
    made = json.loads((project / "adapter/recipe.json").read_text())
    assert made == {"version": 1, "run": made["run"]}
    assert made["run"]["id"] == run_id({"train": trained, "align": INPUTS})


def test_without_a_trained_adapter_both_ways_are_an_error(project: Path) -> None:
    with pytest.raises(DataError, match=r"sft/adapters\.safetensors is missing\. Bring it back"):
        passed_through(project / "sft", project / "adapter", INPUTS)
    with pytest.raises(DataError, match=r"sft/adapters\.safetensors is missing\. Bring it back"):
        dpo.run(project / "sft", project / "adapter", CONFIG, UNDECLARED, recipe={}, place=None, inputs=INPUTS)
    assert not (project / "adapter").exists()


def test_preference_changes_no_input_of_supervised_training() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    train = stages["train"]
    named = [*train["deps"], *train["params"]]
    assert not [name for name in named if "align" in name or "prefer" in name]
    made = {str(next(iter(out))) if isinstance(out, dict) else out for out in stages["prefer"]["outs"]}
    assert made.isdisjoint(train["deps"]) and "data/prefer/pairs.jsonl" in stages["align"]["deps"]
