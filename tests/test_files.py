"""Files and folders appear whole or not at all, whatever the disk does; JSON is canonical and finite."""

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from twin.errors import DataError, StorageError
from twin.files import (
    canonical_json,
    read_json,
    read_jsonl,
    sha256_file,
    sha256_text,
    staged_folder,
    write_json,
    write_jsonl,
    write_lines,
    write_text,
)


def full_disk(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_on_fsync_keeps_the_old_file_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "metrics.json"
    write_text(target, "old")
    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(StorageError, match=r"^\S+metrics\.json could not be written .*untouched.*Free some space"):
        write_text(target, "new")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_full_disk_on_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "metrics.json"
    write_text(target, "old")
    monkeypatch.setattr("twin.files._dump", full_disk)
    with pytest.raises(StorageError, match="Free some space"):
        write_text(target, "new")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_pieces_that_end_in_an_error_or_on_a_full_disk_leave_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "rows.jsonl"
    write_lines(target, [b"old\n", b"lines\n"])

    def pieces(error: Exception) -> Iterator[bytes]:
        yield b"new\n"
        raise error

    with pytest.raises(StorageError, match=r"rows\.jsonl could not be written .*Free some space"):
        write_lines(target, pieces(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))))
    with pytest.raises(DataError, match="row 2"):
        write_lines(target, pieces(DataError("row 2 is none")))
    assert target.read_bytes() == b"old\nlines\n"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_that_fails_half_way_leaves_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "split"
    with staged_folder(target) as folder:
        (folder / "a").write_text("old")

    def fill(folder: Path) -> None:
        (folder / "a").write_text("new")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StorageError, match="split could not be written"), staged_folder(target) as folder:
        fill(folder)
    assert (target / "a").read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_staged_folder_replaces_the_old_one_whole(tmp_path: Path) -> None:
    target = tmp_path / "split"
    for name in ("first", "second"):
        with staged_folder(target) as folder:
            (folder / name).write_text(name)
    assert [path.name for path in target.iterdir()] == ["second"]


@pytest.mark.parametrize("write", [write_json, lambda path, value: write_jsonl(path, [value])])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_not_finite_is_never_written(
    tmp_path: Path, write: Callable[[Path, object], None], value: float
) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write(tmp_path / "m.json", {"loss": value})
    assert list(tmp_path.iterdir()) == []


def test_json_comes_back_and_does_not_depend_on_key_order(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": 1, "a": "é"})
    write_json(tmp_path / "b.json", {"a": "é", "b": 1})
    assert sha256_file(tmp_path / "a.json") == sha256_file(tmp_path / "b.json")
    assert read_json(tmp_path / "a.json") == {"a": "é", "b": 1}
    assert canonical_json({"b": 1, "a": "é"}) == '{"a":"\\u00e9","b":1}'
    # The example of FIPS 180-2, appendix B.1.
    assert sha256_text("abc").startswith("ba7816bf 8f01cfea".replace(" ", ""))


def test_lines_keep_separators_that_only_python_treats_as_line_ends(tmp_path: Path) -> None:
    rows = [{"text": "a\u2028b\x85c"}, {"text": "second"}]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    assert read_jsonl(tmp_path / "rows.jsonl") == rows


def test_a_missing_or_broken_output_names_the_command_that_brings_it_back(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.json is missing\. .*dvc checkout .*dvc repro"):
        read_json(tmp_path / "gone.json")
    (tmp_path / "cut.jsonl").write_text('{"a": 1}\n{"a": ')
    with pytest.raises(DataError, match=r"cut\.jsonl:2: not JSON"):
        read_jsonl(tmp_path / "cut.jsonl")
    (tmp_path / "latin.json").write_bytes(b'{"a": "\xe9"}')
    with pytest.raises(DataError, match="byte 7 is not UTF-8"):
        read_json(tmp_path / "latin.json")
