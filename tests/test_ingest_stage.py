"""The stage makes files of an export: the same bytes each time, no secret in them; bad input has one error."""

import csv
import io
import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stages import ingest as stage
from stages.ingest import write_turns
from stages.ingest.tally import DROPPED, Tally
from tests import planted
from tests.exports import (
    CELLS,
    CONFIG,
    HEADER,
    params,
    table,
)
from twin.errors import ConfigError, DataError, TwinError
from twin.export.batches import batches as read
from twin.export.manifest import ExportFile, Manifest, write_manifest
from twin.files import read_json, sha256_file

Project = Callable[..., Path]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Make a folder with params.yaml and data/raw/mine/, and stand in it."""
    monkeypatch.chdir(tmp_path)

    def make(files: dict[str, bytes], *, source: str = "mine", synthetic: bool = False) -> Path:
        folder = tmp_path / "data/raw/mine"
        folder.mkdir(parents=True, exist_ok=True)
        entries = []
        for name, data in files.items():
            (folder / name).write_bytes(data)
            entries.append(ExportFile(name, sha256_file(folder / name), len(data), 1))
        write_manifest(folder, Manifest(tuple(entries), ("id",), synthetic))
        (tmp_path / "params.yaml").write_text(params(replace(CONFIG, source=source)))
        return tmp_path

    return make


def test_the_stage_writes_turns_and_counts(project: Project) -> None:
    root = project({"a.csv": table(CELLS), "b.csv": table(CELLS[:1])}, synthetic=True)
    stage.main()
    metrics = read_json(root / stage.METRICS)
    assert pq.read_table(root / stage.TURNS).num_rows == 2
    assert metrics["rows"] == {
        "in": 3, "out": 2, "dropped": {reason: int(reason == "duplicate") for reason in DROPPED},
        "by_role": {"assistant": 2, "user": 1},
    }  # fmt: skip
    assert metrics["scrubbed"] == {"email": 1}
    assert (metrics["source"], metrics["synthetic"], metrics["conversations"], metrics["replies"]) == (
        "mine",
        True,
        1,
        1,
    )
    assert metrics["turns"] == {"partner": 1, "person": 1}
    assert metrics["first"] == "2026-01-01T12:00:00+00:00"
    assert metrics["export"]["edited"] is False


def test_no_planted_secret_is_left_in_any_file_or_message(project: Project, capfd: pytest.CaptureFixture[str]) -> None:
    log = "\n".join(f"2026-01-01 12:00:{n:02} ERROR key rejected: KEY" for n in range(5))
    kinds, cells = [kind for kind in planted.FORMS if kind != "phone"], []
    for minute, kind in enumerate(kinds):
        said, time = planted.text(kind, 1), f"2026-01-01 {minute // 60:02}:{minute % 60:02}:00+00"
        for role, text in (
            ("assistant", said),
            ("user", f"no. {said}"),
            ("system", said),
            ("user", log.replace("KEY", said)),
        ):
            cells.append([str(len(cells)), "c", role, text, time, str(len(cells))])
    for role, text in (("assistant", "And now?"), ("user", "go on")):
        cells.append([str(len(cells)), "d", role, text, f"2026-01-02 12:00:0{len(cells) % 2}+00", str(len(cells))])
    root = project({"a.csv": table(cells)})
    stage.main()
    values = [planted.value(kind, 1) for kind in kinds]
    with (root / "data/raw/mine/a.csv").open(encoding="utf-8", newline="") as file:
        raw = "".join(row["content_text"] for row in csv.DictReader(file))
    written = [path for path in root.rglob("*") if path.is_file() and "raw" not in path.parts]
    assert {path.name for path in written} >= {"turns.parquet", "left_out.jsonl", "ingest.json"}
    texts = [path.read_text() for path in written if path.suffix != ".parquet"]
    texts += [str(value) for row in pq.read_table(root / stage.TURNS).to_pylist() for value in row.values()]
    for value in values:
        assert value in raw
        assert not any(value in text for text in texts), value[:4]
    damaged = ["1", "c", "user", values[0], planted.text("url_password", 1), "0"]
    (root / "data/raw/mine/a.csv").write_bytes(table([damaged]))
    with pytest.raises(DataError, match="created_at is") as error:
        stage.main()
    shown = str(error.value) + "".join(capfd.readouterr())
    assert not any(value in shown for value in values)


def test_the_hash_of_the_export_is_that_of_its_bytes(project: Project) -> None:
    root = project({"a.csv": table(CELLS)})
    stage.main()
    assert read_json(root / stage.METRICS)["export"]["sha256"] == sha256_file(root / "data/raw/mine/a.csv")


def test_an_edited_export_runs_and_says_so(project: Project) -> None:
    root = project({"a.csv": table(CELLS)})
    path = root / "data/raw/mine/a.csv"
    path.write_bytes(path.read_bytes().replace(b"Shall", b"Should"))
    stage.main()
    assert read_json(root / stage.METRICS)["export"]["edited"] is True


def test_the_same_turns_give_the_same_bytes_whichever_format_they_came_in(project: Project) -> None:
    root = project({"a.csv": table(CELLS)})
    stage.main()
    first = (root / stage.TURNS).read_bytes()
    (root / "data/raw/mine/a.csv").unlink()
    project(
        {
            "a.jsonl": b"".join(
                json.dumps(dict(zip(HEADER, cells, strict=True))).encode() + b"\n" for cells in CELLS[::-1]
            )
        }
    )
    stage.main()
    assert (root / stage.TURNS).read_bytes() == first


def test_a_source_is_a_plain_name(project: Project) -> None:
    project({"a.csv": table(CELLS)}, source="../mine")
    with pytest.raises(ConfigError, match=r'^params\.yaml: ingest\.source is "\.\./mine"; use lower-case letters'):
        stage.main()


def test_a_failed_run_leaves_the_old_turns(project: Project) -> None:
    root = project({"a.csv": table(CELLS)})
    stage.main()
    first = (root / stage.TURNS).read_bytes()
    (root / "data/raw/mine/a.csv").write_bytes(table(CELLS)[:-20])
    with pytest.raises(DataError, match=r"a\.csv:3: "):
        stage.main()
    assert (root / stage.TURNS).read_bytes() == first


def sound_export(dice: random.Random) -> bytes:
    texts = [
        "go",
        "no, the other one",
        'say "hi"',
        "line\nline",
        "",
        "é 👍",
        "[Request interrupted by user]",
        "a@x.org",
    ]
    cells = [
        [str(n), f"c{n // 6}", dice.choice(["user", "assistant", "assistant", "system"]), dice.choice(texts),
         f"2026-01-01 12:{n:02}:00+00", ""]
        for n in range(24)
    ]  # fmt: skip
    return table([*cells, dice.choice(cells)])


JUNK = [b'"', b",", b"\n", b"\r", b"\0", b"\xff", b"\xed\xa0\xbd", b"\xef\xbb\xbf", b"NaN", b"user", b"1", b"+00", b"x"]


def mutated(data: bytes, dice: random.Random, changes: int) -> bytes:
    for _ in range(changes):
        at, end = sorted((dice.randrange(len(data) + 1), dice.randrange(len(data) + 1)))
        match dice.randrange(5):
            case 0:
                data = data[:at] + dice.choice(JUNK) + data[at:]
            case 1:
                data = data[:at] + data[at + 1 :]
            case 2:
                data = data[:end]
            case 3:
                lines = data.splitlines(keepends=True)
                dice.shuffle(lines)
                data = b"".join(lines)
            case _:
                data = data[:at] + data[at : at + 40] + data[at:]
    return data


def compressed(data: bytes, kind: str) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, kind) as file:
        file.write(data)
    return bytes(sink.getvalue())


def export(kind: str, dice: random.Random, changes: int) -> bytes:
    """Return an export of this kind, changed as text or as bytes."""
    text = sound_export(dice)
    records = list(csv.DictReader(io.StringIO(text.decode(), newline="")))
    if "jsonl" in kind:
        text = b"".join(json.dumps(cells).encode() + b"\n" for cells in records)
    elif kind == "json":
        text = json.dumps(records, indent=1).encode()
    elif kind == "parquet":
        sink = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist(records), sink)
        text = bytes(sink.getvalue())
    if not kind.endswith((".gz", ".zst")):
        return mutated(text, dice, changes)
    packing = "gzip" if kind.endswith(".gz") else "zstd"
    if dice.random() < 0.5:
        return compressed(mutated(text, dice, changes), packing)
    return mutated(compressed(text, packing), dice, changes)


KINDS = ("csv", "jsonl", "json", "parquet", "csv.gz", "csv.zst", "jsonl.gz")


@pytest.mark.parametrize("kind", KINDS)
def test_a_sound_export_of_each_kind_is_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"e.{kind}"
    path.write_bytes(export(kind, random.Random(1), 0))
    assert list(stage.ingest(read(path), CONFIG, Tally(), str))


@given(seed=st.integers(0, 10**9), changes=st.integers(0, 3), kind=st.sampled_from(KINDS))
@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_mutated_export_is_accounted_for_exactly_or_refused_with_one_error(
    tmp_path: Path, seed: int, changes: int, kind: str
) -> None:
    path = tmp_path / f"e.{kind}"
    path.write_bytes(export(kind, random.Random(seed), changes))
    tally = Tally()
    try:
        rows = sum(len(batch) for batch in read(path))
        turns = list(stage.ingest(read(path), CONFIG, tally, str))
    except TwinError:
        return
    assert tally.rows == rows == tally.turns.total() + tally.dropped.total() == tally.roles.total()
    assert len(turns) == tally.turns.total() == len({turn.id for turn in turns})
    assert Counter(turn.role for turn in turns).keys() <= {"person", "partner"}
    write_turns(tmp_path / "turns.parquet", iter(turns))
    assert pq.read_metadata(tmp_path / "turns.parquet").num_rows == len(turns)
