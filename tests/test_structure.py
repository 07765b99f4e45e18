"""The shape of the house: dvc.yaml tells the truth about every stage, arrows run one way, every parameter is read."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.structure import ROOT, stage_code
from twin.config.schema import sections

PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text())
STAGES = list(PIPELINE["stages"])
CODE = sorted(path for folder in ("twin", "stages", "hydra_plugins") for path in (ROOT / folder).rglob("*.py"))
KINDS = ("outs", "metrics", "plots")
LIGHT = ["config", "ingest", "augment", "split", "base", "prefer", "align", "evaluate", "promote", "report"]


def paths(entries: list[object]) -> list[str]:
    return [str(next(iter(entry))) if isinstance(entry, dict) else str(entry) for entry in entries]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_exactly_the_code_it_imports(stage: str) -> None:
    deps = [dep for dep in PIPELINE["stages"][stage]["deps"] if dep.startswith(("twin/", "stages/", "tools/"))]
    assert sorted(deps) == sorted(stage_code(stage))


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_has_a_description_a_room_and_a_guard(stage: str) -> None:
    entry = PIPELINE["stages"][stage]
    assert entry["desc"]
    assert entry["cmd"] == f"python -m twin.guard {stage}"
    assert (ROOT / "stages" / f"{stage}.py").exists() or (ROOT / "stages" / stage / "__init__.py").exists()


def test_no_value_from_conf_is_templated_into_dvc_yaml() -> None:
    lines = [line for line in (ROOT / "dvc.yaml").read_text().splitlines() if not line.lstrip().startswith("#")]
    assert "${" not in "\n".join(lines)


def test_every_cached_output_is_ignored_by_git_beforehand() -> None:
    ignored = (ROOT / ".gitignore").read_text()
    for stage, entry in PIPELINE["stages"].items():
        for out in entry.get("outs", []):
            if isinstance(out, str):
                folder = out if "." not in Path(out).name else str(Path(out).parent)
                assert f"/{folder}/" in ignored or f"/{out}\n" in ignored, (stage, out)


def test_every_metrics_file_is_listed() -> None:
    written = {
        out
        for entry in PIPELINE["stages"].values()
        for kind in KINDS
        for out in paths(entry.get(kind, []))
        if out.startswith("metrics/")
    }
    # What config.json records are parameters: `dvc params diff` shows them.
    assert {out for out in written if out.endswith(".json")} - {"metrics/config.json"} == set(PIPELINE["metrics"])


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage not in ("config", "promote", "report")])
def test_the_run_cache_takes_a_stage_whose_work_is_worth_keeping(stage: str) -> None:
    # dvc/stage/__init__.py, Stage.run: an uncached out that is neither a metric nor a plot keeps the stage out of it.
    uncached = [out for out in PIPELINE["stages"][stage].get("outs", []) if isinstance(out, dict)]
    assert uncached == []


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_arrows_run_one_way(path: Path) -> None:
    room = path.relative_to(ROOT).parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for module in modules:
            assert not (room[0] == "twin" and module.startswith("stages")), f"twin imports {module}"
            if room[0] == "stages" and module.startswith("stages."):
                assert module.split(".")[1] == Path(room[1]).stem, f"a stage imports another: {module}"


@pytest.mark.parametrize("stage", LIGHT)
def test_a_stage_without_tensors_imports_no_tensor_library(stage: str) -> None:
    heavy = "{'mlx', 'mlx_lm', 'transformers', 'torch'}"
    probe = f"import sys, stages.{stage}; print(sorted({{m.split('.')[0] for m in sys.modules}} & {heavy}))"
    done = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_parameter_is_read_somewhere() -> None:
    code = "\n".join(
        path.read_text(encoding="utf-8") for path in CODE if "config" not in path.relative_to(ROOT).parts[1:2]
    )
    code += (ROOT / "twin/config/rules.py").read_text() + (ROOT / "twin/config/adapter.py").read_text()
    for name, section in sections().items():
        for key in section.__annotations__:
            assert re.search(rf"\.{key}\b", code), f"{name}.{key} is read by nothing"


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage != "config"])
def test_a_stage_loads_exactly_the_sections_it_declares(stage: str) -> None:
    rooms = [ROOT / "stages" / f"{stage}.py", *(ROOT / "stages" / stage).glob("*.py")]
    code = "\n".join(path.read_text(encoding="utf-8") for path in rooms if path.exists())
    loaded = {name.lower() for name in re.findall(r"\bload\((\w+)Config\)", code)}
    assert loaded == {key.split(".")[0] for key in PIPELINE["stages"][stage].get("params", [])}


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_group_is_repeated_possessively(path: Path) -> None:
    # Before 3.11.5 CPython matches such a group wrongly when something in it backtracks (gh-106052).
    assert re.findall(r"\)(?:[*+?]|\{\d*,?\d*\})\+", path.read_text(encoding="utf-8")) == []
