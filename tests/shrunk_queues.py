"""The longest of what the pages show, in a fresh clone, on little data: `python -m tests.shrunk_queues`.

Fifteen runs: CI leaves them out.
"""

import tempfile
from pathlib import Path

from tests.documented import EXECUTED, QUEUES
from tests.reader import type_all
from tests.shrunk_demo import ROOT, shell

BROUGHT = ("twin bring export.csv", "git commit -m 'Bring memory_turns' data/raw/memory_turns.dvc")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        shell("git", "clone", "--quiet", str(ROOT), str(clone), cwd=ROOT)
        for name, value in {"user.name": "Reader", "user.email": "reader@example.org"}.items():
            shell("git", "config", name, value, cwd=clone)
        type_all(clone, {name: EXECUTED[name] for name in BROUGHT} | QUEUES)
        print((clone / "metrics/campaign.md").read_text())
    print(f"{len(QUEUES)} commands of the pages come to an end\nshrunk-queues: 1 passed, 0 failed")


if __name__ == "__main__":
    main()
