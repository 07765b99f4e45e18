"""A base from the hub is fetched by its own client over HTTP, at the pinned commit, whole or not at all.

The hub is a double on loopback (`tests/hub_double.py`); the client is huggingface_hub's, in a process of its own.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hub_double import Hub, serving
from tests.structure import ROOT
from tests.typed import ENVIRONMENT
from twin.base import identify, model_files

COMMIT = "4f83f8f146fdf28b512a06562b671d7af4fab457"
NAME = "some/Qwen-4bit"
FETCH = f"""
from twin.base import snapshot
from twin.errors import ModelError
try:
    print(snapshot({NAME!r}, {COMMIT!r}, download=True))
except ModelError as error:
    raise SystemExit(f"ModelError: {{error}}")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the demo's base, with files beside it that no reply depends on."""
    made = tmp_path / "repository"
    shutil.copytree(ROOT / "models/demo", made)
    (made / "pytorch_model.bin").write_bytes(b"gigabytes that nobody needs")
    return made


def fetched(hub: Hub, home: Path) -> "subprocess.CompletedProcess[str]":
    environment = ENVIRONMENT | hub.environment(home) | {"HF_HUB_DOWNLOAD_TIMEOUT": "5"}
    command = [sys.executable, "-c", FETCH]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_a_base_is_fetched_at_its_commit_without_what_no_reply_depends_on(folder: Path, tmp_path: Path) -> None:
    with serving({NAME: (COMMIT, folder)}) as hub:
        done = fetched(hub, tmp_path / "home")
        assert done.returncode == 0, done.stderr
        of_it = [one for one in hub.asked if NAME in one]
        assert of_it and all(COMMIT in one for one in of_it), "something was asked for by a name that can move"
        first = len(hub.asked)
        assert fetched(hub, tmp_path / "home").stdout == done.stdout
        assert not [one for one in hub.asked[first:] if one.startswith("GET") and "/resolve/" in one]
    found = Path(done.stdout.strip())
    assert {file.name for file in found.iterdir()} == {file.name for file in model_files(folder)}
    place = {"id": NAME, "kind": "hub", "folder": None, "revision": COMMIT}
    assert identify(found, place)["files"] == identify(folder, place)["files"]


@pytest.mark.parametrize("cuts", [1, 40])
def test_a_download_that_breaks_off_goes_on_and_nothing_half_is_taken(folder: Path, tmp_path: Path, cuts: int) -> None:
    with serving({NAME: (COMMIT, folder)}) as hub:
        hub.cut = cuts
        done = fetched(hub, tmp_path / "home")
        if done.returncode:
            assert f"ModelError: {NAME} at {COMMIT} is not on this machine and could not be fetched" in done.stderr
            assert "Check the network, or choose a local base" in done.stderr
        hub.cut = 0
        again = fetched(hub, tmp_path / "home")
    assert again.returncode == 0, again.stderr
    found = Path(again.stdout.strip())
    assert {file.name: file.read_bytes() for file in found.iterdir()} == {
        file.name: file.read_bytes() for file in model_files(folder)
    }


@pytest.mark.parametrize(
    ("there", "closed", "told"),
    [(("another/one", COMMIT), False, "404"), ((NAME, "a" * 40), False, "404"), ((NAME, COMMIT), True, "401")],
)
def test_what_the_hub_does_not_give_is_one_error_with_the_next_move(
    folder: Path, tmp_path: Path, there: tuple[str, str], closed: bool, told: str
) -> None:
    with serving({there[0]: (there[1], folder)}) as hub:
        hub.closed = closed
        done = fetched(hub, tmp_path / "home")
    assert done.returncode == 1
    assert done.stderr.startswith(f"ModelError: {NAME} at {COMMIT} is not on this machine and could not be fetched: ")
    assert told in done.stderr and "choose a local base" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_was_fetched_is_found_again_without_the_hub_and_checked(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving({NAME: (COMMIT, folder)}) as hub:
        found = Path(fetched(hub, tmp_path / "home").stdout.strip())
    identity = identify(found, {"id": NAME, "kind": "hub", "folder": None, "revision": COMMIT})
    code = (
        "import json, sys\nfrom twin.base import resolve\nfrom twin.errors import ModelError\n"
        "try:\n    print(resolve(json.load(sys.stdin)))\nexcept ModelError as error:\n    print(error)"
    )

    def resolved() -> str:
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env=ENVIRONMENT | hub.environment(tmp_path / "home"),
            input=json.dumps(identity), capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout.strip()

    assert resolved() == str(found)
    config = found / "config.json"
    changed = config.read_text().replace("qwen2", "qwen3")
    config.resolve().write_text(changed)
    assert "config.json is another file. Download it again with `dvc repro -f base`." in resolved()
