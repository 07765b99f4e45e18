"""Our training engine beside mlx_lm.lora: memory over the resident weights, and time per supervised token.

python -m bench.train [--quick] [--case NAME] [--rounds N] [--models 3b,7b]
"""

import argparse
import datetime
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from bench.machine import describe, preload
from bench.train.cases import CASES, QUICK, SETTINGS, SHAPES, Case, whole_models
from bench.train.job import job, peer_settings
from bench.train.runs import PEER, Run, discard, measure, prepare
from bench.train.table import Row, markdown, rows
from twin.files import write_json

RESULTS = Path("bench/results/train.json")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.train", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help=f"one round of {' and '.join(QUICK)}")
    parser.add_argument("--case", action="append", help="only this case; may be given again", metavar="NAME")
    parser.add_argument("--rounds", type=int, help="measurements of each side; each case has its own number")
    parser.add_argument("--models", help="the whole 4-bit models instead, for a GPU: of " + ", ".join(SHAPES))
    parser.add_argument("--work", type=Path, help="keep models here (up to 6 GB each) instead of deleting them")
    parser.add_argument("--out", type=Path, help=f"results file; {RESULTS} when the whole table is measured")
    return parser.parse_args()


def chosen(options: argparse.Namespace) -> tuple[Case, ...]:
    models = options.models.split(",") if options.models else []
    if not set(models) <= set(SHAPES):
        sys.exit(f"--models {options.models}: the models are {', '.join(SHAPES)}")
    cases = whole_models(models) if models else CASES
    quick = {*QUICK, *(f"{model}-{name}" for model in models for name in QUICK)}
    names = options.case or [case.name for case in cases if not options.quick or case.name in quick]
    unknown = set(names) - {case.name for case in cases}
    if unknown:
        sys.exit(f"no case {', '.join(sorted(unknown))}; there are {', '.join(case.name for case in cases)}")
    return tuple(case for case in cases if case.name in names)


def run(cases: tuple[Case, ...], rounds: int | None, work: Path, *, keep: bool, out: Path | None) -> list[Row]:
    """Measure all rows; what is measured so far is always in `out`."""
    results: dict[str, Any] = {"date": str(datetime.date.today()), "machine": describe(), "settings": SETTINGS}
    runs: list[Run] = []
    table: list[Row] = []
    for number, case in enumerate(cases):
        prepare(case, work)
        for checkpointing in (False, True):
            measured = []
            for done in measure(case, checkpointing, rounds or case.rounds, work):
                measured.append(done)
                say(done)
            table += rows(case, checkpointing, measured)
            table[-1]["mlx-lm"]["settings"] = peer_settings(job(case, checkpointing, 0, PEER, work))
            runs += measured
            results |= {"rows": table, "runs": runs, "blas": sorted({done["blas"] for done in runs if "blas" in done})}
            if out is not None:
                write_json(out, results)
        if not keep:
            discard(case, cases[number + 1 :], work)
    print(f"\nBLAS: {', '.join(results['blas'])}")
    return table


def say(done: Run) -> None:
    checkpointing = "on" if done["checkpointing"] else "off"
    seconds = sum(update["seconds"] for update in done.get("updates", []))
    print(
        f"{done['case']}, checkpointing {checkpointing}, round {done['round']}, {done['side']}: "
        f"{done.get('failed') or f'{seconds:.1f} s of updates'}",
        file=sys.stderr,
        flush=True,
    )


def main() -> None:
    options = arguments()
    cases = chosen(options)
    partial = options.quick or options.case
    out = options.out or (None if partial else RESULTS)
    if sys.platform == "linux" and not preload():
        print("No OpenBLAS here: fp32 products take some 15 times as long (libopenblas0 on Debian).", file=sys.stderr)
    with nullcontext(options.work) if options.work else tempfile.TemporaryDirectory() as work:
        table = run(cases, 1 if options.quick else options.rounds, Path(work), keep=bool(options.work), out=out)
    print(markdown(table))
    if any(not row.get("losses_agree", True) for row in table):
        sys.exit("the first losses differ: the two sides do not compute the same thing, and the table means nothing")


if __name__ == "__main__":
    main()
