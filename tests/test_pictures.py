"""Pictures are whole, small and the same everywhere; what a group lacks is drawn as lacking."""

import hashlib
import json
import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from matplotlib import rcParams
from matplotlib.figure import Figure

from stages.augment.pictures import draw, quantiles
from tests.structure import ROOT
from twin import pictures
from twin.acts import ACTS
from twin.config.augment import Scalar
from twin.errors import ConfigError, StorageError
from twin.geometry import REGIMES

RANGES = {name: [-2 / 3, 2 / 3] if name == "transition_pressure" else [0.0, 1.0] for name in Scalar.__members__}
DRAW = "import json, pathlib, sys; from stages.augment.pictures import draw; "
DRAW += "draw(json.load(sys.stdin), pathlib.Path(sys.argv[1]))"
FILES = ("scalars_by_regime.svg", "scalars_by_act.svg")


def histograms(replies: int) -> dict[str, Any]:
    """All groups have `replies` in one bin of each scalar, but for `locked` and `thanks`, which have none."""

    def group(name: str, place: int) -> dict[str, list[int]]:
        full = 0 if name in ("locked", "thanks") else replies
        return {scalar: [full * (bin == place) for bin in range(60)] for scalar in RANGES}  # noqa: A001

    return {
        "bins": 60,
        "ranges": RANGES,
        "by_regime": {name: group(name, place) for place, name in enumerate(REGIMES)},
        "by_act": {name: group(name, place) for place, name in enumerate(ACTS)},
    }


def texts(path: Path) -> list[str]:
    return ["".join(node.itertext()) for node in ElementTree.parse(path).iter("{http://www.w3.org/2000/svg}text")]


def figure() -> Figure:
    made = Figure()
    made.subplots().barh([0], [1], hatch="//", label="$x$ <b> 😀")
    made.legend()
    return made


def test_quantiles_are_interpolated_within_a_bin() -> None:
    assert quantiles([100], 0, 1) == pytest.approx([0.05, 0.25, 0.5, 0.75, 0.95])
    assert quantiles([1, 0, 0, 3], -2, 2) == pytest.approx([-1.8, -1.0, 1 + 1 / 3, 1 + 2 / 3, 1 + 14 / 15])
    assert quantiles([0, 0, 7, 0], 0, 4) == pytest.approx([2.05, 2.25, 2.5, 2.75, 2.95])


def test_nothing_counted_has_no_quantiles() -> None:
    assert quantiles([0, 0], 0, 1) is None


def test_every_group_and_scalar_is_drawn_with_its_n(tmp_path: Path) -> None:
    draw(histograms(1234), tmp_path)
    for name, groups in zip(FILES, (REGIMES, ACTS), strict=True):
        shown = texts(tmp_path / name)
        for group in groups:
            n = "0" if group in ("locked", "thanks") else "1,234"
            assert f"{group} · n = {n}" in shown
        assert [text for text in shown if text[1:4] == " · "] == [
            f"{scalar.value} · {scalar.name.replace('_', ' ')}" for scalar in Scalar
        ]
        assert shown.count("none") == len(RANGES)
        assert any(f"{1234 * (len(groups) - 1):,} replies" in text for text in shown)


def test_cold_starts_alone_make_a_picture_that_says_so(tmp_path: Path) -> None:
    draw(histograms(0), tmp_path)
    for name, groups in zip(FILES, (REGIMES, ACTS), strict=True):
        shown = texts(tmp_path / name)
        assert any("no reply has a reading, all are cold starts" in text for text in shown)
        assert shown.count("none") == len(RANGES) * len(groups)


def test_the_files_are_small_valid_and_name_no_time_version_or_place(tmp_path: Path) -> None:
    draw(histograms(10**9), tmp_path)
    for name in FILES:
        written = (tmp_path / name).read_text()
        assert len(written) <= 100_000
        ElementTree.fromstring(written)
        outside = re.sub(r'xmlns(:\w+)?="[^"]*"|<!DOCTYPE[^>]*>|<\?xml[^>]*>', "", written)
        assert not re.search(r"\d{4}-\d\d-\d\d|Matplotlib|dc:date|dc:creator|\d\.\d+\.\d|/tmp|/home|/work", outside)


def test_another_process_with_another_hash_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    given = histograms(7)
    draw(given, tmp_path / "here")
    (tmp_path / "matplotlibrc").write_text("font.size: 30\nsvg.fonttype: path\n")
    for seed in ("1", "2"):
        subprocess.run(
            [sys.executable, "-c", DRAW, str(tmp_path / seed)], input=json.dumps(given), text=True, check=True,
            cwd=ROOT, env=os.environ | {"PYTHONHASHSEED": seed, "MATPLOTLIBRC": str(tmp_path)},
        )  # fmt: skip
    for name in FILES:
        digests = {hashlib.sha256((tmp_path / place / name).read_bytes()).hexdigest() for place in ("here", "1", "2")}
        assert len(digests) == 1


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_a_figure_written_twice_is_the_same_file(tmp_path: Path, kind: str) -> None:
    for name in ("a", "b"):
        pictures.write(tmp_path / f"{name}.{kind}", figure)
    assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()
    assert b"Matplotlib" not in (tmp_path / f"a.{kind}").read_bytes()


def test_text_stays_text_and_is_no_formula(tmp_path: Path) -> None:
    pictures.write(tmp_path / "a.svg", figure)
    assert "$x$ <b> 😀" in texts(tmp_path / "a.svg")


def test_the_card_is_opaque(tmp_path: Path) -> None:
    pictures.write(tmp_path / "a.svg", figure)
    assert f"fill: {pictures.CARD}" in (tmp_path / "a.svg").read_text()


def test_settings_of_the_process_are_as_before(tmp_path: Path) -> None:
    before = dict(rcParams)
    pictures.write(tmp_path / "a.svg", figure)
    assert dict(rcParams) == before


def test_a_picture_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    def broken() -> Figure:
        raise ValueError("half way")

    (tmp_path / "a.svg").write_text("old")
    with pytest.raises(ValueError, match="half way"):
        pictures.write(tmp_path / "a.svg", broken)
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="could not be written"):
        pictures.write(tmp_path / "file" / "a.svg", figure)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.svg", "file"]
    assert (tmp_path / "a.svg").read_text() == "old"


def test_other_kinds_are_refused_before_anything_is_drawn(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"a\.pdf: a picture ends in \.svg or \.png, not in \.pdf"):
        pictures.write(tmp_path / "a.pdf", partial(pytest.fail, "drawn"))


@pytest.mark.parametrize("module", ["twin.pictures", "twin.strip", "stages.augment.pictures", "twin.cli"])
def test_importing_draws_nothing_and_loads_no_plotting(module: str) -> None:
    probe = f"import sys, {module}; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_pyplot_and_its_global_state_are_never_loaded(tmp_path: Path) -> None:
    probe = f"{DRAW}; print('matplotlib.pyplot' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", probe, str(tmp_path)], cwd=ROOT, input=json.dumps(histograms(1)), capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "False"
