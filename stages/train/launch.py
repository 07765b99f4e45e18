"""Starts the ranks of a run and watches them: train.ranks, perhaps a hostfile → the finished run, or what failed.

Every rank runs the stage's own command. On one machine:

    dvc exp run -S train.ranks=2 -S train.accumulate=8    # accumulate is a multiple of ranks

On two Macs, of which the first is this one, with `ranks: 2` in conf/train/. Hosts stay out of the parameters: equal
inputs must stay equal wherever they are trained on.

    mlx.distributed_config --hosts mac1,mac2 --over thunderbolt --backend jaccl --auto-setup \\
        --output-hostfile .work/hosts.json
    dvc repro split base && rsync -a --exclude .work ./ mac2:"$PWD"/    # and a hub model's ~/.cache/huggingface
    TWIN_HOSTFILE=.work/hosts.json dvc repro

mlx.launch reaches both by ssh, without a password. JACCL needs Thunderbolt 5 and macOS 26.2, with `rdma_ctl enable`
said once in recovery; `--backend ring` needs any network. A Mac that vanishes without closing its connections leaves
the other one waiting: Ctrl-C, and `dvc repro` goes on from the last checkpoint.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import sleep
from typing import Any

from twin.errors import ConfigError, TrainError

RANK = "MLX_RANK"
HOSTFILE = "TWIN_HOSTFILE"
COMMAND = (sys.executable, "-m", "twin.guard", "train")
BACKENDS = ("ring", "jaccl", "jaccl-ring")
LOST = 76  # EX_PROTOCOL of sysexits.h: the status of a rank that ends because another did
POLL_S = 0.1

Process = subprocess.Popen[bytes]


def is_parent(ranks: int) -> bool:
    """Whether this process is to start ranks: several are wanted, and it is none of them."""
    return RANK not in os.environ and (ranks > 1 or HOSTFILE in os.environ)


def start(ranks: int, last: Path, command: Sequence[str] = COMMAND) -> None:
    """Run `command` as each rank until all have ended; none outlives this process, however it ends.

    Args:
        last: the file that rank 0 writes last.

    Raises:
        ConfigError: the hostfile is none, or lists another number of hosts.
        TrainError: a rank failed; the others are stopped.
    """
    last.unlink(missing_ok=True)
    try:
        if HOSTFILE in os.environ:
            _on_hosts(launcher(Path(os.environ[HOSTFILE]), ranks, command))
        else:
            _here(ranks, command)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("`dvc repro` goes on from the last checkpoint.") from None
    if not last.exists():  # mlx.launch ends with status 0 also when a rank did not
        raise TrainError(
            f"rank 0 did not write {last}: what ended it is said above. The first host of the hostfile must be this "
            "machine. `dvc repro` goes on from the last checkpoint."
        )


def launcher(hostfile: Path, ranks: int, command: Sequence[str]) -> list[str]:
    """Return the mlx.launch command that runs `command` on every host of the hostfile.

    Raises:
        ConfigError: the hostfile is none, or lists another number of hosts.
    """
    try:
        read = json.loads(hostfile.read_bytes())
        hosts, backend = (read["hosts"], read.get("backend")) if isinstance(read, dict) else (read, None)
        count = len([host["ssh"] for host in hosts])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{HOSTFILE}={hostfile} is not a hostfile: {error!r}. `mlx.distributed_config` writes one."
        ) from error
    if count != ranks:
        raise ConfigError(
            f"{HOSTFILE}={hostfile} lists {count} hosts and train.ranks is {ranks}. Run with -S train.ranks={count} "
            "and an accumulate that is a multiple of it."
        )
    if (backend or "ring") not in BACKENDS:
        raise ConfigError(f"{hostfile}: backend is {backend}; training knows {', '.join(BACKENDS)}.")
    program = str(Path(sys.executable).with_name("mlx.launch"))
    place = ["--hostfile", str(hostfile), "--backend", backend or "ring", "--cwd", str(Path.cwd())]
    return [program, *place, "--", *command]


@contextmanager
def _together() -> Iterator[Callable[..., Process]]:
    """Yield a function that starts processes; they end with the block, and with this process however it ends."""
    # A pipe ends when its last writer does, also by kill -9: the shell then kills its process group, which is theirs.
    watch = subprocess.Popen(["/bin/sh", "-c", "read _; kill -9 0"], stdin=subprocess.PIPE, process_group=0)
    started = [watch]

    def add(command: Sequence[str], **options: Any) -> Process:
        started.append(subprocess.Popen(command, process_group=watch.pid, **options))
        return started[-1]

    try:
        yield add
    finally:
        for process in started:
            process.communicate()  # ends the pipe first, and so all of them


def _here(ranks: int, command: Sequence[str]) -> None:
    """Run the ranks on this machine, over its loopback: rank 0 is heard, another one only if it fails."""
    with tempfile.TemporaryDirectory() as name, _together() as add, ExitStack() as open_files:
        folder = Path(name)
        addresses = [[f"127.0.0.1:{port}"] for port in _free_ports(ranks)]
        (folder / "hosts.json").write_text(json.dumps(addresses))
        outputs = [open_files.enter_context((folder / f"{rank}.txt").open("w+b")) for rank in range(1, ranks)]
        # An OpenBLAS in each rank would start as many threads as there are cores.
        threads = str(max(1, (os.cpu_count() or 1) // ranks))
        environment = {"OPENBLAS_NUM_THREADS": threads, **os.environ, "MLX_HOSTFILE": str(folder / "hosts.json")}
        processes = [
            add(command, env=environment | {RANK: str(rank)}, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
            for rank, output in enumerate([None, *outputs])
        ]
        failed = _first_failure(processes)
        if failed is None:
            return
        if failed:
            outputs[failed - 1].seek(0)
            sys.stderr.write(outputs[failed - 1].read().decode(errors="replace"))
        raise TrainError(_what_happened(failed, ranks, processes[failed].returncode))


def _on_hosts(command: Sequence[str]) -> None:
    with _together() as add:
        # At the end of its input mlx.launch would read on and on: this one never ends.
        status = add(command, stdin=subprocess.PIPE).wait()
    if status:
        raise TrainError(f"mlx.launch ended with status {status}; what it said is above.")


def _first_failure(processes: Sequence[Process]) -> int | None:
    """Return which of the processes failed, once one has; None when all have ended well."""
    while True:
        codes = [process.poll() for process in processes]
        failed = [rank for rank, code in enumerate(codes) if code]
        if failed:
            return min(failed, key=lambda rank: codes[rank] == LOST)
        if None not in codes:
            return None
        sleep(POLL_S)


def _what_happened(rank: int, ranks: int, code: int) -> str:
    if code > 0:
        return f"rank {rank} of {ranks} ended with status {code}; what it said is above. The others were stopped."
    name = signal.Signals(-code).name
    why = ", as the system does when memory runs out" if name == "SIGKILL" else ""
    return (
        f"rank {rank} of {ranks} was killed by {name}{why}. The others were stopped; "
        "`dvc repro` goes on from the last checkpoint."
    )


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
