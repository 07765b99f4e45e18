"""A real campaign in a fresh clone, killed with SIGKILL and started again: `python -m tests.shrunk_campaign`.

Two rows and a pick: the second is refused for memory and runs on its next rung. CI runs it.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
SMALL = [
    "augment.tags=none",
    "train.updates=12",
    "train.validate_every=6",
    "generate.test_prompts=12",
    "generate.max_new_tokens=32",
    "evaluate.draws=500",
]
QUEUE = {
    "about": "Two rows and a pick.",
    "set": SMALL,
    "rows": [
        {"name": "one", "says": "LoRA r32", "stop_if": [{"not_learned_by": 6}]},
        {
            "name": "two",
            "says": "DoRA r8, then r4",
            "set": ["adapter=dora_r8", "memory.budget_gib=0.0421"],
            "on_memory": [{"name": "r4", "set": ["adapter.rank=4"]}],
            "stop_if": [{"worse_than": "one", "by": ["rubric_test"]}],
        },
        {"name": "winner", "says": "the better", "pick": ["one", "two"], "by": ["likelihood"], "undecided": "earliest"},
    ],
}


def start(clone: Path) -> "subprocess.Popen[str]":
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(clone), "PYTHONUNBUFFERED": "1"}
    command = ["twin", "campaign", "tiny.yaml"]
    return subprocess.Popen(command, cwd=clone, env=environment, stdout=subprocess.PIPE, text=True)


def kill_in_training(clone: Path) -> None:
    """Kill the campaign and the run it started once that trains, as a machine that goes down would."""
    process, folder = start(clone), clone / ".work/campaign/tiny"
    while not any("stage 'train'" in log.read_text() for log in folder.glob("*.log")):
        assert process.poll() is None, "the campaign ended before it trained"
        time.sleep(0.2)
    groups = [one["group"] for one in journal(clone).values() if one["group"]]
    process.kill()
    process.wait()
    for group in groups:
        os.killpg(group, signal.SIGKILL)
    assert [one["state"] for one in journal(clone).values()] == ["running"]


def journal(clone: Path) -> dict[str, Any]:
    return dict(json.loads((clone / ".work/campaign/tiny/journal.json").read_text())["attempts"])


def finish(clone: Path) -> dict[str, Any]:
    process = start(clone)
    said, _ = process.communicate()
    print(said)
    assert process.returncode == 0, said
    return dict(json.loads((clone / "metrics/campaign.json").read_text())["campaigns"]["tiny"])


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        for key in ("user.name", "user.email"):
            subprocess.run(["git", "config", key, "ci@example.org"], cwd=clone, check=True)
        (clone / "tiny.yaml").write_text(yaml.safe_dump(QUEUE))
        kill_in_training(clone)
        found = finish(clone)
        one, two, winner = found["rows"]
        assert one["outcome"] == "finished", one
        assert [run["outcome"] for run in two["runs"]] == ["memory", "finished"], two
        assert winner["row"] in ("one", "two"), winner
        assert found["complete"]
        before = journal(clone)
        assert finish(clone) == found, "a campaign that is walked again says something else"
        assert journal(clone) == before, "a finished experiment was run again"
        print((clone / "metrics/campaign.md").read_text())
    print("a killed campaign went on to its winner\nshrunk-campaign: 1 passed, 0 failed")


if __name__ == "__main__":
    main()
