"""`make pictures` writes the README's pictures of whatever run is there, whole, and says when it cannot."""

import re
import struct
from pathlib import Path

import pytest

from tests.report_run import write_page
from tests.structure import ROOT
from tools import pictures

PICTURES = ("loss.svg", "report-dark.png", "report-light.png")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of eight updates with its report."""
    (tmp_path / "metrics").mkdir()
    write_page(tmp_path / "metrics", "no. ship it")
    rows = [f"{one},{3 / one},{1.5 if one == 4 else ''},0.001,1" for one in range(1, 9)]
    head = "update,loss,valid_loss,learning_rate,gradient_norm"
    (tmp_path / "metrics/train.csv").write_text("\n".join([head, *rows, ""]))
    (tmp_path / "docs/pictures").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_curve_and_report_are_written_in_light_and_dark(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright")
    if not any(map(pictures.shutil.which, pictures.BROWSERS)):
        pytest.skip("needs Chromium: apt install chromium")
    pictures.main()
    out = project / "docs/pictures"
    assert sorted(path.name for path in out.iterdir()) == list(PICTURES)
    light, dark = ((out / f"report-{scheme}.png").read_bytes() for scheme in ("light", "dark"))
    for png in (light, dark):
        assert png.startswith(b"\x89PNG\r\n\x1a\n")
        assert struct.unpack(">II", png[16:24]) == (1000, 720)
    assert light != dark
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()] == [
        f"docs/pictures/{name}" for name in PICTURES
    ]
    first = (out / "loss.svg").read_bytes()
    pictures.main()
    assert (out / "loss.svg").read_bytes() == first


def test_without_a_browser_nothing_is_written_and_the_next_move_is_named(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(project))
    with pytest.raises(SystemExit, match="needs Chromium: apt install chromium"):
        pictures.main()
    assert list((project / "docs/pictures").iterdir()) == []


def test_every_picture_that_the_readme_shows_is_one_that_is_made() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert sorted(set(re.findall(r"docs/pictures/([\w.-]+)", text))) == list(PICTURES)
    assert sorted(path.name for path in (ROOT / pictures.OUT).iterdir()) == list(PICTURES)
