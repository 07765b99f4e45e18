"""The plan never asks less for more, holds what the note's Mac can hold, and is near what the engine takes."""

from dataclasses import replace

import pytest

from bench.memory import Trial, predicted, run
from twin.config.adapter import AdapterConfig, Kind
from twin.errors import ConfigError
from twin.plan.memory import GIB, Load, adapter_parameters, predict
from twin.plan.shape import shipped_shape

pytestmark = pytest.mark.slow

KEYS = ["q_proj", "v_proj", "o_proj", "gate_proj", "down_proj"]
LOAD = Load(rows=1, tokens=2048, supervised=410, accumulate=8, checkpointing=True)


def adapter(kind=Kind.lora, rank=32, keys=KEYS, layers=None):
    return AdapterConfig(kind, list(keys), layers, rank, 2.0, 0.05)


@pytest.mark.parametrize(
    ("model", "kind", "rank"), [("7b", Kind.lora, 32), ("7b", Kind.dora, 8), ("3b", Kind.dora, 32)]
)
def test_the_notes_runs_fit_a_mac_with_16_gib(model, kind, rank):
    assert predict(shipped_shape(f"qwen2.5-{model}"), adapter(kind, rank), LOAD).total <= 10.67 * GIB


def test_trained_parameters_are_exact():
    assert adapter_parameters(shipped_shape("qwen2.5-7b"), adapter()) == 56_885_248
    assert adapter_parameters(shipped_shape("qwen2.5-3b"), adapter()) == 42_172_416
    halved = adapter_parameters(shipped_shape("qwen2.5-7b"), adapter(layers=14))
    assert halved == 56_885_248 // 2


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize(
    "more", [{"tokens": 512}, {"tokens": 4096}, {"rows": 2}, {"supervised": 300}, {"accumulate": 2}, {"rank": 64}]
)
def test_more_never_needs_less(kind, checkpointing, dense, more):
    shape = shipped_shape("qwen2.5-0.5b")
    less = Load(rows=1, tokens=256, supervised=50, accumulate=1, checkpointing=checkpointing, dense=dense)
    rank = more.get("rank", 32)
    greater = replace(less, **{key: value for key, value in more.items() if key != "rank"})
    assert predict(shape, adapter(kind, rank), greater).total >= predict(shape, adapter(kind), less).total


def test_checkpointing_and_fewer_layers_need_less():
    shape = shipped_shape("qwen2.5-7b")
    plain = predict(shape, adapter(), replace(LOAD, checkpointing=False)).total
    assert predict(shape, adapter(), LOAD).total < plain / 2
    assert predict(shape, adapter(layers=4), replace(LOAD, checkpointing=False)).total < plain / 2


def test_a_key_that_names_nothing_is_an_error_that_lists_the_layers():
    with pytest.raises(ConfigError, match=r"adapter\.keys names query, which no block of .* has.*self_attn\.q_proj"):
        predict(shipped_shape("qwen2.5-0.5b"), adapter(keys=["query"]), LOAD)
    with pytest.raises(ConfigError, match=r"adapter\.layers is 99; .* has 24 blocks"):
        predict(shipped_shape("qwen2.5-0.5b"), adapter(layers=99), LOAD)


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("kind", Kind)
def test_the_engine_takes_about_what_was_planned(kind, checkpointing):
    trial = Trial(
        "small", 3, kind.value, None, "float32", 160, 2, 8, checkpointing, 2, 256, sizes=(128, 768, 4, 2)
    )  # fmt: skip
    assert run(trial)["in step"] == pytest.approx(predicted(trial), rel=0.12)


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("kind", Kind)
def test_an_update_on_pairs_takes_about_what_was_planned(kind, checkpointing):
    trial = Trial(
        "small", 3, kind.value, None, "float32", 160, 4, 8, checkpointing, 2, 256, sizes=(128, 768, 4, 2), pairs=True
    )  # fmt: skip
    assert run(trial)["in step"] == pytest.approx(predicted(trial), rel=0.12)
