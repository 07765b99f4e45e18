"""One `dvc exp run` as a process group: command, log → how it ended, told from its log.

The group of a run holds a lock on a file, which the system gives back when the run ends. A campaign that is killed and
started again waits for that lock: a run that outlived it is not run a second time beside it.
"""

import fcntl
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from twin.campaign.journal import State
from twin.campaign.world import Ended

POLL_S = 0.5
GRACE_S = 120.0
"""Training ends after the update it is in, and keeps its state."""
LAST_LINES = 3
MODEL_STAGES = ("train", "align", "baseline", "generate")
MEMORY_SIGNALS = {
    signal.SIGKILL: "as the kernel does when memory runs out",
    signal.SIGSEGV: "as MLX's CPU backend does when an allocation fails",
}
REFUSED = re.compile(r"^MemoryPlanError: (.+)", re.MULTILINE)
DIVERGED = re.compile(r"^TrainError: (training diverged.+)", re.MULTILINE)
FAILED = re.compile(r"failed to reproduce '(\w+)'.*? exited with (-?\d+)", re.DOTALL)


def run(
    command: Sequence[str], log: Path, left_s: float | None, earlier: int | None, started: Callable[[int], None]
) -> Ended:
    """Run `command` in a group of its own until it ends, or until `left_s` is over; its output is added to `log`.

    `earlier` is the group that a killed campaign left: where its lock is still held, it is waited for instead.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    deadline_s = None if left_s is None else time.monotonic() + left_s
    with lock_of(log).open("w") as lock:
        if earlier is not None and not _free(lock.fileno()):
            started(earlier)
            return _waited_for(lock.fileno(), earlier, deadline_s)
        _take(lock.fileno())
        if earlier is not None and _is_stage(earlier):
            _end(earlier)
        begin = log.stat().st_size if log.exists() else 0
        with terminating():
            with log.open("ab") as out:
                process = subprocess.Popen(
                    command, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                    start_new_session=True, pass_fds=[lock.fileno()], env=environment(),
                )  # fmt: skip
            try:
                started(process.pid)
                spent = _watched(process, deadline_s)
            except KeyboardInterrupt:
                _interrupt(process)
                raise
            finally:
                _end(process.pid)  # an orphan of a killed dvc must not write beside the next run
        if spent:
            return Ended(State.interrupted, "the budget is spent; more of it goes on from where training stands")
        with log.open("rb") as file:
            file.seek(begin)
            said = file.read().decode("utf-8", "replace")
        return ended(process.returncode, said, log)


def lock_of(log: Path) -> Path:
    """Return the file whose lock a run holds."""
    return log.with_suffix(".lock")


def outlives(log: Path) -> bool:
    """Whether a run that was started earlier still goes on."""
    if not lock_of(log).exists():
        return False
    with lock_of(log).open("r+") as lock:
        return not _free(lock.fileno())


def environment() -> dict[str, str]:
    """Return this environment with our interpreter first: dvc.yaml says `python`."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return {**os.environ, "PATH": path, "DVC_NO_ANALYTICS": "1"}


def ended(status: int, said: str, log: Path) -> Ended:
    """Tell memory that ran out, and training that went nowhere, from a failure."""
    if status == 0:
        return Ended(State.finished)
    if refused := REFUSED.search(said):
        return Ended(State.memory, _sentence(refused[1]))
    if diverged := DIVERGED.search(said):
        return Ended(State.diverged, _sentence(diverged[1]))
    if failed := FAILED.search(said):
        stage, code = failed[1], int(failed[2])
        number = -code if code < 0 else code - 128  # a shell reports 128 + the signal
        for known, words in MEMORY_SIGNALS.items():
            if stage in MODEL_STAGES and number == known:
                return Ended(State.memory, f"{stage} ended by {known.name}, {words}")
    last = " / ".join(line.strip() for line in said.strip().splitlines()[-LAST_LINES:])
    how = f"signal {-status}" if status < 0 else f"status {status}"
    return Ended(State.failed, f"`dvc exp run` ended with {how}: {last} (all of it: {log})")


def _sentence(text: str) -> str:
    """What a message says before its ways out."""
    return re.split(" These | Nothing of ", text, maxsplit=1)[0].strip()


def _watched(process: "subprocess.Popen[bytes]", deadline_s: float | None) -> bool:
    """Wait for the end; True where the deadline came first."""
    while process.poll() is None:
        if deadline_s is not None and time.monotonic() > deadline_s:
            _interrupt(process)
            return True
        with suppress(subprocess.TimeoutExpired):
            process.wait(POLL_S)
    return False


def _waited_for(lock: int, group: int, deadline_s: float | None) -> Ended:
    """Wait for a run that outlived its campaign. Nobody has its exit status: what it left is looked up."""
    try:
        with terminating():
            while not _free(lock):
                if deadline_s is not None and time.monotonic() > deadline_s:
                    _signal(group, signal.SIGINT)
                    _until_free(lock, group)
                    return Ended(
                        State.interrupted, "the budget is spent; more of it goes on from where training stands"
                    )
                time.sleep(POLL_S)
    except KeyboardInterrupt:
        _signal(group, signal.SIGINT)
        _until_free(lock, group)
        raise
    return Ended(State.finished, "outlived")


def _until_free(lock: int, group: int) -> None:
    end_s = time.monotonic() + GRACE_S
    while not _free(lock) and time.monotonic() < end_s:
        time.sleep(POLL_S)
    _end(group)


def _interrupt(process: "subprocess.Popen[bytes]") -> None:
    """As Ctrl-C does: the whole group; what does not end in time is killed."""
    _signal(process.pid, signal.SIGINT)
    with suppress(subprocess.TimeoutExpired):
        process.wait(GRACE_S)
    _end(process.pid)
    process.wait()


def _end(group: int) -> None:
    _signal(group, signal.SIGKILL)


def _signal(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _is_stage(group: int) -> bool:
    """Whether a stage runs in the group although its dvc is gone; the number may be another program's by now."""
    found = subprocess.run(["ps", "-A", "-o", "pgid=,args="], capture_output=True, text=True, check=False)
    lines = (line.split(None, 1) for line in found.stdout.splitlines())
    return any(line[0] == str(group) and "twin.guard" in line[1] for line in lines if len(line) == 2)


def _free(handle: int) -> bool:
    """Whether nobody holds the lock; it is let go again."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(handle, fcntl.LOCK_UN)
    return True


def _take(handle: int) -> None:
    """Take the lock; who inherits the handle holds it too."""
    fcntl.flock(handle, fcntl.LOCK_EX)


@contextmanager
def terminating() -> Iterator[None]:
    """Treat SIGTERM as Ctrl-C, and let what is started here be interrupted.

    Behind `nohup` or `&` SIGINT is ignored, and a child inherits that: it could not be told to keep its state.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    for number in before:
        signal.signal(number, _stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(number: int, frame: object) -> None:
    raise KeyboardInterrupt
