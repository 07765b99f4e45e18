"""The commands that README.md and docs/ show, and what becomes of each: executed, or not and why.

`tests/test_docs.py` checks that each is in one of both lists and would be understood; `tests/shrunk_demo.py` executes
those of `EXECUTED`, in this order, on the shrunk demo in a fresh clone.
"""

import re
import shlex
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from tests.structure import ROOT

LOG: Final = "log.md"
"""Says what was run when, and promises nothing."""
PAGES: Final = (
    "README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md") if path.name != LOG)
)  # fmt: skip


@dataclass(frozen=True)
class Run:
    """How a shown command is executed on the shrunk demo."""

    status: int = 0
    says: str = ""
    """What its output holds."""
    instead: tuple[tuple[str, str], ...] = ()
    """Words that stand for something of the reader's → what they are here."""
    stdin: str = ""


def fenced(text: str, language: str) -> list[str]:
    """Return the blocks of a page in that language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def commands(text: str) -> list[str]:
    """Return the commands of a page's shell blocks, without comments."""
    lines = "".join(fenced(text, "sh")).replace("\\\n", " ").splitlines()
    found = (re.sub(r"(^|\s)#.*", "", line).strip() for line in lines)
    return [" ".join(line.split()) for line in found if line]


def shown() -> dict[str, list[str]]:
    """Return each shown command with the pages that show it."""
    found: dict[str, list[str]] = {}
    for page in PAGES:
        for command in commands((ROOT / page).read_text(encoding="utf-8")):
            found.setdefault(command, []).append(page)
    return found


def steps(command: str) -> list[list[str]]:
    """Return the words of each step of a command that `&&` joins, without the variables set for it."""
    parts = [shlex.split(part) for part in command.split("&&")]
    return [[word for word in part if not re.match(r"[A-Z_]+=", word)] for part in parts]


def overrides(words: list[str]) -> list[str]:
    """Return the values of -S."""
    return [value for flag, value in pairwise(words) if flag in ("-S", "--set-param")]


RUN_NAME: Final = (("EXPERIMENT", "waived"),)
EXECUTED: Final = {
    "dvc repro": Run(),
    "twin summary": Run(says="HOLD"),
    "twin plan": Run(says="MiB"),
    "twin plan qwen2.5-7b --budget 10.67": Run(says="GiB"),
    "twin note --into notes.md": Run(),
    "twin advise": Run(),
    "twin report": Run(says="report"),
    "twin promote": Run(status=10, says="HOLD"),
    "twin promote --verify": Run(says="verified"),
    "twin promote --apply": Run(status=10, says="not applied"),
    "gto show": Run(),
    "twin trajectory": Run(says="21 turns"),
    "twin trajectory 338b7204": Run(says="stalled"),
    "twin trajectory 338b7204 --picture strip.png --recipe models/adapter/recipe.json": Run(says="strip.png"),
    "twin campaign demo --dry-run": Run(says="1_lora_r32_7b"),
    "twin chat": Run(stdin="the deploy failed again\n/why\n/tag\n/prompt\n/base\n/quit\n", says="tokens of reply"),
    "twin chat --graph data/graph/demo.csv": Run(stdin="who owns the staging deploy?\n/facts\n/graph\n", says="mira"),
    "twin graph load data/graph/demo.csv": Run(says="facts added"),
    "twin graph query 'staging deploy' --hops 2": Run(says="mira"),
    "twin graph stats": Run(),
    "twin export DEST": Run(instead=(("DEST", ".work/fused"),), says=".work/fused"),
    "twin forget": Run(says="nothing"),
    "dvc repro && twin forget --check": Run(says="nothing"),
    "dvc exp run -n waived -S promote.human=waived": Run(says="waived"),
    "twin compare HEAD EXPERIMENT": Run(instead=RUN_NAME, says="waived"),
    "dvc metrics diff HEAD EXPERIMENT --md": Run(instead=RUN_NAME),
    "dvc plots show && dvc exp show --only-changed": Run(says="waived"),
    "twin sweep adapter.rank --picture sweep.svg": Run(says="sweep.svg"),
    "twin bring export.csv": Run(says="data/raw/memory_turns"),
    "git commit -m 'Bring memory_turns' data/raw/memory_turns.dvc": Run(),
    "twin bring 'turns-*.csv.gz' more.jsonl --as memory_turns --force": Run(says="written"),
    "twin bring dump.sql --as dump": Run(says="data/raw/dump"),
    "twin bring conversations.json --as chatgpt": Run(says="data/raw/chatgpt"),
}
"""In the order in which they are executed."""

TRAINS = "trains a model again: minutes; the shrunk campaign and tests of the stages run such overrides"
REAL_BASE = "downloads a base of gigabytes, for a Mac"
LIVE_TABLE = "needs a live table; tests/test_source_postgres.py and test_source_rest.py bring from one"
NOT_EXECUTED: Final = {
    "make demo": "makes an environment first; its pipeline is what runs here",
    "make test": "makes an environment and runs all tests",
    ". .venv/bin/activate": "is of the reader's shell",
    "dvc exp run -S '+experiment=2_dora_r32_3b'": REAL_BASE,
    "dvc exp run -S align=dpo": "of a 4-bit base",
    "dvc exp run -S memory=mac16": TRAINS,
    "dvc exp run -S adapter.rank=8": TRAINS,
    "dvc exp run -S adapter=dora_r8 -S adapter/keys=qkvo": TRAINS,
    "dvc exp run -S '+experiment=tags_shuffled'": TRAINS,
    "dvc exp run -S align=dpo_demo -S prefer.rejected=twin": TRAINS,
    "dvc exp run -S train.ranks=2 -S train.accumulate=8": f"{TRAINS}; tests/test_ranks.py",
    "dvc exp run -S generate.graph=demo.csv": "answers all prompts again; tests/test_generate.py has arm F",
    "dvc exp run -S augment/embedder=minilm": "needs 91 MB of weights; tests/test_embedder_models.py",
    "dvc exp run -S augment.scheduler=tcp://10.0.0.5:8786": "needs a Dask scheduler; tests/test_augment.py starts one",
    "dvc exp run -S ingest/source=memory_turns": TRAINS,
    "dvc exp run -S ingest.source=slack -S +ingest.roles.member=partner -S +ingest.authors.mira=person "
    "-S +ingest.authors.sam=partner": "needs a group chat; tests/test_ingest_rules.py",
    "dvc exp run --queue -S 'adapter.rank=8,16,32' -S 'train.seed=17,18,19' && dvc queue start": "nine runs",
    "LD_PRELOAD=libopenblas.so.0 dvc repro": "needs Debian's libopenblas0",
    "twin campaign note --hours 20": REAL_BASE,
    "twin campaign geometry": TRAINS,
    "twin chat --samples 4": "needs the re-ranker of an +experiment=sampled run; tests/test_chat.py",
    "twin serve": "runs until Ctrl-C, and is the next without facts",
    "twin serve --graph data/graph/demo.csv": "runs until Ctrl-C; tests/reader.py starts one and asks what pages ask",
    "twin graph serve": "runs until Ctrl-C; tests/test_graph_contract.py",
    "twin rate": "is for people; tests/test_rate_browser.py rates through it",
    "twin rate --mode identify": "is for people; tests/test_rate.py",
    "twin rate --mode protocol": "is for people; tests/test_rate.py",
    "twin rate --mode prefer": "is for people; tests/test_rate_prefer.py",
    "twin promote --rollback": "needs a champion; tests/test_apply.py",
    "dvc artifacts get . twin --stage champion": "needs a champion; tests/test_apply.py",
    "twin compare A1,A2,A3 B1,B2,B3": "needs six runs; tests/test_compare.py",
    "twin bring postgres": LIVE_TABLE,
    "twin bring rest": LIVE_TABLE,
    "twin bring --refresh --as postgres": LIVE_TABLE,
    "twin bring conversations.json --as claude": "would need an export of its own name; tests/test_source_claude.py",
    "dvc exp remove -A && dvc gc -w": "throws runs away, and asks",
}
"""With the reason; tests/test_docs.py checks that they would be understood."""
