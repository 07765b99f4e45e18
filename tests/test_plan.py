"""A run that would not fit is refused with what would; what fits is listed fastest first, and each command is whole."""

import json
import shlex
from dataclasses import replace
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import make_base, make_rows
from tests.structure import ROOT
from twin.config.adapter import AdapterConfig, Kind
from twin.config.load import build, load, read
from twin.config.memory import MemoryConfig
from twin.config.model import ModelConfig
from twin.config.train import TrainConfig
from twin.errors import MemoryPlanError, ModelError
from twin.files import read_jsonl, sha256_text
from twin.model import load_base
from twin.plan import advice
from twin.plan.advice import Data, advise, read_data
from twin.plan.candidates import Longest, Planned, candidates, fitting, layouts, most
from twin.plan.command import command, overrides
from twin.plan.memory import GIB, SCORES_BYTES, Load, adapter_parameters, predict
from twin.plan.preflight import dense, is_out_of_memory, longest, out_of_memory, preflight
from twin.plan.shape import read_shape, shipped_shape
from twin.tokens import encode

MAC16_GIB = read(ROOT / "conf/memory/mac16.yaml")["budget_gib"]
QWEN = {name: shipped_shape(f"qwen2.5-{name}") for name in ("0.5b", "3b", "7b")}
ADAPTER = load(AdapterConfig, ROOT / "params.yaml")
TRAIN = replace(
    build(TrainConfig, read(ROOT / "conf/train/standard.yaml"), "train"), batch=1, accumulate=8, checkpointing=True
)
LONG = Longest(2048, 2048)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """No run of the checkout leaks into a command."""
    monkeypatch.chdir(tmp_path)


def adapter(kind="lora", rank=32):
    return replace(ADAPTER, kind=Kind(kind), rank=rank)


def planned(model="7b", kind="lora", rank=32, longest=LONG, **train):
    return Planned(QWEN[model], adapter(kind, rank), replace(TRAIN, **train), longest)


def total(one):
    return one.need.total


@pytest.mark.parametrize(("model", "kind", "rank"), [("7b", "lora", 32), ("7b", "dora", 8), ("3b", "dora", 32)])
def test_the_three_configurations_of_the_note_fit_a_mac_of_16_gib(model, kind, rank):
    assert total(planned(model, kind, rank)) < MAC16_GIB * GIB


@pytest.mark.parametrize(("model", "millions"), [("7b", 56.9), ("3b", 42.2)])
def test_the_adapter_of_five_modules_has_the_exact_number_of_parameters(model, millions):
    assert round(adapter_parameters(QWEN[model], adapter()) / 1e6, 1) == millions
    assert planned(model).parameters == adapter_parameters(QWEN[model], adapter())


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(["lora", "dora"]),
    rank=st.integers(1, 64),
    rows=st.integers(1, 8),
    tokens=st.integers(16, 4096),
    checkpointing=st.booleans(),
    more=st.sampled_from(["rank", "rows", "tokens"]),
    by=st.integers(1, 400),
)
def test_more_tokens_rows_or_rank_never_need_less(*, kind, rank, rows, tokens, checkpointing, more, by):
    def need(rank, rows, tokens):
        load = Load(rows, tokens, rows * tokens, accumulate=2, checkpointing=checkpointing)
        return most(QWEN["0.5b"], adapter(kind, rank), load).total

    size = {"rank": rank, "rows": rows, "tokens": tokens}
    assert need(**size | {more: size[more] + by}) >= need(**size) - 1  # terms are rounded to bytes


def test_a_limit_just_above_blocked_attention_counts_the_shorter_rows_that_keep_their_scores():
    shape = QWEN["0.5b"]
    kept = int((SCORES_BYTES / shape.heads / shape.activation_bytes) ** 0.5)
    above = Load(1, kept + 1, 16, accumulate=1, checkpointing=False)
    assert predict(shape, adapter(), above).total < predict(shape, adapter(), replace(above, tokens=kept)).total
    assert most(shape, adapter(), above) == predict(shape, adapter(), replace(above, tokens=kept))


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_layout_keeps_the_examples_of_an_update(ranks):
    found = list(layouts(replace(TRAIN, batch=2, accumulate=6), ranks))
    assert {one.batch * one.accumulate for one in found} == {12}
    assert {one.batch for one in found} == ({1, 2, 3, 4, 6, 12} if ranks == 1 else {1, 2, 3, 6})
    assert all(one.accumulate % ranks == 0 for one in found)
    assert {one.checkpointing for one in found} == {True, False}


def test_candidates_are_of_the_ladder_and_the_present_rank_and_ordered_by_work():
    found = candidates(planned(kind="dora", rank=24))
    assert {one.adapter.rank for one in found} == {24, 32, 16, 8, 4}
    assert {one.adapter.kind for one in found} == set(Kind)
    assert [one.cost for one in found] == sorted(one.cost for one in found)


def test_checkpointing_dora_and_small_micro_batches_cost_time():
    quick = planned(batch=8, accumulate=1, checkpointing=False)
    for slower in (
        planned(batch=8, accumulate=1, checkpointing=True),
        planned(kind="dora", batch=8, accumulate=1, checkpointing=False),
        planned(batch=1, accumulate=8, checkpointing=False),
    ):
        assert slower.cost > quick.cost


def test_what_fits_is_the_fastest_layout_of_each_adapter():
    budget_bytes = MAC16_GIB * GIB
    found = fitting(planned(), budget_bytes)
    assert len(found) == len({one.title for one in found}) == 8
    for one in found:
        faster = [other for other in candidates(one) if other.title == one.title and other.cost < one.cost]
        assert total(one) <= budget_bytes and all(total(other) > budget_bytes for other in faster)


def test_packing_counts_a_micro_batch_as_one_long_row():
    packed = planned(batch=4, accumulate=2, packing=True).load
    assert (packed.rows, packed.tokens) == (1, 4 * LONG.tokens)


def test_no_row_is_longer_than_its_bound(tiny_base):
    tokenizer = load_base(tiny_base).tokenizer
    rows = make_rows(30)
    rows[0]["messages"][1]["content"] = "déjà vu, naïve 😀 Ωμέγα " * 3
    examples = [encode(row["messages"], tokenizer, row["id"]) for row in rows]
    bound = longest(rows, 10_000)
    assert max(len(example.tokens) for example in examples) <= bound.tokens
    assert max(example.supervised for example in examples) <= bound.supervised
    for one in rows:  # of each alone: the longest must not hide a bound that is too low
        example = encode(one["messages"], tokenizer, one["id"])
        assert len(example.tokens) <= longest([one], 10_000).tokens
    assert longest(rows, 32) == Longest(32, 32)


def test_a_run_that_does_not_fit_is_refused_with_the_commands_that_do(tiny_base):
    rows = make_rows(20)
    train = replace(TRAIN, batch=8, accumulate=1, checkpointing=False, max_tokens=512)
    fits = preflight(tiny_base, adapter("dora", 64), train, MemoryConfig(None), rows)
    budget = MemoryConfig(0.8 * total(fits) / GIB)
    with pytest.raises(MemoryPlanError) as refused:
        preflight(tiny_base, adapter("dora", 64), train, budget, rows)
    first, *lines = str(refused.value).splitlines()
    assert first.startswith("DoRA r64 needs ") and "MiB at batch 8 × " in first
    assert " are usable (memory.budget_gib). These fit, fastest first:" in first
    assert lines and all("dvc exp run -S adapter." in line for line in lines if "DoRA r64" not in line)
    costs = [one.cost for one in fitting(fits, budget.budget_gib * GIB)]
    assert len(costs) == len(lines) and costs == sorted(costs)


def test_every_command_of_a_refusal_leads_to_a_run_that_fits(tiny_base):
    rows, train = make_rows(20), replace(TRAIN, batch=8, accumulate=1, checkpointing=False, max_tokens=512)
    budget = MemoryConfig(0.6 * total(preflight(tiny_base, adapter("dora"), train, MemoryConfig(None), rows)) / GIB)
    with pytest.raises(MemoryPlanError, match="These fit") as refused:
        preflight(tiny_base, adapter("dora"), train, budget, rows)
    for line in str(refused.value).splitlines()[1:]:
        sections = {"adapter": {}, "train": {}}
        for setting in shlex.split(line)[shlex.split(line).index("run") + 1 :]:
            if setting != "-S":
                key, value = setting.split("=")
                section, name = key.split(".")
                sections[section][name] = Kind(value) if name == "kind" else json.loads(value)
        changed = replace(adapter("dora"), **sections["adapter"]), replace(train, **sections["train"])
        assert preflight(tiny_base, *changed, budget, rows).need.total <= budget.budget_gib * GIB


def test_a_budget_that_is_kept_refuses_nothing(tiny_base):
    rows = make_rows(3)
    need = total(preflight(tiny_base, adapter(), TRAIN, MemoryConfig(None), rows))
    assert total(preflight(tiny_base, adapter(), TRAIN, MemoryConfig(need / GIB), rows)) == need
    with pytest.raises(MemoryPlanError, match="LoRA r32 needs"):
        preflight(tiny_base, adapter(), TRAIN, MemoryConfig((need - 1) / GIB), rows)


def test_where_nothing_fits_shorter_examples_or_fewer_blocks_are_proposed(tmp_path):
    shapes = ROOT / "twin/plan/shapes/qwen2.5-0.5b.json"
    (tmp_path / "config.json").write_text(shapes.read_text())
    rows = [{"messages": [{"role": "user", "content": "x" * 5000}, {"role": "assistant", "content": "y" * 500}]}]
    lean = planned("0.5b", rank=4, longest=longest(rows, 2048))
    budget = MemoryConfig((total(lean) - 1) / GIB)
    with pytest.raises(MemoryPlanError, match="Nothing of the same effective batch fits") as refused:
        preflight(tmp_path, adapter(), TRAIN, budget, rows)
    assert "train.max_tokens=1024" in str(refused.value) and "adapter.layers=12" in str(refused.value)


def test_where_the_weights_alone_are_too_much_another_base_is_proposed(tmp_path):
    base = make_base(tmp_path / "base")
    with pytest.raises(MemoryPlanError, match=r"Take a smaller base, or the same in 4 bits \(-S model=…\), or declare"):
        preflight(base, adapter(), TRAIN, MemoryConfig(1e-6), make_rows(2))


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(ModelError, match="has no config.json"):
        preflight(tmp_path, adapter(), TRAIN, MemoryConfig(None), [])


def test_dora_works_on_copies_of_a_quantised_base_on_a_cpu_only(tiny_base, tiny_quantized, monkeypatch):
    assert [dense(read_shape(folder)) for folder in (tiny_base, tiny_quantized)] == [False, True]
    monkeypatch.setattr(mx, "default_device", lambda: mx.Device(mx.gpu, 0))
    assert not dense(read_shape(tiny_quantized))


def test_an_allocation_that_failed_is_told_from_other_errors():
    with pytest.raises(MemoryError, match="Unable to allocate") as failed:
        np.empty(2**60, dtype=np.uint8)
    assert is_out_of_memory(failed.value)
    wrapped = ModelError("mlx-lm cannot load it")
    wrapped.__cause__ = RuntimeError("[malloc] Unable to allocate 8 bytes.")
    assert is_out_of_memory(wrapped)
    assert not is_out_of_memory(MemoryPlanError("refused beforehand"))
    assert not is_out_of_memory(ValueError("out of memory"))


@pytest.mark.parametrize(
    ("text", "memory"),
    [
        ("[malloc] Unable to allocate 1099511627776 bytes.", True),
        ("[malloc_or_wait] Unable to allocate 64 bytes.", True),
        ("[metal::malloc] Attempting to allocate 9 bytes which is greater than the maximum allowed buffer size of 8 "
         "bytes.", True),
        ("[METAL] Command buffer execution failed: Insufficient Memory (00000008:kIOGPUCommandBuffer…)", True),
        ("cudaMallocAsync(&data, size, stream) failed: out of memory", True),
        ("std::bad_alloc", True),
        ("[metal::malloc] Resource limit (499000) exceeded.", False),
        ("[matmul] Last dimension of first input must match", False),
    ],
)  # fmt: skip
def test_mlx_says_that_memory_ran_out_in_these_words(text, memory):
    assert is_out_of_memory(RuntimeError(text)) is memory


@pytest.mark.parametrize("budget_gib", [None, MAC16_GIB])
def test_a_run_that_died_of_memory_is_told_what_needs_less(budget_gib):
    died = planned(kind="dora", rank=8)
    error = out_of_memory(RuntimeError("[malloc] Unable to allocate 8 bytes.\nmore"), died, MemoryConfig(budget_gib))
    assert isinstance(error, MemoryPlanError)
    first, *lines = str(error).splitlines()
    assert first.startswith("memory ran out in training DoRA r8 at batch 1 × 2048 tokens ([malloc] Unable to allocate")
    assert "predicted were 5." in first and first.endswith("These need less, fastest first:")
    needs = [float(line.split("dvc")[0].split()[-2]) for line in lines]
    assert lines and max(needs) < round(total(died) / GIB, 2)


def run_with(tmp_path, changed):
    text = (ROOT / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text)
    (tmp_path / "metrics").mkdir()
    record = {"params_sha256": sha256_text(text), "overrides": changed}
    (tmp_path / "metrics/config.json").write_text(json.dumps(record))


def test_a_command_repeats_what_the_run_was_started_with(tmp_path):
    """`dvc exp run` composes conf/ anew: without them the next run would have another model."""
    run_with(
        tmp_path,
        {
            "model.id": {"conf": '"a"', "run": '"mlx-community/Qwen2.5-7B-Instruct-4bit"'},
            "train.batch": {"conf": "1", "run": "4"},
            "ingest.roles.bot": {"conf": "absent", "run": '"partner"'},
            "ingest.roles.tool": {"conf": '"drop"', "run": "absent"},
        },
    )
    typed = command(overrides() | {"train.batch": "2"})
    assert shlex.split(typed) == [
        "dvc", "exp", "run", "-S", 'model.id="mlx-community/Qwen2.5-7B-Instruct-4bit"', "-S", "train.batch=2",
        "-S", '+ingest.roles.bot="partner"', "-S", "~ingest.roles.tool",
    ]  # fmt: skip


def test_a_refusal_repeats_what_the_run_was_started_with(tmp_path, tiny_base):
    run_with(tmp_path, {"augment.window": {"conf": "10", "run": "5"}, "train.batch": {"conf": "1", "run": "8"}})
    train = replace(TRAIN, batch=8, accumulate=1, checkpointing=False)
    budget = MemoryConfig(0.5 * total(preflight(tiny_base, adapter(), train, MemoryConfig(None), make_rows(9))) / GIB)
    with pytest.raises(MemoryPlanError, match="These fit") as refused:
        preflight(tiny_base, adapter(), train, budget, make_rows(9))
    for line in str(refused.value).splitlines()[1:]:
        assert "-S augment.window=5" in line and line.count("train.batch=") == 1


def test_the_record_of_another_run_is_not_repeated(tmp_path):
    run_with(tmp_path, {"train.batch": {"conf": "1", "run": "4"}})
    (tmp_path / "params.yaml").write_text("train: {}")
    assert overrides() == {}


def test_a_command_names_only_what_differs():
    now = planned(kind="dora", rank=8)
    wanted = now.with_changes(adapter("lora", 8), replace(now.train, batch=2, accumulate=4))
    assert wanted.settings(now) == {"adapter.kind": "lora", "train.batch": "2", "train.accumulate": "4"}
    assert now.settings(now) == {}


def test_the_settings_of_a_command_compose(tmp_path):
    from hydra import compose, initialize_config_dir

    from twin.config.schema import register

    register()
    now = planned(kind="lora", rank=32)
    wanted = now.with_changes(replace(adapter("dora", 4), layers=12), replace(now.train, batch=2, checkpointing=False))
    typed = [f"{key}={value}" for key, value in wanted.settings(now).items()]
    with initialize_config_dir(version_base=None, config_dir=str(ROOT / "conf")):
        composed = compose("config", overrides=typed)
    made = composed.adapter
    assert (made.kind, made.rank, made.layers) == (Kind.dora, 4, 12)
    assert (composed.train.batch, composed.train.checkpointing) == (2, False)


MODEL = build(ModelConfig, read(ROOT / "conf/model/qwen2.5-7b.yaml"), "model")


def test_advice_counts_epochs_and_parameters_per_token():
    one = planned(batch=2, accumulate=4, updates=500)
    text = "\n".join(advise(one, Data(2000, 150_000, Path("x"), estimated=False), 5e-5, MODEL))
    assert "2,000 examples with 150,000 supervised tokens" in text
    assert "500 updates of 8 examples are 2.00 epochs" in text
    assert "56,885,248 parameters, 379.2 a supervised token" in text
    assert "lies in the safe range" in text and "times as many" not in text


def test_fewer_tokens_ask_for_a_smaller_rank_and_a_rate_outside_is_named():
    text = "\n".join(advise(planned(), Data(500, 37_500, Path("x"), estimated=True), 2e-3, MODEL))
    assert "about 37,500 supervised tokens (estimated from x" in text
    assert "0.25 times as many; rank 8 gives" in text
    assert "is above the safe range" in text and "-S optimizer.learning_rate=4e-05" in text


def test_data_are_counted_by_the_last_training_or_estimated_or_asked_for(tmp_path):
    assert read_data() is None
    assert "dvc repro split" in advise(planned(), None, 5e-5, None)[0]
    advice.SPLIT.parent.mkdir(parents=True)
    rows = make_rows(4)
    advice.SPLIT.write_text("".join(json.dumps(row) + "\n" for row in rows))
    estimate = read_data()
    assert estimate is not None and estimate.estimated and estimate.examples == len(read_jsonl(advice.SPLIT))
    characters = sum(len(row["messages"][-1]["content"]) for row in rows)
    assert characters / 4 <= estimate.supervised <= characters / 4 + len(rows)
    advice.METRICS.parent.mkdir()
    advice.METRICS.write_text(json.dumps({"examples": {"train": 7}, "supervised_tokens": {"train": 99}}))
    assert read_data() == Data(7, 99, advice.METRICS, estimated=False)
