"""Where the work is done: a function and its arguments → results in the order of the arguments.

In this process, in processes on this machine's cores, or on a Dask cluster; which one changes the time and nothing
else. A bounded number of arguments is under way, so memory stays flat.
"""

import os
import re
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection, get_context, parent_process
from typing import Any, Final, TypeVar

from twin.errors import ConfigError, MemoryPlanError

T = TypeVar("T")
R = TypeVar("R")

LOCAL: Final = "local"
CLUSTER: Final = re.compile(r"tcp://(?:[\w.-]+|\[[0-9a-fA-F:]+\]):\d{1,5}")
SMALL_TURNS: Final = 20_000
"""Up to here the processes would take longer to start, a second, than they save."""
UNDER_WAY: Final = 3
"""Arguments a worker: one that is worked on, one that waits, one that has to be fetched."""
CONNECT_S: Final = 10
GRAPH_WARNING: Final = {"distributed.admin.large-graph-warning-threshold": "1TB"}
"""A chunk travels with its task, and not ahead of it, so that Dask can do a lost worker's work again elsewhere."""


def contradiction(scheduler: str) -> str | None:
    """Say what is wrong with `augment.scheduler`, if anything."""
    if scheduler == LOCAL or CLUSTER.fullmatch(scheduler):
        return None
    return (
        f"augment.scheduler is {scheduler!r}; it must be local or the address of a Dask scheduler, such as "
        "tcp://127.0.0.1:8786."
    )


def in_order(function: Callable[[T], R], items: Iterable[T], scheduler: str, turns: int) -> Iterator[R]:
    """Yield `function` of each item, in the order of the items.

    Args:
        function: pure and picklable.
        items: read no further ahead than is under way.
        scheduler: `local` or `tcp://HOST:PORT`.
        turns: how many turns the items hold together; few of them stay in this process.

    Raises:
        ConfigError: `scheduler` is neither, Dask is not installed, or the cluster does not answer or lost its way.
        MemoryPlanError: a process was ended from outside.
    """
    problem = contradiction(scheduler)
    if problem:
        raise ConfigError(problem)
    if scheduler != LOCAL:
        return _on_cluster(function, items, scheduler)
    cores = available_cores()
    return map(function, items) if turns < SMALL_TURNS or cores == 1 else _in_processes(function, items, cores)


def available_cores() -> int:
    """Return the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _in_processes(function: Callable[[T], R], items: Iterable[T], workers: int) -> Iterator[R]:
    # Spawned: a fork would copy MLX's threads and Arrow's locks in whatever state they are.
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _follow_parent)
    try:
        yield from _collected(lambda item: pool.submit(function, item), items, workers * UNDER_WAY)
    except BrokenProcessPool as error:
        raise MemoryPlanError(
            "augment: a worker process was ended from outside, most often by the system when memory runs out. "
            "Free some memory and run `dvc repro` again."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _follow_parent() -> None:
    """Leave an interrupt to the parent, and end when it does, even by a kill."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    assert parent is not None

    def wait() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _on_cluster(function: Callable[[T], R], items: Iterable[T], address: str) -> Iterator[R]:
    try:
        import dask
        from distributed import Client, KilledWorker
    except ImportError as error:
        raise ConfigError(
            f"augment.scheduler is {address}, which needs Dask: pip install 'cognitive-twin[cluster]'."
        ) from error
    with _connected(Client, address) as client, dask.config.set(GRAPH_WARNING):
        under_way = UNDER_WAY * _threads(client, address)
        try:
            yield from _collected(lambda item: client.submit(function, item, pure=False), items, under_way)
        except KilledWorker as error:
            raise MemoryPlanError(
                f"augment: workers of {address} were ended again and again over one chunk, most often because memory "
                "runs out. Give them more memory and run `dvc repro` again."
            ) from error
        except (CancelledError, ImportError, RuntimeError) as error:
            raise ConfigError(
                f"augment: the cluster at {address} could not do the work ({error}). Keep it up, with the version of "
                "cognitive-twin that runs here on its scheduler and workers, and run `dvc repro` again."
            ) from error


def _connected(client: Any, address: str) -> Any:
    try:
        return client(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"augment.scheduler: no Dask scheduler answers at {address} ({error}). Start one with `dask scheduler`, "
            "or set augment.scheduler to local."
        ) from error


def _threads(client: Any, address: str) -> int:
    try:
        client.wait_for_workers(1, timeout=CONNECT_S)
    except TimeoutError as error:
        raise ConfigError(
            f"augment.scheduler: the Dask scheduler at {address} has no workers. Start some with "
            f"`dask worker {address}`, or set augment.scheduler to local."
        ) from error
    return int(sum(client.nthreads().values()))


def _collected(submit: Callable[[T], Any], items: Iterable[T], under_way: int) -> Iterator[Any]:
    waiting: deque[Any] = deque()
    for item in items:
        waiting.append(submit(item))
        if len(waiting) >= under_way:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
