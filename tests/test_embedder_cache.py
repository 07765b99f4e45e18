"""The cache of states changes nothing but the time: whole or made anew, whoever writes and whatever happens to it."""

import io
import re
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.minilm import make_bert
from tests.test_embedder_models import TEXTS, config
from twin.embedder import cache, embedder, model
from twin.embedder.cache import Cache
from twin.embedder.model import ModelEmbedder
from twin.progress import Progress

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bert(tmp_path_factory.mktemp("bert") / "tiny")


def make(bert: Path) -> ModelEmbedder:
    made = embedder(config("minilm", bert))
    assert isinstance(made, ModelEmbedder)
    return made


def vectors(count: int, width: int = 4) -> dict[bytes, np.ndarray]:
    return {cache.key("", str(n)): np.full(width, n / 7, np.float32) for n in range(count)}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_cached_vector_is_the_fresh_one_to_the_bit_and_is_not_made_again(
    bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = make(bert).embed(TEXTS)
    assert [path.suffix for path in Path(".work/states").iterdir()] == [".sqlite"]
    read: list[str] = []
    encode = model.encode
    monkeypatch.setattr(model, "encode", lambda encoder, texts: (read.extend(texts), encode(encoder, texts))[1])
    again = make(bert)
    assert np.array_equal(again.embed(TEXTS), fresh)
    assert read == []
    assert np.array_equal(again.embed(["new", *TEXTS])[1:], fresh)
    assert read == ["new"]


def test_another_model_another_length_and_another_device_share_nothing(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(bert).embed(TEXTS)
    embedder(config("minilm", bert, 20)).embed(TEXTS)
    embedder(config("minilm", make_bert(tmp_path / "other", layer_norm_eps=1e-5))).embed(TEXTS)
    assert len(list(Path(".work/states").iterdir())) == 3
    read: list[str] = []
    encode = model.encode
    monkeypatch.setattr(model, "encode", lambda encoder, texts: (read.extend(texts), encode(encoder, texts))[1])
    other = make(bert)
    other._maker = "mlx 0 gpu"
    other.embed(["ship it"])
    assert read == ["ship it"]


@pytest.mark.parametrize("damage", ["no database", "a page", "a bit of a vector"])
def test_a_damaged_cache_is_set_aside_once_and_made_anew(
    bert: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = [f"ship {n}" for n in range(60)]
    fresh = make(bert).embed(texts)
    (path,) = Path(".work/states").iterdir()
    data = bytearray(path.read_bytes())
    if damage == "no database":
        data[:100] = b"x" * 100
    elif damage == "a page":
        data[4096:] = b"\xff" * (len(data) - 4096)
    else:
        first = next(iter(sqlite3.connect(path).execute("SELECT vector FROM vectors")))[0]
        data[data.index(first)] ^= 1
    path.write_bytes(data)
    damaged = make(bert)
    assert np.array_equal(damaged.embed(texts), fresh)
    assert np.array_equal(damaged.embed(texts), fresh)
    assert capsys.readouterr().out.count("its states are made anew") == 1
    assert path.with_suffix(".damaged").read_bytes() == bytes(data)
    assert np.array_equal(make(bert).embed(texts), fresh)
    assert capsys.readouterr().out == ""


def test_a_full_disk_costs_the_cache_and_not_the_run(
    bert: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    connect = cache._connect

    def full(path: Path) -> sqlite3.Connection:
        db = connect(path)
        db.execute("PRAGMA max_page_count = 3")
        return db

    small = make(bert)
    small.embed(["ship it"])
    monkeypatch.setattr(cache, "_connect", full)
    many = [f"ship {n}" for n in range(300)]
    first = small.embed(many)
    assert np.array_equal(small.embed(many), first)
    said = capsys.readouterr().out
    assert said.count("cannot be used to write states") == 1 and "full" in said


def test_a_folder_that_cannot_be_written_costs_the_cache_and_not_the_run(
    bert: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(".work").write_text("a file")
    made = make(bert)
    assert np.array_equal(made.embed(TEXTS), made.embed(TEXTS))
    assert capsys.readouterr().out.count("cannot be used to write states") == 1


WRITER = """
import sys, numpy as np
from pathlib import Path
from twin.embedder.cache import Cache, key
kept = Cache(Path(sys.argv[1]))
for n in range(int(sys.argv[2])):
    kept.put({key("", str(m)): np.full(4, m / 7, np.float32) for m in range(20 * n, 20 * n + 20)})
    print(n, flush=True)
"""


def writer(path: Path, rounds: int) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(rounds)], cwd=ROOT, stdout=-1, text=True)


def test_processes_that_write_at_once_lose_and_harm_nothing(tmp_path: Path) -> None:
    path = tmp_path / "both.sqlite"
    both = [writer(path, 15) for _ in range(2)]
    assert [len(process.communicate()[0].split()) for process in both] == [15, 15]
    meant = vectors(300)
    found = Cache(path).get(list(meant), 4)
    assert len(found) == 300 and all(np.array_equal(found[name], meant[name]) for name in meant)


def test_a_kill_leaves_every_vector_that_was_put(tmp_path: Path) -> None:
    path = tmp_path / "killed.sqlite"
    process = writer(path, 100_000)
    assert process.stdout is not None
    while process.stdout.readline() != "20\n":
        pass
    process.send_signal(signal.SIGKILL)
    process.communicate()
    meant = vectors(420)
    assert len(Cache(path).get(list(meant), 4)) == 420
    assert sqlite3.connect(path).execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_what_takes_long_is_told_and_what_is_known_is_not(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "PATIENCE_S", 0.0)
    made, terminal = make(bert), Terminal()
    made.embed(TEXTS, Progress(terminal))
    assert re.search(r"states \d+/12 by some/model  \d+:\d\d left", terminal.getvalue())
    assert terminal.getvalue().endswith("states of 12 texts by some/model\n")
    silent = Terminal()
    made.embed(TEXTS, Progress(silent))
    assert silent.getvalue() == ""


def test_a_short_wait_is_silent(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "PATIENCE_S", 1e9)
    terminal = Terminal()
    make(bert).embed(TEXTS, Progress(terminal))
    assert terminal.getvalue() == ""
