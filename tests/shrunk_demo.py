"""The real pipeline on a shrunk demo, in a fresh clone: `python -m tests.shrunk_demo`. CI runs it.

The shrinking is an edit in conf/, so it also shows that `dvc repro` sees such an edit.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from omegaconf import OmegaConf

from tests.serving import readme_snippet, run_snippet
from twin.identity import locked_inputs, run_id

ROOT = Path(__file__).parents[1]
SHRINK = {
    "train/demo.yaml": {"updates": 24, "validate_every": 12},
    "generate/demo.yaml": {"test_prompts": 12, "max_new_tokens": 48},
    "evaluate/standard.yaml": {"draws": 500},
}


def shell(*command: str, cwd: Path) -> None:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run(command, cwd=cwd, env=environment, check=True)


def live(clone: Path) -> None:
    """Serve the twin with the demo's facts, and ask it what README asks it."""
    command = [str(Path(sys.executable).parent / "twin"), "serve", "--graph", "data/graph/demo.csv", "--port", "0"]
    process = subprocess.Popen(command, cwd=clone, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        address = next(line.split()[1] for line in process.stdout if line.startswith("address"))
        run_snippet(readme_snippet()[0], address)
    finally:
        process.terminate()
        assert process.wait(60) == 0, process.returncode


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        shell("git", "clone", "--quiet", str(ROOT), str(clone), cwd=ROOT)
        for name, values in SHRINK.items():
            path = clone / "conf" / name
            OmegaConf.save(OmegaConf.merge(OmegaConf.load(path), values), path)
        shell("dvc", "repro", cwd=clone)
        shell("twin", "summary", cwd=clone)
        decision = json.loads((clone / "metrics/decision.json").read_text())
        config = json.loads((clone / "metrics/config.json").read_text())
        assert decision["decision"] == "HOLD", decision["decision"]
        assert config["overrides"] == {}, config
        lock = (clone / "dvc.lock").read_text()
        assert decision["run"]["id"] == run_id(locked_inputs(lock)), "the adapter names another run than dvc.lock"
        shell("dvc", "status", "--quiet", cwd=clone)
        live(clone)
    print("every stage of the shrunk demo ran, and it ends in HOLD\nshrunk-demo: 1 passed, 0 failed")


if __name__ == "__main__":
    main()
