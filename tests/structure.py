"""Which files a stage is made of: its imports, followed through `twin/`."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]


def stage_code(stage: str) -> set[str]:
    """Return the paths, relative to the root, whose change can change what the stage writes.

    A package of a stage, or of `twin/`, counts as one folder; `twin/config/` counts file by file, so that a
    parameter of `promote` does not retrain. A data file beside a module of the same name belongs to it.
    """
    found: set[str] = set()
    waiting = [_module(f"stages.{stage}")]
    while waiting:
        path = waiting.pop()
        name = path.relative_to(ROOT).as_posix()
        if name in found:
            continue
        found.add(name)
        if path.is_file():
            found |= {
                data.relative_to(ROOT).as_posix()
                for data in path.parent.glob(f"{path.stem}.*")
                if data.suffix not in (".py", ".pyc")
            }
        for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
            waiting += [module for module in _imports(file) if module != path and path not in module.parents]
    return found


def _imports(file: Path) -> list[Path]:
    modules = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            modules += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
    ours = [module for module in modules if module.split(".")[0] in ("twin", "stages", "tools")]
    return [path for path in map(_module, ours) if path.exists() and path not in (ROOT / "twin", ROOT / "twin/config")]


def _module(name: str) -> Path:
    parts = name.split(".")
    depth = 3 if parts[:2] == ["twin", "config"] else 2
    path = ROOT.joinpath(*parts[:depth])
    return path if path.is_dir() else path.with_suffix(".py")
