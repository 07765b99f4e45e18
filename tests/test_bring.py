"""An export is taken in whole or not at all, under DVC, and what is printed tells what is in it and what to do next."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from twin.bring import bring as bring_files
from twin.bring import kind_of
from twin.bring.store import Brought, Wish, project_root
from twin.cli.bring import _wanted, report
from twin.errors import ConfigError, DataError
from twin.export.manifest import read_manifest
from twin.files import sha256_file

SECRET = "sk-" + "ant-api03-q7Wm2Zk9Lx4Tn8Vb1Rc5"


def bring(paths: list[Path], name: str, root: Path, force: bool = False) -> Brought:
    return bring_files(paths, Wish(root, name, force=force))


HEADER = "id,conversation_id,role,content_text,created_at,embedding\n"
ROWS = (
    "1,c,assistant,Shall I?,2026-01-01 12:00:00+00,x\n"
    f"2,c,user,use {SECRET},2026-01-01 12:01:00+00,x\n"
    "3,d,Developer,ok,2026-01-02 08:00:00+00,x\n"
)  # fmt: skip


@pytest.fixture
def export(tmp_path: Path) -> Path:
    path = tmp_path / "turns.csv"
    path.write_text(HEADER + ROWS)
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder that neither git nor DVC knows: what they refuse must not stop the copy."""
    (tmp_path / "project").mkdir()
    return tmp_path / "project"


def test_the_copy_has_a_manifest_that_describes_it(root: Path, export: Path) -> None:
    brought = bring([export], "mine", root)
    assert sorted(path.name for path in brought.folder.iterdir()) == ["manifest.json", "turns.csv"]
    assert (brought.folder / "turns.csv").read_bytes() == export.read_bytes()
    manifest = read_manifest(brought.folder)
    assert manifest == brought.manifest
    assert (manifest.files[0].sha256, manifest.files[0].rows) == (sha256_file(export), 3)
    assert manifest.columns == tuple(HEADER.strip().split(","))
    assert not manifest.synthetic


def test_what_the_rows_look_like_is_counted(root: Path, export: Path) -> None:
    survey = bring([export], "mine", root).survey
    assert survey.roles == {"assistant": 1, "user": 1, "developer": 1}
    assert survey.conversations == 2
    assert survey.scrubbed == {"sk_key": 1}
    assert (survey.first.hour, survey.last.day) == (12, 2)


def test_a_bad_export_leaves_nothing_behind(root: Path, export: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text('{"id": 1}\n')
    with pytest.raises(DataError, match=r"bad\.jsonl:1: missing columns"):
        bring([export, tmp_path / "bad.jsonl"], "mine", root)
    with pytest.raises(DataError, match=r"nothing\.csv is missing\. Check the path"):
        bring([tmp_path / "nothing.csv"], "mine", root)
    assert list(root.iterdir()) == []


def test_a_failed_copy_leaves_what_was_there(root: Path, export: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bring([export], "mine", root)
    before = {path.name: path.read_bytes() for path in (root / "data/raw/mine").iterdir()}
    export.write_text(HEADER + ROWS[:48])
    monkeypatch.setattr("shutil.copyfile", lambda _, to: Path(to).write_text(HEADER))
    with pytest.raises(DataError, match=r"turns\.csv changed while it was read\. Run the same command again"):
        bring([export], "mine", root, force=True)
    assert {path.name: path.read_bytes() for path in (root / "data/raw/mine").iterdir()} == before
    assert [path.name for path in (root / "data/raw").iterdir()] == ["mine"]


def test_the_same_export_again_is_no_change(root: Path, export: Path) -> None:
    assert bring([export], "mine", root).changed
    assert not bring([export], "mine", root).changed


def test_other_data_of_that_name_is_kept_unless_forced(root: Path, export: Path) -> None:
    bring([export], "mine", root)
    export.write_text(HEADER + ROWS[:48])
    with pytest.raises(DataError, match=r"^data/raw/mine holds other data\. Choose another name .* --force"):
        bring([export], "mine", root)
    assert bring([export], "mine", root, force=True).manifest.files[0].rows == 1


def test_an_edited_copy_is_not_the_same_export(root: Path, export: Path) -> None:
    copy = bring([export], "mine", root).folder / "turns.csv"
    copy.write_text(copy.read_text().replace("Shall", "Should"))
    with pytest.raises(DataError, match=r"data/raw/mine holds other data"):
        bring([export], "mine", root)


def test_names_are_plain_and_files_have_two_names(root: Path, export: Path) -> None:
    with pytest.raises(ConfigError, match=r'^--as is "My Data"; use lower-case letters'):
        bring([export], "My Data", root)
    with pytest.raises(DataError, match=r"two files are named turns\.csv"):
        bring([export, export], "mine", root)


def test_without_dvc_the_way_to_finish_is_said(root: Path, export: Path) -> None:
    unfinished = bring([export], "mine", root).unfinished
    assert unfinished is not None
    assert unfinished.endswith(
        "is not a DVC repository. Finish in one with: dvc add data/raw/mine && git add data/raw/mine.dvc"
    )


def test_what_git_refuses_is_said_and_only_that_is_left(
    root: Path, export: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / ".dvc").mkdir()

    def refuse(command: list[str], _: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, int(command[:2] == ["git", "add"]), "", "hint\nfatal: no index")

    monkeypatch.setattr("twin.bring.store._run", refuse)
    unfinished = bring([export], "mine", root).unfinished
    assert unfinished == "`git add data/raw/mine.dvc` failed: fatal: no index. Finish with: git add data/raw/mine.dvc"


def test_the_project_root_is_the_nearest_dvc_repository(tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    deep = tmp_path / "a/b"
    deep.mkdir(parents=True)
    assert project_root(deep) == tmp_path


def done(root: Path, export: Path) -> Brought:
    brought = bring([export], "mine", root)
    return Brought(brought.folder, brought.manifest, brought.survey, True, (), brought.pointer, None)


def test_the_report_names_columns_counts_and_the_next_command_but_no_content(root: Path, export: Path) -> None:
    lines = report(done(root, export), root, {"user": "person", "assistant": "partner"})
    text = "\n".join(lines)
    for line in (
        "data/raw/mine: written",
        "rows           3",
        "columns        id, conversation_id, role, content_text, created_at; not used: embedding",
        "conversations  2",
        "roles          assistant 1, developer 1, user 1",
        "time           2026-01-01 12:00 to 2026-01-02 08:00 UTC",
        "to scrub       sk_key 1 (names are not looked for, nor telephone numbers without ingest.phone_region)",
        "keep it        git commit -m 'Bring mine' data/raw/mine.dvc",
        "next           dvc exp run -S ingest.source=mine -S '+ingest.roles.developer=partner'",
    ):
        assert line in lines
    assert SECRET[:12] not in text
    assert "Shall" not in text


def test_a_preset_of_that_name_is_the_next_command(root: Path, export: Path) -> None:
    (root / "conf/ingest/source").mkdir(parents=True)
    (root / "conf/ingest/source/mine.yaml").write_text("source: mine\n")
    assert report(done(root, export), root, {})[-1] == "next           dvc exp run -S ingest/source=mine"


def test_what_is_not_finished_is_the_last_line(root: Path, export: Path) -> None:
    assert report(bring([export], "mine", root), root, {})[-1].startswith("NOT FINISHED   ")


CLAUDE = [
    {
        "uuid": "c1", "name": "Talk", "created_at": "2026-01-01T12:00:00Z",
        "chat_messages": [
            {"uuid": "m1", "sender": "assistant", "text": "Shall I?", "created_at": "2026-01-01T12:00:00Z"},
            {"uuid": "m2", "sender": "human", "text": "go", "created_at": "2026-01-01T12:01:00Z",
             "attachments": [{"extracted_content": "a long document"}]},
        ],
    }
]  # fmt: skip


def test_an_account_export_becomes_a_snapshot_that_says_what_is_no_row(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "conversations.json"
    path.write_text(json.dumps(CLAUDE))
    assert kind_of(path) == "claude"
    brought = bring([path], "claude", root)
    assert [file.name for file in brought.manifest.files] == [
        f"turns-{sha256_file(brought.folder / brought.manifest.files[0].name)[:16]}.parquet"
    ]
    assert brought.survey.roles == {"assistant": 1, "human": 1}
    assert "no rows        attachment 1" in report(brought, root, {})
    assert not bring([path], "claude", root).changed
    path.write_text(json.dumps([CLAUDE[0] | {"uuid": "c2"}]))
    with pytest.raises(DataError, match=r"data/raw/claude holds other data"):
        bring([path], "claude", root)


def test_files_of_different_kinds_are_brought_apart(root: Path, export: Path, tmp_path: Path) -> None:
    (tmp_path / "conversations.json").write_text(json.dumps(CLAUDE))
    with pytest.raises(DataError, match=r"files of different kinds: claude, export\. Bring each kind by itself"):
        bring([export, tmp_path / "conversations.json"], "mine", root)


def test_a_dump_brings_the_wanted_table_alone(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "all.sql"
    columns = "id, conversation_id, role, content_text, created_at"
    rows = "".join(line.replace(",", "\t").removesuffix("\tx") + "\n" for line in ROWS.splitlines())
    path.write_text(f"COPY auth.users (id, password) FROM stdin;\n1\t{SECRET}\n\\.\n")
    with path.open("a") as file:
        file.write(f"COPY public.memory_turns ({columns}) FROM stdin;\n{rows}\\.\n")
    brought = bring([path], "dump", root)
    assert (brought.survey.rows, brought.manifest.snapshot.table if brought.manifest.snapshot else "") == (
        3,
        "memory_turns",
    )
    with pytest.raises(DataError, match=r'no table nothing\. The dump has: "auth\.users", '):
        bring_files([path], Wish(root, "other", table="nothing"))


def test_sources_are_files_globs_or_one_live_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("b.csv", "a.csv", "c[1].csv"):
        (tmp_path / name).touch()
    assert _wanted(["?.csv", "c[1].csv"], None, False, tmp_path) == (
        None,
        [Path("a.csv"), Path("b.csv"), Path("c[1].csv")],
    )
    assert _wanted(["postgres"], None, True, tmp_path) == ("postgres", [])
    for sources, refresh, message in (
        ([], False, "name what to bring"),
        (["rest", "a.csv"], False, "rest is a source by itself"),
        (["a.csv"], True, "--refresh is for a live table"),
        (["z*.csv"], False, r"no file is like z\*\.csv"),
    ):
        with pytest.raises(ConfigError, match=message):
            _wanted(sources, None, refresh, tmp_path)


def test_a_text_that_was_cut_is_told_at_once(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.csv"
    path.write_text(HEADER + f"1,c,user,{'x' * 10_240}...,2026-01-01 12:00:00+00,x")
    brought = bring([path], "mine", root)
    lines = "\n".join(report(brought, root, {}))
    assert "DAMAGED        truncated 1: ingest will stop there" in lines
    assert "note           cut.csv: the last row has no line end" in lines


def test_a_number_of_rows_that_is_a_limit_is_told(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "page.csv"
    lines = "".join(f"{n},c,user,go,2026-01-01 12:00:00+00,x\n" for n in range(1000))
    path.write_text(HEADER + lines)
    (note,) = bring([path], "mine", root).notes
    assert note == "page.csv: exactly 1,000 rows, as many as Supabase's REST gives at once. Is that all?"
    path.write_text(HEADER + lines + "1000,c,user,go,2026-01-01 12:00:00+00,x\n")
    assert not bring([path], "mine", root, force=True).notes


def run(root: Path, *command: str) -> str:
    ran = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_dvc_sees_the_export_and_git_sees_only_its_pointer(
    root: Path, export: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"DVC_NO_ANALYTICS": "1", "HOME": str(root.parent), "GIT_CONFIG_NOSYSTEM": "1"}.items():
        monkeypatch.setenv(name, value)
    run(root, "git", "init", "-q")
    (root / ".dvc").mkdir()
    (root / ".dvc/config").touch()
    (root / "data/raw/demo").mkdir(parents=True)
    (root / "data/raw/demo/demo.csv").write_text(HEADER + ROWS)
    # `?*`, not `*`: DVC would take `/data/raw/*` to ignore data/raw/ itself, and not find the pointer in it.
    (root / ".gitignore").write_text("/data/raw/?*\n!/data/raw/demo/\n!/data/raw/*.dvc\n")
    (root / "dvc.yaml").write_text("stages: {read: {cmd: ls data/raw/*, deps: [data/raw]}}\n")
    run(root, "git", "add", "-A")

    brought = bring([export], "mine", root)
    assert brought.unfinished is None
    known = run(root, "git", "ls-files", "-o", "-c", "--exclude-standard", "data").split()
    assert known == ["data/raw/demo/demo.csv", "data/raw/mine.dvc"]
    copy = brought.folder / "turns.csv"
    copy.write_text(copy.read_text().replace("Shall", "Should"))
    changed = json.loads(run(root, sys.executable, "-m", "dvc", "status", "--json", "data/raw/mine.dvc"))
    assert changed == {"data/raw/mine.dvc": [{"changed outs": {"data/raw/mine": "modified"}}]}
    with pytest.raises(DataError, match=r"^data/raw/demo is part of the repository itself"):
        bring([export], "demo", root, force=True)
