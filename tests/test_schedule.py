"""Where the work is done changes no byte: in this process, in others, or on a Dask cluster of two workers."""

import dataclasses
import os
import random
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from stages import augment as stage
from stages.augment import rows, schedule
from stages.augment.tally import Tally
from tests.test_augment import conversation
from tests.test_prompt import CONFIG
from twin.config.augment import AugmentConfig, Tags
from twin.errors import ConfigError, MemoryPlanError
from twin.turns import Conversation

WORDS = ("ship", "it", "when", "the", "build", "is", "green", "and", "ask", "me", "again", "before", "you", "touch")


def talks() -> list[Conversation]:
    draw = random.Random(0)
    return [
        conversation(
            [(draw.choice(("partner", "person")), " ".join(draw.choices(WORDS, k=6))) for _ in range(12)], f"c{n}."
        )
        for n in range(40)
    ]


def lines(config: AugmentConfig, scratch: Path) -> tuple[bytes, dict[str, object]]:
    said, tally = talks(), Tally()
    written = b"".join(stage.augment(said, config, sum(len(talk.turns) for talk in said), tally, scratch))
    return written, tally.metrics() | tally.histograms()


@pytest.fixture(autouse=True)
def _many_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "CHUNK_TURNS", 50)


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address="127.0.0.1:0"
    ) as started:
        yield str(started.scheduler_address)


@pytest.mark.parametrize("tags", [Tags.context, Tags.shuffled])
def test_two_dask_workers_write_the_bytes_of_one_process(tmp_path: Path, cluster: str, tags: Tags) -> None:
    config = dataclasses.replace(CONFIG, tags=tags)
    there = dataclasses.replace(config, scheduler=cluster)
    assert lines(there, tmp_path) == lines(config, tmp_path)


def test_both_dask_workers_work(cluster: str) -> None:
    pids = set(schedule.in_order(_pid, range(40), cluster, 40))
    assert len(pids) == 2
    assert os.getpid() not in pids


@pytest.mark.parametrize("tags", [Tags.context, Tags.shuffled])
def test_processes_write_the_bytes_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tags: Tags) -> None:
    config = dataclasses.replace(CONFIG, tags=tags)
    here = lines(config, tmp_path)
    monkeypatch.setattr(schedule, "SMALL_TURNS", 0)
    monkeypatch.setattr(schedule, "available_cores", lambda: 2)
    assert lines(config, tmp_path) == here


def test_results_come_in_order_and_few_items_are_fetched_ahead() -> None:
    fetched: list[int] = []
    items = (fetched.append(n) or n for n in range(30))
    for place, result in enumerate(schedule._in_processes(_same, items, 2)):
        assert result == place
        assert len(fetched) <= place + 2 * schedule.UNDER_WAY


def test_a_process_that_is_killed_is_told_and_not_waited_for() -> None:
    with pytest.raises(MemoryPlanError, match="a worker process was ended from outside"):
        list(schedule._in_processes(_end, range(3), 2))


@pytest.mark.parametrize("name", ["dask", "tcp://", "http://127.0.0.1:8786", "tcp://host:port", "local "])
def test_a_scheduler_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="must be local or the address of a Dask scheduler"):
        schedule.in_order(_same, [1], name, 1)


def test_a_scheduler_that_does_not_answer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "CONNECT_S", 1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ConfigError, match="no Dask scheduler answers at tcp://127"):
            list(schedule.in_order(_same, [1], address, 1))


def test_a_scheduler_without_workers_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from distributed import LocalCluster

    monkeypatch.setattr(schedule, "CONNECT_S", 1)
    with (
        LocalCluster(n_workers=0, processes=True, host="127.0.0.1", dashboard_address="127.0.0.1:0") as empty,
        pytest.raises(ConfigError, match="has no workers"),
    ):
        list(schedule.in_order(_same, [1], str(empty.scheduler_address), 1))


def _pid(_: int) -> int:
    threading.Event().wait(0.02)
    return os.getpid()


def _same(value: int) -> int:
    return value


def _end(_: int) -> None:
    os._exit(9)
