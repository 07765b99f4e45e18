"""Ranks are started, heard and stopped together, whether an error, a kill or Ctrl-C ends a rank or their parent."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import mlx.core as mx
import pytest
import yaml

from stages import train as stage
from stages.train import launch
from stages.train.launch import HOSTFILE, LOST, is_parent, launcher, start
from stages.train.ranks import Ranks, join
from tests.test_train import ROWS
from twin.base import identify
from twin.errors import ConfigError, TrainError
from twin.identity import fingerprint, stage_inputs
from twin.runlog import facts_path, read_facts

# A rank that would say `orphan` if it lived on.
LIVE_ON = "exec 3>pipe; echo here >&3; sleep 5; echo orphan >&3"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(launch.RANK, raising=False)
    monkeypatch.delenv(HOSTFILE, raising=False)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    return tmp_path


def shell(text):
    return ["/bin/sh", "-c", text]


def test_several_ranks_need_a_parent_unless_this_is_one_of_them(here, monkeypatch):
    assert is_parent(2) and not is_parent(1)
    monkeypatch.setenv(HOSTFILE, "hosts.json")
    assert is_parent(1)
    monkeypatch.setenv(launch.RANK, "0")
    assert not is_parent(2)


def test_each_rank_finds_the_others_on_this_machine_alone(here, monkeypatch):
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    start(3, Path("last"), shell("cp $MLX_HOSTFILE $MLX_RANK; echo $OPENBLAS_NUM_THREADS >$MLX_RANK.threads; >last"))
    (hosts,) = {Path(str(rank)).read_text() for rank in range(3)}
    addresses = [address for one in json.loads(hosts) for address in one]
    assert len(set(addresses)) == 3 and all(address.startswith("127.0.0.1:") for address in addresses)
    threads = [int(Path(f"{rank}.threads").read_text()) for rank in range(3)]
    assert threads == [max(1, os.cpu_count() // 3)] * 3


def test_rank_0_is_heard_and_the_others_are_not(here, capfd):
    start(2, Path("last"), shell("echo rank $MLX_RANK; >last"))
    assert capfd.readouterr().out == "rank 0\n"


def test_an_error_of_a_rank_is_heard_and_stops_the_others(here, capfd):
    os.mkfifo("pipe")
    reader = os.open("pipe", os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(TrainError, match=r"rank 1 of 3 ended with status 3; what it said is above\. The others were"):
        start(3, Path("last"), shell(f"[ $MLX_RANK = 1 ] && echo DataError: why >&2 && exit 3; {LIVE_ON}"))
    assert capfd.readouterr().err == "DataError: why\n"
    os.set_blocking(reader, True)
    assert b"orphan" not in os.read(reader, 100)
    os.close(reader)


def test_the_rank_that_failed_is_named_and_not_one_that_lost_it():
    codes = [LOST, None, -signal.SIGKILL, LOST]
    ranks = [SimpleNamespace(poll=lambda code=code: code) for code in codes]
    assert launch._first_failure(ranks) == 2
    assert launch._first_failure(ranks[:2]) == 0
    assert launch._first_failure([SimpleNamespace(poll=lambda: 0)] * 2) is None


def test_a_run_without_a_result_is_no_success(here):
    Path("last").touch()  # of an earlier run
    with pytest.raises(TrainError, match=r"rank 0 did not write last: what ended it is said above"):
        start(2, Path("last"), shell("exit 0"))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_no_rank_outlives_its_parent(here, number):
    os.mkfifo("pipe")
    # A shell starts what runs in its background deaf to Ctrl-C, the tests too.
    hearing = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    body = f"{hearing}; from stages.train.launch import *; start(2, Path('last'), ['/bin/sh', '-c', {LIVE_ON!r}])"
    parent = subprocess.Popen([sys.executable, "-c", body], stderr=subprocess.PIPE, text=True)
    with Path("pipe").open() as pipe:
        assert [pipe.readline() for _ in range(2)] == ["here\n"] * 2
        parent.send_signal(number)
        assert pipe.read() == ""  # which ends when the last of them does
    said = parent.communicate()[1]
    assert parent.returncode == -number
    assert number == signal.SIGKILL or "`dvc repro` goes on from the last checkpoint." in said


def hostfile(hosts, **more):
    Path("hosts.json").write_text(json.dumps({"hosts": [{"ssh": host, "ips": [host]} for host in hosts], **more}))
    return Path("hosts.json")


def test_a_hostfile_runs_the_same_command_on_every_host(here):
    command = launcher(hostfile(["mac1", "mac2"], backend="jaccl"), 2, launch.COMMAND)
    assert Path(command[0]).name == "mlx.launch" and Path(command[0]).exists()
    options = ["--hostfile", "hosts.json", "--backend", "jaccl", "--cwd", str(here), "--"]
    assert command[1:] == [*options, sys.executable, "-m", "twin.guard", "train"]
    assert "ring" in launcher(hostfile(["mac1", "mac2"]), 2, launch.COMMAND)


def test_a_hostfile_of_another_number_of_hosts_or_none_at_all_is_refused(here):
    with pytest.raises(ConfigError, match=r"lists 2 hosts and train\.ranks is 4\. Run with -S train\.ranks=2"):
        launcher(hostfile(["mac1", "mac2"]), 4, [])
    with pytest.raises(ConfigError, match=r"backend is mpi; training knows ring, jaccl, jaccl-ring"):
        launcher(hostfile(["mac1"], backend="mpi"), 1, [])
    Path("hosts.json").write_text('{"hosts": ["mac1"]}')
    for name in ("hosts.json", "missing.json"):
        with pytest.raises(
            ConfigError, match=rf"TWIN_HOSTFILE={name} is not a hostfile: .* `mlx\.distributed_config` writes"
        ):
            launcher(Path(name), 1, [])


def test_mlx_launch_runs_the_ranks_of_a_hostfile_and_its_failures_are_seen(here, monkeypatch, capfd):
    # The loopback is the one host that mlx.launch reaches without ssh.
    monkeypatch.setenv(HOSTFILE, str(hostfile(["127.0.0.1", "127.0.0.1"])))
    start(2, Path("last"), shell("echo rank $MLX_RANK; [ $MLX_RANK = 1 ] || >last"))
    assert sorted(capfd.readouterr().out.split("\n")) == ["", "rank 0", "rank 1"]
    with pytest.raises(TrainError, match=r"rank 0 did not write last: what ended it is said above"):
        start(2, Path("last"), shell("[ $MLX_RANK = 1 ] && exit 3; sleep 60"))
    assert "Node with rank 1 exited with code 3" in capfd.readouterr().err


def test_a_rank_that_cannot_reach_the_others_says_so(here, monkeypatch):
    monkeypatch.setenv(launch.RANK, "5")
    Path("hosts.json").write_text('[["127.0.0.1:1"], ["127.0.0.1:2"]]')
    monkeypatch.setenv("MLX_HOSTFILE", "hosts.json")
    with pytest.raises(TrainError, match=r"rank 5 did not reach the others: \[ring\] Rank cannot be larger"):
        join(2)


def test_a_run_of_another_number_of_ranks_is_refused(here, monkeypatch):
    monkeypatch.setenv(launch.RANK, "0")
    monkeypatch.setattr(mx.distributed, "init", lambda **_: SimpleNamespace(rank=lambda: 0, size=lambda: 3))
    with pytest.raises(ConfigError, match=r"train\.ranks is 2, and 3 ranks were started\. Run with as many\."):
        join(2)


@pytest.fixture
def project(here, tiny_base):
    """A folder in which the stage runs with two ranks."""
    root = Path(__file__).parents[1]
    deps = ["data/split", "data/augment/recipe.json", "models/base"]
    entry = {"cmd": "python -m twin.guard train", "deps": deps, "params": ["adapter", "model.folder", "train"]}
    Path("dvc.yaml").write_text(yaml.safe_dump({"stages": {"train": entry}}))
    params = yaml.safe_load((root / "params.yaml").read_text())
    params["train"] |= {"updates": 40, "batch": 4, "accumulate": 2, "ranks": 2, "validate_every": 4}
    Path("params.yaml").write_text(yaml.safe_dump(params))
    for folder in ("data/split", "data/augment", "models/base"):
        Path(folder).mkdir(parents=True)
    for name, rows in ROWS.items():
        Path(f"data/split/{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    Path("data/split/canaries.jsonl").write_text("")
    Path("data/augment/recipe.json").write_text("{}")
    shutil.copytree(tiny_base, "models/tiny")
    place = {"id": "tiny", "kind": "folder", "folder": "models/tiny", "revision": None}
    Path("models/base/identity.json").write_text(json.dumps(identify(Path("models/tiny"), place)))
    return here


@pytest.mark.parametrize("number", [0, 1])
def test_a_rank_compares_its_inputs_first_and_waits_for_rank_0_which_alone_writes(project, monkeypatch, number):
    class Seen(Ranks):
        def agree(self, inputs):
            seen.append(set(inputs))

        def wait(self):
            seen.append(Path("metrics/train.csv").exists())

    seen = []
    params = yaml.safe_load(Path("params.yaml").read_text())
    Path("params.yaml").write_text(yaml.safe_dump(params | {"train": params["train"] | {"updates": 2}}))
    monkeypatch.setenv(launch.RANK, str(number))
    ranks = Seen()
    ranks.rank = number
    monkeypatch.setattr(stage, "join", lambda size: ranks)
    stage.main()
    names = {"the command", "data/split", "data/augment/recipe.json", "models/base", "adapter", "model.folder", "train"}
    assert seen == [names, number == 0]
    assert Path("models/sft").exists() == (number == 0)


@pytest.mark.slow
def test_a_killed_rank_ends_the_stage_and_the_next_run_finishes(project, monkeypatch, capfd):
    ranks, result, wait, sleep = [], Path("metrics/train.csv"), launch._first_failure, launch.sleep

    def watch(processes):
        ranks[:] = processes
        return wait(processes)

    def kill(wait_s):
        sleep(wait_s / 10)
        if "update 4/40" in capfd.readouterr().out:
            ranks[1].kill()

    def look(wait_s):
        sleep(wait_s)
        assert ranks[1].poll() is None or result.exists(), "a rank ends once rank 0 has written"

    monkeypatch.setattr(launch, "_first_failure", watch)
    monkeypatch.setattr(launch, "sleep", kill)
    monkeypatch.setattr(stage, "load_base", None)  # the parent has no use for it
    with pytest.raises(TrainError, match=r"rank 1 of 2 was killed by SIGKILL, .* goes on from the last checkpoint"):
        stage.main()
    assert all(rank.returncode is not None for rank in ranks)
    assert not Path("models/sft").exists()
    monkeypatch.setattr(launch, "sleep", look)
    stage.main()
    assert json.loads(Path("models/sft/recipe.json").read_text())["training"]["updates"] == 40
    assert len(result.read_text().splitlines()) == 41
    facts = read_facts(facts_path("train", fingerprint(stage_inputs("train"))))
    assert facts.keys() >= {"training_s", "peak_array_bytes", "wall_s"}
