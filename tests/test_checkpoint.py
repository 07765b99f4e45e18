"""A checkpoint comes back exactly or is not used; it is of one run only; a full disk leaves the last one."""

import errno
import math
import os
import random
import resource
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlx.core as mx
import pytest

from stages.train.outcome import Outcome, Status, Step
from stages.train.state import FORM, State, packed
from stages.train.validation import Marks
from twin.errors import StorageError, TrainError
from twin.runlog import work_folder
from twin.training import checkpoint as module
from twin.training.checkpoint import Checkpoint, leftovers, open_checkpoint, run_key
from twin.training.health import Health
from twin.training.interrupt import postponed

INPUTS: dict[str, Any] = {"cmd": "python -m twin.guard train", "deps": {"data/split": "1.dir"}, "params": {}}
KEY = {"inputs": "1"}


def arrays(seed: int) -> dict[str, mx.array]:
    def noise(*shape: int) -> mx.array:
        return mx.random.normal(shape, key=mx.random.key(seed))

    odd = mx.array([[-0.0, math.nan], [math.inf, 1e-45]])
    return {"layers.0.a": noise(5, 3), "layers.1.a": noise(4, 6).T, "b": odd, "c": noise(3).astype(mx.bfloat16)}


def state(updates: int = 3, *, best: bool = True) -> State:
    steps = [Step(n, n / 3, 1 / n, None if n % 2 else 0.1 + n, 1e-4 / 3, math.nan) for n in range(1, updates + 1)]
    outcome = Outcome(2.0, 1.1, 2, arrays(1) if best else None, math.nan, 2, Status.finished, steps)
    optimizer = {"step": mx.array(2**40 + 1, dtype=mx.uint64), "learning_rate": mx.array(0.1)}
    return State(outcome, Health([0.1, 0.7], 1, 4), Marks(math.inf, 0.3, 2), arrays(2), optimizer | arrays(3))


def exactly(found: State) -> tuple[str, dict[str, tuple[Any, ...]]]:
    text, named = packed(found)
    raw = {name: (array.dtype, array.shape, array.reshape(-1).view(mx.uint8)) for name, array in named.items()}
    return text, {name: (*head, bytes(memoryview(data))) for name, (*head, data) in raw.items()}  # type: ignore[arg-type]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    return tmp_path


@pytest.fixture
def file(project: Path) -> Path:
    return project / "state.safetensors"


@pytest.mark.parametrize("saved", [state(), state(best=False), state(0, best=False)])
def test_a_state_comes_back_to_the_bit(file: Path, saved: State) -> None:
    Checkpoint(file, KEY, FORM).save(saved)
    found = Checkpoint(file, KEY, FORM).load(500)
    assert found is not None
    assert exactly(found) == exactly(saved)
    assert repr(replace(found.outcome, best_weights=None)) == repr(replace(saved.outcome, best_weights=None))
    assert (found.health, found.marks) == (saved.health, saved.marks)


def test_the_checksum_is_of_every_byte_name_type_and_shape() -> None:
    array = mx.array([1.0, 2.0])
    others = [
        ("x", {"a": array}),
        ("", {"b": array}),
        ("", {"a": array.view(mx.int32)}),
        ("", {"a": array.reshape(2, 1)}),
        ("", {"a": mx.array([1.0, 2.0 + 2**-22])}),
    ]
    assert len({module._checksum("", {"a": array}), *(module._checksum(*other) for other in others)}) == 6


def damaged(data: bytes) -> Iterator[tuple[str, bytes]]:
    rng = random.Random(17)
    header = 8 + int.from_bytes(data[:8], "little")
    for length in [0, 7, 8, 100, header, *(rng.randrange(header, len(data)) for _ in range(5)), len(data) - 1]:
        yield f"cut to {length}", data[:length]
    for place in [0, 7, *(rng.randrange(header) for _ in range(20)), *(rng.randrange(len(data)) for _ in range(20))]:
        yield (
            f"another byte at {place}",
            data[:place] + bytes([data[place] ^ 1 << rng.randrange(8)]) + data[place + 1 :],
        )
    yield "longer", data + b"\0"
    yield "zeros", bytes(len(data))
    yield "no metadata", b"\x02\0\0\0\0\0\0\0{}"


def test_a_damaged_file_is_never_used_and_never_fatal(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved = state()
    Checkpoint(file, KEY, FORM).save(saved)
    for what, data in list(damaged(file.read_bytes())):
        file.write_bytes(data)
        found = Checkpoint(file, KEY, FORM).load(500)
        # A changed space between two entries of the header says nothing else.
        assert found is None or exactly(found) == exactly(saved), what
        said = capsys.readouterr().out
        if found is None:
            assert said.startswith(f"{file} is ") and said.endswith("training starts from its beginning\n"), what
            assert said.count("\n") == 1 and not file.exists(), what


def test_a_file_of_another_run_is_not_used(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Checkpoint(file, KEY, FORM).save(state())
    assert Checkpoint(file, {"inputs": "2"}, FORM).load(500) is None
    assert "is of a run with other inputs or on another machine" in capsys.readouterr().out


def test_inputs_libraries_and_arithmetic_decide_which_run_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def rounded() -> str:
        return run_key(INPUTS)["rounding"]

    key = run_key(INPUTS)
    assert run_key(INPUTS) == key
    assert run_key({**INPUTS, "params": {"train.seed": 18}}) != key
    monkeypatch.setattr(module, "version", lambda name: "0")
    assert {name for name, value in run_key(INPUTS).items() if key[name] != value} == set(module.LIBRARIES)
    before, softmax = rounded(), mx.softmax
    # What another order of addition comes to.
    monkeypatch.setattr(mx, "softmax", lambda array: softmax(array * (1 + 2**-23)))
    assert rounded() != before


def test_a_run_finds_its_own_checkpoint_and_no_other(project: Path) -> None:
    with open_checkpoint(INPUTS, FORM) as mine:
        mine.save(state())
    with open_checkpoint({**INPUTS, "params": {"train.seed": 18}}, FORM) as other:
        assert other.load(500) is None
    with open_checkpoint(INPUTS, FORM) as again:
        assert again.load(500).update == 3


def test_a_temporary_run_keeps_its_state_in_the_parent_repository(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "temporary").mkdir()
    monkeypatch.chdir(project / "temporary")
    monkeypatch.setenv("DVC_ROOT", str(project))
    with open_checkpoint(INPUTS, FORM) as kept:
        kept.save(state())
    assert list(project.glob(f".work/checkpoints/*/{module.FILE}"))
    assert not (project / "temporary/.work").exists()


def test_a_run_that_ended_or_failed_for_good_leaves_nothing(project: Path) -> None:
    with open_checkpoint(INPUTS, FORM) as kept:
        kept.save(state())
        kept.remove()
    assert list((work_folder() / "checkpoints").iterdir()) == []

    def fail() -> None:
        with open_checkpoint(INPUTS, FORM) as kept:
            kept.save(state())
            raise TrainError("diverged")

    with pytest.raises(TrainError, match="diverged"):
        fail()
    with pytest.raises(KeyboardInterrupt, match="^$"), open_checkpoint(INPUTS, FORM):
        raise KeyboardInterrupt
    assert list((work_folder() / "checkpoints").iterdir()) == []


def test_an_interrupted_run_says_what_it_goes_on_from(project: Path) -> None:
    def interrupt(*, load: bool) -> None:
        with open_checkpoint(INPUTS, FORM) as kept:
            if load:
                kept.load(500)
            raise KeyboardInterrupt

    with open_checkpoint(INPUTS, FORM) as kept:
        kept.save(state())
    with pytest.raises(KeyboardInterrupt, match="^`dvc repro` goes on from update 3.$"):
        interrupt(load=True)
    with pytest.raises(KeyboardInterrupt, match="^`dvc repro` goes on from its last state.$"):
        interrupt(load=False)


def test_two_processes_do_not_share_a_checkpoint(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with open_checkpoint(INPUTS, FORM) as mine:
        mine.save(state())
        with open_checkpoint(INPUTS, FORM) as none:
            assert none is None
        assert "another process trains on the same inputs" in capsys.readouterr().out
        assert leftovers() == ""
    with open_checkpoint(INPUTS, FORM) as mine:
        assert mine is not None


def test_half_a_file_of_a_killed_save_is_cleared_away(project: Path) -> None:
    with open_checkpoint(INPUTS, FORM) as kept:
        kept.save(state())
    (folder,) = (work_folder() / "checkpoints").iterdir()
    (folder / f".{module.FILE}.x1.part").write_bytes(b"half")
    with open_checkpoint(INPUTS, FORM):
        assert [path.name for path in folder.iterdir()] == [module.FILE]


def test_what_other_runs_left_is_named_with_its_size(project: Path) -> None:
    assert leftovers() == ""
    for seed in (1, 2):
        with open_checkpoint({**INPUTS, "params": {"train.seed": seed}}, FORM) as kept:
            kept.save(state())
    folders = sorted((work_folder() / "checkpoints").iterdir())
    (folders[0] / module.FILE).write_bytes(bytes(5 * 2**20))
    names = " ".join(map(str, folders))
    said = "checkpoints of 2 interrupted runs with other inputs are kept, 5.0 MiB. Delete: rm -r"
    assert leftovers() == f"{said} {names}"


def full_disk(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_leaves_the_last_state_and_says_which(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Checkpoint(file, KEY, FORM)
    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(StorageError, match=r"Free some space .* update 3 takes \S+ MiB\. No earlier one was saved\."):
        kept.save(state())
    monkeypatch.undo()
    kept.save(state())
    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(StorageError, match=r"update 9 takes \S+ MiB\. `dvc repro` goes on from update 3\.$"):
        kept.save(state(9))
    assert exactly(Checkpoint(file, KEY, FORM).load(500)) == exactly(state())
    assert list(file.parent.iterdir()) == [file]


def test_a_disk_that_takes_half_a_state_leaves_the_last_one(file: Path) -> None:
    kept = Checkpoint(file, KEY, FORM)
    kept.save(state())
    # The system itself refuses to let a file of this process grow; Python ignores the signal that comes with it.
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    assert signal.getsignal(signal.SIGXFSZ) is signal.SIG_IGN
    resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size // 2, hard))
    try:
        with pytest.raises(StorageError, match=r"could not be written \(File too large\); .* goes on from update 3\.$"):
            kept.save(state(9))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert exactly(Checkpoint(file, KEY, FORM).load(500)) == exactly(state())
    assert list(file.parent.iterdir()) == [file]


def test_a_state_is_due_after_a_minute_and_later_where_saving_is_slow(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(now_s=100.0)
    monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: clock.now_s))

    def due_after_s(kept: Checkpoint) -> float:
        started_s = clock.now_s
        while not kept.due():
            clock.now_s += 0.5
        return clock.now_s - started_s

    kept = Checkpoint(file, KEY, FORM)
    assert due_after_s(kept) == module.EVERY_S
    kept.save(state())
    assert due_after_s(kept) == module.EVERY_S
    write = module.write_with

    def slow(path: Path, fill: Any) -> None:
        write(path, fill)
        clock.now_s += 4.0

    monkeypatch.setattr(module, "write_with", slow)
    kept.save(state())
    assert due_after_s(kept) == 4 * module.EVERY_S


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_first_signal_waits_and_a_second_does_not(number: signal.Signals, capfd: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(number)
    reached = []

    def block(signals: int) -> None:
        with postponed() as stop:
            for _ in range(signals):
                os.kill(os.getpid(), number)
                reached.append(stop.asked)

    with pytest.raises(KeyboardInterrupt):
        block(1)
    assert reached == [True]
    with pytest.raises(KeyboardInterrupt):
        block(2)
    assert reached == [True, True]
    assert capfd.readouterr().err.count("stopping after this update, which is kept") == 2
    assert signal.getsignal(number) is before


def test_without_a_signal_nothing_happens() -> None:
    with postponed() as stop:
        assert not stop.asked
