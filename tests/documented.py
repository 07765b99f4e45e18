"""The commands that README.md and docs/ show, and what becomes of each: executed, or not and why.

`tests/test_docs.py` checks that each is in one of the three lists and would be understood; `tests/shrunk_demo.py`
executes those of `EXECUTED`, in this order, on the shrunk demo in a fresh clone, and `tests/shrunk_queues.py` those of
`QUEUES`. The bases and MiniLM are small stand-ins behind a hub on this machine.
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
    also: str = ""
    """What is typed behind it, mostly to make it small."""
    first: str = ""
    """What is typed before it, as the page says in words."""
    stdin: str = ""
    needs: str = ""
    """A variable of the environment without which it is left out, as what it would ask does not run here."""


@dataclass(frozen=True)
class Served:
    """How a command that runs until Ctrl-C is started, asked and stopped."""

    also: str = ""
    """What is typed behind it."""
    asked: str = ""
    """What is got, below the address that it says."""
    says: str = ""
    """What the answer holds; the clients that pages show ask too where there is none."""


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


WAIT: Final = (
    "&& while dvc queue status | grep -Eq 'Queued|Running'; do sleep 1; done; "
    "echo $(dvc queue status | grep -c Success) ran"
)
RUN_NAME: Final = (("EXPERIMENT", "waived"),)
SMALL: Final = (
    "-S ingest/source=memory_turns -S train.updates=2 -S train.validate_every=2 -S generate.max_new_tokens=4 "
    "-S generate.test_prompts=4 -S evaluate.draws=100"
)
"""A tenth of the demo's conversations, as brought, and little of everything."""
PAIRS: Final = "-S align.updates=2 -S align.validate_every=2 -S prefer.pairs=8 -S prefer.held_out=4"
EXECUTED: Final = {
    "make demo": Run(also="-o .venv/.synced", says="HOLD"),
    ". .venv/bin/activate": Run(also="&& echo $VIRTUAL_ENV", says=".venv"),
    "dvc repro": Run(),
    "LD_PRELOAD=libopenblas.so.0 dvc repro": Run(says="up to date"),
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
    "twin serve": Served("--port 0", "/models", "twin"),
    "twin serve --graph data/graph/demo.csv": Served("--port 0"),
    "twin graph serve": Served("--port 0", "/api/knowledge?subject=staging%20deploy", "mira"),
    "twin rate": Served("", "state", '"mode": "pairs"'),
    "twin rate --mode identify": Served("", "state", '"mode": "identify"'),
    "twin rate --mode protocol": Served("", "state", '"mode": "protocol"'),
    "twin bring export.csv": Run(says="data/raw/memory_turns"),
    "git commit -m 'Bring memory_turns' data/raw/memory_turns.dvc": Run(),
    "twin bring 'turns-*.csv.gz' more.jsonl --as memory_turns --force": Run(says="written"),
    "twin bring dump.sql --as dump": Run(says="data/raw/dump"),
    "twin bring conversations.json --as chatgpt": Run(says="data/raw/chatgpt"),
    "twin bring conversations.json --as claude": Run(
        instead=(("conversations.json", "claude.json"),), says="data/raw/claude"
    ),
    "twin bring postgres": Run(needs="DATABASE_URL", says="data/raw/postgres"),
    "twin bring --refresh --as postgres": Run(
        first='"$PSQL" --quiet --command "$LATER" "$DATABASE_URL"',
        needs="DATABASE_URL",
        says="only what is new was read",
    ),
    "twin bring rest": Run(needs="SUPABASE_URL", says="data/raw/rest"),
    "dvc exp run -S ingest/source=memory_turns": Run(also=f"{SMALL} train", says="'train'"),
    "dvc exp run -S generate.graph=data/graph/demo.csv": Run(also=f"{SMALL} generate", says="'generate'"),
    "dvc exp run -S adapter.rank=8": Run(also=f"{SMALL} train", says="'train'"),
    "dvc exp run -S adapter=dora_r8 -S adapter/keys=qkvo": Run(also="config", says="'config'"),
    "dvc exp run -S memory=mac16": Run(also="config", says="'config'"),
    "dvc exp run -S train.ranks=2 -S train.accumulate=8": Run(also="config", says="'config'"),
    "dvc exp run -S '+experiment=tags_shuffled'": Run(also=f"{SMALL} augment", says="'augment'"),
    "dvc exp run -S align=dpo": Run(also="config", says="'config'"),
    "dvc exp run -S align=dpo_demo -S prefer.rejected=twin": Run(also=f"{SMALL} {PAIRS} align", says="'align'"),
    "twin rate --mode prefer": Served("", "state", '"mode": "prefer"'),
    "dvc exp run -S '+experiment=2_dora_r32_3b'": Run(also=f"{SMALL} train", says="'train'"),
    "dvc exp run -S augment/embedder=minilm": Run(also=f"{SMALL} augment", says="'augment'"),
    "dvc exp run -S augment.scheduler=tcp://10.0.0.5:8786": Run(
        instead=(("tcp://10.0.0.5:8786", "$SCHEDULER"),), also=f"{SMALL} augment", needs="SCHEDULER", says="'augment'"
    ),
    "dvc exp run -S ingest.source=slack -S +ingest.roles.member=partner -S +ingest.authors.mira=person "
    "-S +ingest.authors.sam=partner": Run(first="twin bring slack.csv --as slack", also="split", says="'split'"),
    "dvc exp run --queue -S 'adapter.rank=8,16,32' -S 'train.seed=17,18,19' && dvc queue start": Run(
        instead=(("8,16,32", "4,8"), ("17,18,19", "17"), (" && dvc", f" {SMALL} train && dvc")), also=WAIT, says="2 ran"
    ),
    "dvc exp remove -A && dvc gc -w": Run(stdin="y\n", says="Removed"),
}
"""In the order in which they are executed. Of what trains, a tenth of the history and as far as the named stage."""

BY_TEST: Final = {
    "make test": ".ci/run",
    "twin promote --rollback": "tests/test_apply.py::"
    "test_typed_as_the_pages_show_a_champion_is_listed_fetched_and_taken_back",
    "dvc artifacts get . twin --stage champion": "tests/test_apply.py::"
    "test_typed_as_the_pages_show_a_champion_is_listed_fetched_and_taken_back",
    "twin compare A1,A2,A3 B1,B2,B3": "tests/test_compare.py::"
    "test_typed_as_the_pages_show_three_seeds_a_side_are_compared",
}
"""Executed as it is shown, by a test or by CI itself."""

QUEUES: Final = {
    "twin campaign note --hours 20": Run(also=f"{SMALL} {PAIRS} -S prefer.max_new_tokens=96", says="best"),
    "twin campaign geometry": Run(also=SMALL, says="geometry"),
    "twin chat --samples 4": Run(
        first="dvc exp run -S '+experiment=sampled' -S train.updates=2 -S train.validate_every=2 -S evaluate.draws=100 "
        "-S generate.max_new_tokens=8 -S generate.test_prompts=4 evaluate",
        stdin="the deploy failed again\n",
        says="tokens/s",
    ),
}
"""What fills its own half hour: fourteen runs of two campaigns, and one that draws several replies to every prompt. CI
leaves them to `python -m tests.shrunk_queues`."""
