"""CI's script gets a browser where it may, goes on where it cannot, and stops at the first check that fails."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.structure import ROOT

SCRIPT = ROOT / ".ci/run"
BASH = shutil.which("bash") or "/bin/bash"
TOOLS = ("apt-get", "make", "python")
LANES = ["python -m tests.shrunk_campaign", "python -m tests.shrunk_demo"]
"""Side by side, in any order."""
CHECKS = ["make minilm", "make test", "make slow", "python -m stages.config check", *LANES]
INSTALLED = ["apt-get update -qq", "apt-get install -qq -y --no-install-recommends chromium"]
NOTE = "Chromium could not be installed: tests in a browser are skipped\n"


def ran(
    folder: Path, *, user: int = 0, chromium: bool = False, fails: str = "", without: str = ""
) -> tuple[int, list[str], str]:
    """Run the script with programs that only write down how they were called; return status, calls and complaints."""
    (folder / ".ci").mkdir()
    shutil.copy(SCRIPT, folder / ".ci/run")
    programs, calls = folder / "bin", folder / "calls"
    programs.mkdir()
    for name in ("cat", "dirname", "mktemp"):
        found = shutil.which(name)
        assert found
        (programs / name).symlink_to(found)
    scripts = {name: f'echo "{name} $*" >> "{calls}"\n' for name in TOOLS if name != without}
    if fails:
        name, _, words = fails.partition(" ")
        scripts[name] += f'[ "$*" = "{words}" ] && exit 3\nexit 0\n'
    scripts |= {"id": f"echo {user}\n"} | ({"chromium": "exit 0\n"} if chromium else {})
    for name, text in scripts.items():
        (programs / name).write_text(f"#!{BASH}\n{text}")
        (programs / name).chmod(0o755)
    done = subprocess.run(
        [BASH, folder / ".ci/run"], env={"PATH": str(programs)}, cwd="/", capture_output=True, text=True, check=False
    )
    called = calls.read_text().splitlines()
    return done.returncode, sorted(called, key=lambda one: (one in LANES, one in LANES and one)), done.stderr


def test_the_script_is_bash_that_parses() -> None:
    assert SCRIPT.read_text().startswith("#!/usr/bin/env bash\n")
    subprocess.run([BASH, "-n", SCRIPT], check=True)


def test_root_without_a_browser_installs_one_and_runs_every_check(tmp_path: Path) -> None:
    assert ran(tmp_path) == (0, [*INSTALLED, *CHECKS], "")


@pytest.mark.parametrize("fails", INSTALLED)
def test_an_installation_that_fails_is_said_and_the_checks_run(tmp_path: Path, fails: str) -> None:
    status, calls, complaints = ran(tmp_path, fails=fails)
    assert (status, complaints) == (0, NOTE)
    assert calls[-len(CHECKS) :] == CHECKS
    assert calls[: -len(CHECKS)] == INSTALLED[: INSTALLED.index(fails) + 1]


def test_nothing_is_installed_where_a_browser_is(tmp_path: Path) -> None:
    assert ran(tmp_path, chromium=True) == (0, CHECKS, "")


def test_nothing_is_installed_by_others_than_root(tmp_path: Path) -> None:
    assert ran(tmp_path, user=1000) == (0, CHECKS, "")


def test_nothing_is_installed_where_there_is_no_apt(tmp_path: Path) -> None:
    assert ran(tmp_path, without="apt-get") == (0, CHECKS, "")


@pytest.mark.parametrize("check", CHECKS)
def test_the_first_check_that_fails_ends_it_with_its_status(tmp_path: Path, check: str) -> None:
    status, calls, _ = ran(tmp_path, chromium=True, fails=check)
    assert (status, calls) == (3, CHECKS if check in LANES else CHECKS[: CHECKS.index(check) + 1])
