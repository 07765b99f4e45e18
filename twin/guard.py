"""Runs one stage and voids it when its declared inputs changed meanwhile: `python -m twin.guard STAGE`.

DVC hashes a stage's inputs after its command has ended (treeverse/dvc#11058), so an edit during a long
training would be recorded as what was trained on. A changed input ends the stage with status 75 instead,
and nothing is locked.
"""

import importlib
import os
import resource
import sys
import time

from twin.errors import ProvenanceError, StorageError, TwinError
from twin.identity import Inputs, fingerprint, stage_inputs
from twin.runlog import record, recording

INPUTS_CHANGED = 75  # EX_TEMPFAIL of sysexits.h: try again


def guard(stage: str) -> None:
    """Run the stage's `main` between two looks at its inputs.

    Raises:
        ProvenanceError: an input changed while the stage ran.
        TwinError: whatever the stage raises.
    """
    before = stage_inputs(stage)
    started_s = time.perf_counter()
    with recording(stage, fingerprint(before)):
        importlib.import_module(f"stages.{stage}").main()
        record(stage, _cost(time.perf_counter() - started_s))
    changed = _differences(before, stage_inputs(stage))
    if changed:
        raise ProvenanceError(
            f"{stage}: {', '.join(changed)} changed while the stage ran; its result is void. Run `dvc repro` again, "
            "and use `dvc exp run --temp` for runs beside your editing."
        )


def _cost(wall_s: float) -> dict[str, object]:
    # A stage that starts processes, as training does with several ranks, waits for them.
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    unit_bytes = 1 if sys.platform == "darwin" else 1024  # getrusage(2): bytes on macOS, KiB on Linux
    return {
        "wall_s": round(wall_s, 3),
        "cpu_s": round(sum(usage.ru_utime + usage.ru_stime for usage in usages), 3),
        "peak_rss_bytes": max(usage.ru_maxrss for usage in usages) * unit_bytes,
    }


def _differences(before: Inputs, after: Inputs) -> list[str]:
    changed = ["the command"] if before["cmd"] != after["cmd"] else []
    for kind in ("deps", "params"):
        keys = sorted(before[kind].keys() | after[kind].keys())
        changed += [key for key in keys if before[kind].get(key) != after[kind].get(key)]
    return changed


def main() -> None:
    """Entry of every stage in dvc.yaml."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m twin.guard STAGE")
    try:
        guard(sys.argv[1])
    except ProvenanceError as error:
        print(f"ProvenanceError: {error}", file=sys.stderr)
        sys.exit(INPUTS_CHANGED)
    except TwinError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        print(f"{StorageError.__name__}: {error.filename or sys.argv[1]}: {error.strerror or error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt as interrupt:
        move = str(interrupt) or "`dvc repro` starts this stage again."
        print(f"{sys.argv[1]}: interrupted; {move}", file=sys.stderr)
        os._exit(130)


if __name__ == "__main__":
    main()
