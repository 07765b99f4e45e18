"""A run that was killed ends as an undisturbed one does, to the byte: weights, metrics, curves, and how it ends."""

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlx.core as mx
import pytest
from mlx.utils import tree_map

from stages import train as stage
from stages.train import loop
from stages.train.outcome import Outcome, Status, Step
from stages.train.report import Reporter, curves, metrics
from stages.train.state import FORM, State
from stages.train.trainer import Trainer
from tests.test_train import ROWS, TRAIN, settings
from twin import progress
from twin.config.adapter import Kind
from twin.errors import StorageError, TrainError
from twin.training import checkpoint
from twin.training.checkpoint import Checkpoint, open_checkpoint
from twin.training.seeds import Purpose, derived_seed

ROOT = Path(__file__).parents[1]
INPUTS: dict[str, Any] = {"cmd": "python -m twin.guard train", "deps": {}, "params": {}}
EVERY_UPDATE = range(1, TRAIN.updates + 1)
SEEDS = {derived_seed(TRAIN.seed, Purpose.dropout, update): update for update in range(1, 31)}

Train = Callable[..., stage.Trained]


class KilledError(BaseException):
    """Stands for `kill -9`: nothing of ours catches it."""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.setattr(checkpoint, "EVERY_S", 0.0)
    return tmp_path


def train(base: Path, **changes: Any) -> stage.Trained:
    with open_checkpoint(INPUTS, FORM) as kept:
        trained = stage.train(base, ROWS, settings(**changes), kept)
        assert kept is not None
        kept.remove()
    return trained


@contextmanager
def killed_after(updates: set[int]) -> Iterator[None]:
    """Kill the process after it has kept one of these updates."""
    save = Checkpoint.save

    def save_and_die(self: Checkpoint, state: State) -> None:
        save(self, state)
        if state.update in updates:
            raise KilledError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoint, "save", save_and_die)
        yield


def train_killed(base: Path, updates: set[int], **changes: Any) -> stage.Trained:
    for _ in updates:
        with killed_after(updates), pytest.raises(KilledError):
            train(base, **changes)
    return train(base, **changes)


def outcome_bytes(trained: stage.Trained) -> dict[str, bytes]:
    arrays = {name: bytes(memoryview(array)) for name, array in trained.weights.items()}  # type: ignore[arg-type]
    numbers = metrics(trained.outcome, trained.encoded, trained.plan, {})
    return {**arrays, "csv": curves(trained.outcome).encode(), "json": json.dumps(numbers).encode()}


@pytest.fixture(scope="module")
def undisturbed(tiny_base: Path) -> stage.Trained:
    return stage.train(tiny_base, ROWS, settings())


@pytest.mark.parametrize("updates", [{5}, set(EVERY_UPDATE)], ids=lambda updates: f"{len(updates)}")
def test_a_killed_run_ends_with_the_bytes_of_an_undisturbed_one(
    tiny_base: Path, undisturbed: stage.Trained, updates: set[int]
) -> None:
    assert outcome_bytes(train_killed(tiny_base, updates)) == outcome_bytes(undisturbed)


def test_so_does_one_with_another_adapter_base_and_accumulation(tiny_quantized: Path) -> None:
    # One of two blocks: the first has no state in the optimizer.
    changes = {"adapter": {"kind": Kind.dora, "layers": 1, "dropout": 0.2}, "train": {"batch": 4, "accumulate": 2}}
    expected = stage.train(tiny_quantized, ROWS, settings(**changes))
    assert outcome_bytes(train_killed(tiny_quantized, {2, 7}, **changes)) == outcome_bytes(expected)


def test_keeping_the_state_changes_nothing(tiny_base: Path, undisturbed: stage.Trained) -> None:
    assert outcome_bytes(train(tiny_base)) == outcome_bytes(undisturbed)


@contextmanager
def spoilt(updates: set[int], *, loss: float = 1.0, gradient: float = 1.0) -> Iterator[None]:
    """Multiply loss and gradient of these updates."""
    original = Trainer.gradients

    def gradients(self: Trainer, micro_batches: Any, seed: int) -> tuple[float, Any]:
        found, tree = original(self, micro_batches, seed)
        if SEEDS[seed] not in updates:
            return found, tree
        return found * loss, tree_map(lambda array: array * gradient, tree)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "gradients", gradients)
        yield


@pytest.mark.parametrize(
    ("spoils", "updates", "steps", "status"),
    [
        ({"updates": {1, 4, 5, 9}, "gradient": float("nan")}, {1, 4, 8}, 12, Status.finished),
        ({"updates": {6, 7, 8}, "gradient": float("nan")}, {6, 7}, 8, Status.diverged),
        ({"updates": set(range(6, 13)), "loss": 4.0}, {5, 8}, 10, Status.diverged),
    ],
    ids=["skips", "three skips in a row", "losses above three times the median"],
)
def test_a_run_killed_in_the_middle_of_trouble_ends_as_it_would_have(
    tiny_base: Path, spoils: dict[str, Any], updates: set[int], steps: int, status: Status
) -> None:
    with spoilt(**spoils):
        expected = stage.train(tiny_base, ROWS, settings())
        found = train_killed(tiny_base, updates)
    assert outcome_bytes(found) == outcome_bytes(expected)
    assert (len(found.outcome.steps), found.outcome.status) == (steps, status)


def test_a_run_that_learned_nothing_fails_as_it_would_have_and_leaves_nothing(tiny_base: Path, project: Path) -> None:
    with spoilt({1, 2, 3}, gradient=float("nan")):
        with killed_after({2}), pytest.raises(KilledError):
            train(tiny_base)
        with pytest.raises(TrainError, match=r"diverged after 3 updates \(3 skipped\)"):
            train(tiny_base)
    assert list((project / ".work/checkpoints").iterdir()) == []


def test_a_run_killed_while_it_stagnates_stops_when_it_would_have(
    tiny_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "learning_rate", lambda update, updates, config: 5e-3 if update <= 2 else 0.0)
    changes = {"train": {"updates": 30, "validate_every": 2, "patience": 3}}
    found = train_killed(tiny_base, {5, 7}, **changes)
    assert (found.outcome.status, len(found.outcome.steps)) == (Status.early_stopped, 8)
    assert outcome_bytes(found) == outcome_bytes(stage.train(tiny_base, ROWS, settings(**changes)))


def test_the_best_weights_survive_although_the_last_are_others(
    tiny_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "learning_rate", lambda update, updates, config: 5e-3 if update <= 8 else -5e-3)
    found = train_killed(tiny_base, {10})
    assert found.outcome.best_update == 8
    assert outcome_bytes(found) == outcome_bytes(stage.train(tiny_base, ROWS, settings()))


def test_a_full_disk_stops_the_run_and_starting_again_finishes_it(
    tiny_base: Path, undisturbed: stage.Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    flush, flushed = os.fsync, []

    def full(handle: int) -> None:
        flushed.append(handle)
        if len(flushed) == 6:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        flush(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StorageError, match=r"No space left .* after update 6 .* goes on from update 5\.$"):
            train(tiny_base)
    again = train(tiny_base)
    assert again.resumed == 5
    assert outcome_bytes(again) == outcome_bytes(undisturbed)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_told_to_stop_keeps_the_update_it_is_in(
    tiny_base: Path, undisturbed: stage.Trained, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    monkeypatch.setattr(checkpoint, "EVERY_S", 1e9)
    original = Trainer.gradients

    def gradients(self: Trainer, micro_batches: Any, seed: int) -> tuple[float, Any]:
        if SEEDS[seed] == 5:
            os.kill(os.getpid(), number)
        return original(self, micro_batches, seed)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "gradients", gradients)
        with pytest.raises(KeyboardInterrupt, match=r"^`dvc repro` goes on from update 5\.$"):
            train(tiny_base)
    assert outcome_bytes(train(tiny_base)) == outcome_bytes(undisturbed)


def test_a_resumed_run_says_so_and_counts_its_own_pace(tiny_base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with killed_after({8}), pytest.raises(KilledError):
        train(tiny_base)
    assert "resumed" not in capsys.readouterr().out
    trained = train(tiny_base)
    said = capsys.readouterr().out
    assert said.count("resumed") == 1
    assert said.startswith("resumed after update 8 of 12 from .work/checkpoints/")
    facts = stage._facts(trained, 2.0)
    examples = trained.encoded["train"].examples
    tokens = sum(examples[row].supervised for update in trained.plan.updates[8:] for b in update for row in b.rows)
    assert (facts["resumed_after_update"], facts["supervised_tokens_per_s"]) == (8, tokens / 2)


def test_time_left_follows_from_the_updates_of_this_process(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = SimpleNamespace(now_s=0.0)
    monkeypatch.setattr(progress, "time", SimpleNamespace(perf_counter=lambda: clock.now_s))
    monkeypatch.setattr(mx, "get_peak_memory", lambda: 3 * 2**30)
    reporter = Reporter(100, done=60)
    clock.now_s = 20.0
    reporter(Step(70, 1.5, 0.5, 0.6, 1e-4, 0.25), Outcome(2.0, 0.7, 50), 1234.0)
    assert capsys.readouterr().out == (
        "update 70/100  epoch 1.50  loss 0.5000  valid 0.6000  best 0.7000 @ 50  lr 1.00e-04  norm 0.250  "
        "1,234 supervised tokens/s  peak 3.00 GiB  1:00 left\n"
    )


@pytest.mark.slow
def test_real_kills_at_random_instants_change_nothing() -> None:
    kills = 20 if sys.platform == "linux" else 4  # elsewhere each start imports everything again
    command = [sys.executable, "-m", "tests.kill", "--kills", str(kills)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the same bytes" in done.stdout
