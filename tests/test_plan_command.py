"""`twin plan` works from a fresh clone, needs no download, says what fits, how to run it and what it does not know."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import mlx.core as mx
import pytest
import yaml
from typer.testing import CliRunner

from tests.structure import ROOT
from twin.cli import app
from twin.config.load import read
from twin.errors import ConfigError
from twin.files import sha256_file

NOTE = ["qwen2.5-7b", "--tokens", "2048", "--budget", "10.67"]


@pytest.fixture(autouse=True)
def clone(tmp_path, monkeypatch):
    """What `git clone` brings, as far as a plan reads it."""
    for folder in ("conf", "models/demo"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def say(*arguments):
    done = CliRunner().invoke(app, ["plan", *arguments], catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


def test_the_default_run_is_planned_from_a_fresh_clone():
    shown = say()
    assert "demo: 314,208 parameters" in shown
    assert "for LoRA r32 at batch 8 × 160 tokens, no checkpointing" in shown
    assert "dvc repro split" in shown


def test_without_a_known_budget_only_the_need_is_shown(monkeypatch):
    monkeypatch.setattr(mx.metal, "is_available", lambda: False)
    shown = say()
    assert "-S memory.budget_gib=GIB" in shown and "Fits" not in shown and "dvc exp run" not in shown


def test_a_mac_proposes_what_metal_recommends(monkeypatch):
    monkeypatch.setattr(mx.metal, "is_available", lambda: True)
    monkeypatch.setattr(mx, "device_info", lambda device: {"max_recommended_working_set_size": 11_453_251_584})
    assert "10.66 GiB (what Metal recommends): the current configuration fits" in (shown := say())
    assert "-S memory.budget_gib=10.66" in shown


def test_a_declared_budget_comes_before_metals(clone, monkeypatch):
    monkeypatch.setattr(mx.metal, "is_available", lambda: True)
    declared = (clone / "params.yaml").read_text().replace("budget_gib: null", "budget_gib: 3.5")
    (clone / "params.yaml").write_text(declared)
    assert "3.5 GiB (memory.budget_gib)" in say()
    assert "2 GiB (--budget)" in say("--budget", "2")


def test_a_shipped_model_is_planned_without_a_download():
    shown = say(*NOTE)
    assert "7,615,616,512 parameters" in shown and "28 blocks" in shown
    assert "10.67 GiB (--budget): the current configuration does not fit" in shown
    table = shown.split("Fits")[1].split("Run")[0]
    rows = re.findall(r"(\w{4} r\d+) +(\d) × (\d) +(on|off) +([\d.]+) GiB +([\d,]+)\n", table)
    assert {name for name, *_ in rows} == {f"{kind} r{rank}" for kind in ("LoRA", "DoRA") for rank in (4, 8, 16, 32)}
    assert all(int(batch) * int(accumulate) == 8 and float(gib) <= 10.67 for _, batch, accumulate, _, gib, _ in rows)
    commands = [line for line in shown.split("Run")[1].split("Advice")[0].splitlines() if "dvc exp run" in line]
    assert len(commands) == 3
    assert all("-S model=qwen2.5-7b" in line and "-S train.max_tokens=2048" in line for line in commands)


def test_preference_training_has_a_line_and_what_would_fit_where_it_does_not(clone):
    assert "7.54 GiB for LoRA r32 by DPO at batch 1 × 2 × 2048 tokens, 8 such micro-batches an update" in say(*NOTE)
    assert "; off (-S align=dpo)\n" in say(*NOTE)
    params = read()
    params["align"] |= {"method": "dpo", "batch": 8, "accumulate": 1}
    (clone / "params.yaml").write_text(yaml.safe_dump(params))
    shown = say(*NOTE).split("DPO  ")[1].split("Fits")[0]
    assert "off" not in shown and "does not fit" in shown
    assert "-S model=qwen2.5-7b -S align.batch=2 -S align.accumulate=4" in shown
    assert "nor does any layout of as many pairs an update" in say("qwen2.5-7b", "--tokens", "2048", "--budget", "5")


def test_another_model_takes_the_place_of_the_runs_own(clone):
    given = {"model.id": {"conf": '"a"', "run": '"b"'}, "augment.window": {"conf": "10", "run": "5"}}
    record = {"params_sha256": sha256_file(clone / "params.yaml"), "overrides": given}
    (clone / "metrics").mkdir()
    (clone / "metrics/config.json").write_text(json.dumps(record))
    shown = say(*NOTE)
    assert "dvc exp run -S augment.window=5 -S model=qwen2.5-7b" in shown and "model.id" not in shown
    assert """dvc exp run -S 'model.id="b"' -S augment.window=5""" in say("--budget", "1")


def test_all_shows_what_does_not_fit():
    assert "too much" not in say(*NOTE)
    shown = say(*NOTE, "--all")
    fits, too_much = (len(re.findall(rf" × \d .* [\d,]+{end}\n", shown)) for end in ("", "  too much"))
    assert (fits + too_much, fits > 8) == (2 * 4 * 4 * 2, True)


def test_room_is_proposed_as_a_faster_layout_of_the_same_adapter():
    params = read()
    params["train"] |= {"batch": 1, "accumulate": 8, "checkpointing": True}
    Path("params.yaml").write_text(yaml.safe_dump(params))
    room = say("--budget", "1").split("Room")[1].split("Advice")[0]
    assert "LoRA r32 also fits at batch 8 × 160 tokens, no checkpointing" in room
    assert "-S train.batch=8 -S train.accumulate=1 -S train.checkpointing=false" in room


def test_a_budget_that_nothing_fits_says_what_would():
    shown = say("qwen2.5-7b", "--tokens", "2048", "--budget", "3")
    assert "Nothing of the same effective batch fits" in shown and "a smaller base" in shown


def test_a_shape_without_an_option_asks_for_the_folder_and_a_folder_is_an_option():
    assert "-S model=local -S model.folder=FOLDER" in say("qwen2.5-1.5b", "--budget", "10")
    assert "-S model=local -S model.folder=models/demo" in say("models/demo", "--budget", "10")


def test_a_model_that_is_not_there_is_answered_with_what_is():
    with pytest.raises(ConfigError, match=r"no model nope.*demo, local, .*qwen2\.5-7b.*a folder with a config\.json"):
        say("nope")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--budget", "-1"], r"twin plan --budget: memory\.budget_gib is -1\.0"),
        (["--tokens", "3"], r"twin plan --tokens: train\.max_tokens is 3; it must be at least"),
    ],
)
def test_values_out_of_range_are_refused(option, message):
    with pytest.raises(ConfigError, match=message):
        say(*option)


def test_the_command_line_starts_without_tensors():
    probe = "import sys, twin.cli; print({m.split('.')[0] for m in sys.modules} & {'mlx', 'mlx_lm', 'pandas'})"
    done = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
