"""The real pipeline on a shrunk demo, in a fresh clone, then what the pages show: `python -m tests.shrunk_demo`.

CI runs it. The shrinking is an edit in conf/, so it also shows that `dvc repro` sees such an edit.
"""

import json
import subprocess
import tempfile
from pathlib import Path

from omegaconf import OmegaConf

from tests.documented import EXECUTED
from tests.reader import type_all
from tests.typed import ENVIRONMENT
from twin.identity import locked_inputs, run_id

ROOT = Path(__file__).parents[1]
SHRINK = {
    "train/demo.yaml": {"updates": 24, "validate_every": 12},
    "generate/demo.yaml": {"test_prompts": 12, "max_new_tokens": 48},
    "evaluate/standard.yaml": {"draws": 500},
}


def shell(*command: str, cwd: Path) -> None:
    subprocess.run(command, cwd=cwd, env=ENVIRONMENT, check=True)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        shell("git", "clone", "--quiet", str(ROOT), str(clone), cwd=ROOT)
        for name, values in SHRINK.items():
            path = clone / "conf" / name
            OmegaConf.save(OmegaConf.merge(OmegaConf.load(path), values), path)
        shell("dvc", "repro", cwd=clone)
        decision = json.loads((clone / "metrics/decision.json").read_text())
        config = json.loads((clone / "metrics/config.json").read_text())
        assert decision["decision"] == "HOLD", decision["decision"]
        assert config["overrides"] == {}, config
        lock = (clone / "dvc.lock").read_text()
        assert decision["run"]["id"] == run_id(locked_inputs(lock)), "the adapter names another run than dvc.lock"
        shell("dvc", "status", "--quiet", cwd=clone)
        print("every stage of the shrunk demo ran, and it ends in HOLD")
        for name, value in {"user.name": "Reader", "user.email": "reader@example.org"}.items():
            shell("git", "config", name, value, cwd=clone)
        shell("git", "commit", "--quiet", "--all", "--message", "The shrunk demo", cwd=clone)
        type_all(clone, EXECUTED)
    print(f"{len(EXECUTED)} commands of the pages do what they say\nshrunk-demo: 1 passed, 0 failed")


if __name__ == "__main__":
    main()
