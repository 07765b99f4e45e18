"""Preference training that would not fit is refused with its own ways out, and each of them fits."""

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import make_rows
from tests.structure import ROOT
from twin.config.adapter import AdapterConfig
from twin.config.align import AlignConfig
from twin.config.load import build, load, read
from twin.config.memory import MemoryConfig
from twin.config.train import TrainConfig
from twin.errors import MemoryPlanError
from twin.model import load_base
from twin.plan.candidates import Longest, Planned
from twin.plan.memory import GIB
from twin.plan.pairs import PairsPlanned, PairTokens, pair_tokens
from twin.plan.preflight import out_of_memory, preflight_pairs
from twin.plan.shape import shipped_shape
from twin.plan.ways import ways_out
from twin.tokens import encode

ADAPTER = load(AdapterConfig, ROOT / "params.yaml")
ALIGN = build(AlignConfig, read(ROOT / "conf/align/dpo.yaml"), "align")
TRAIN = build(TrainConfig, read(ROOT / "conf/train/standard.yaml"), "train")
MAC16_GIB = read(ROOT / "conf/memory/mac16.yaml")["budget_gib"]
EFFECTIVE = ALIGN.batch * ALIGN.accumulate


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No run of the checkout leaks into a command."""
    monkeypatch.chdir(tmp_path)


def pair_rows(rejected: str = "no idea, sorry") -> list[dict[str, Any]]:
    return [
        {"messages": row["messages"][:-1], "chosen": row["messages"][-1]["content"], "rejected": rejected}
        for row in make_rows(20)
    ]


def planned(model: str = "7b", pair: PairTokens | None = None, max_tokens: int = 2048, **align: Any) -> PairsPlanned:
    pairs = (pair or PairTokens(max_tokens, max_tokens, max_tokens),)
    return PairsPlanned(shipped_shape(f"qwen2.5-{model}"), ADAPTER, replace(ALIGN, **align), pairs, max_tokens)


def test_the_notes_fifth_run_fits_a_mac_of_16_gib() -> None:
    assert planned().need.total < MAC16_GIB * GIB


def test_a_pair_needs_what_two_examples_of_supervised_training_need() -> None:
    one = planned(batch=2, accumulate=4)
    train = replace(TRAIN, batch=4, accumulate=4, checkpointing=True)
    assert one.need == Planned(one.shape, ADAPTER, train, Longest(2048, 2048)).need


def test_no_pair_has_more_tokens_than_its_bound(tiny_base: Path) -> None:
    tokenizer = load_base(tiny_base).tokenizer
    rows = pair_rows("déjà vu, naïve 😀 Ωμέγα")
    for row, bound in zip(rows, pair_tokens(rows), strict=True):
        for which in ("chosen", "rejected"):
            example = encode([*row["messages"], {"role": "assistant", "content": row[which]}], tokenizer, "x")
            assert len(example.tokens) <= bound.prompt + getattr(bound, which)
            assert example.supervised <= getattr(bound, which)
    assert replace(planned(), pairs=pair_tokens(rows), max_tokens=32).longest == Longest(32, 32)


def refused(base: Path, budget: float, align: AlignConfig, rows: list[dict[str, Any]]) -> str:
    with pytest.raises(MemoryPlanError, match=r"^LoRA r32 by DPO needs .* usable \(memory\.budget_gib\)\.") as found:
        preflight_pairs(base, ADAPTER, align, MemoryConfig(budget), rows, max_tokens=512)
    return str(found.value)


def typed(line: str) -> dict[str, Any]:
    words = shlex.split(line[line.index("dvc exp run") :])[3:]
    return {key: json.loads(value) for key, value in (word.split("=") for word in words if word != "-S")}


def test_what_does_not_fit_is_refused_with_layouts_of_as_many_pairs_that_do(tiny_base: Path) -> None:
    rows, align = pair_rows(), replace(ALIGN, batch=8, accumulate=1, checkpointing=False)
    need = preflight_pairs(tiny_base, ADAPTER, align, MemoryConfig(None), rows, max_tokens=512).need.total
    budget = 0.5 * need / GIB
    first, *lines = refused(tiny_base, budget, align, rows).splitlines()
    assert "at batch 8 × 2 × " in first and first.endswith("These fit, fastest first:") and lines
    for line in lines:
        changed = {key.removeprefix("align."): value for key, value in typed(line).items()}
        other = replace(align, **changed)
        assert other.batch * other.accumulate == EFFECTIVE
        fits = preflight_pairs(tiny_base, ADAPTER, other, MemoryConfig(budget), rows, max_tokens=512)
        assert fits.need.total <= budget * GIB
    assert preflight_pairs(tiny_base, ADAPTER, align, MemoryConfig(need / GIB), rows, max_tokens=512)


def test_where_no_layout_fits_shorter_replies_are_proposed() -> None:
    one = planned("0.5b", PairTokens(prompt=40, chosen=80, rejected=1500))
    usable_bytes = min(other.need.total for other in one.alike) - 1
    first, *lines = ways_out(one, usable_bytes).splitlines()
    assert first.startswith("Nothing of the same effective batch fits: LoRA r32 by DPO at batch 1 × 2 × 1540 tokens")
    shorter, all_shorter = map(typed, lines)
    assert one.with_rejected(shorter["prefer.max_new_tokens"]).alike[-1].need.total <= usable_bytes
    assert replace(one, max_tokens=all_shorter["train.max_tokens"]).alike[-1].need.total <= usable_bytes
    assert "smaller base" in ways_out(one, one.need.weights)


def test_a_run_that_died_of_memory_is_told_what_needs_less_of_its_own_settings() -> None:
    died = planned(batch=4, accumulate=2)
    error = out_of_memory(RuntimeError("[malloc] Unable to allocate 8 bytes."), died, MemoryConfig(None))
    first, *lines = str(error).splitlines()
    assert first.startswith("memory ran out in training LoRA r32 by DPO at batch 4 × 2 × 2048 tokens ([malloc] Unable")
    assert first.endswith("These need less, fastest first:")
    assert lines and all(key.startswith("align.") for line in lines for key in typed(line))
