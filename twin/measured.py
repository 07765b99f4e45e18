"""What a run took on this machine, in its page: the stored report, the facts in .work/ → .work/report.html.

The report is a stage's output and holds nothing that differs between machines; this copy of it does, and no stage
reads it.
"""

from pathlib import Path
from typing import Any, Final

import yaml

from twin.errors import DataError
from twin.files import write_text
from twin.page.gap import filled
from twin.page.sheet import piece
from twin.runlog import work_folder
from twin.runs import Run, git

PAGE: Final = "metrics/report.html"
TEMPLATE: Final = Path(__file__).parent / "page" / "measured.html"


def shown(run: Run) -> Path:
    """Write the run's page with what it took on this machine, and return where it is.

    Raises:
        DataError: the run has no report, or it is not on this machine.
    """
    # As deep as metrics/: the page's links to stored files are relative to it.
    name = "report.html" if run.commit is None else f"report-{run.id[:12]}.html"
    path = work_folder() / name
    write_text(path, filled(_stored(run), piece(TEMPLATE, **_measured(run))))
    return path.resolve()


def _stored(run: Run) -> str:
    if run.commit is None:
        return run.text(PAGE)
    from twin.compare.cache import dvc_objects, stored_file

    stages = yaml.safe_load(run.text("dvc.lock"))["stages"]
    outs = {out["path"]: out["md5"] for entry in stages.values() for out in entry.get("outs", [])}
    name = run.name or run.commit[:12]
    try:
        return stored_file(name, PAGE, outs, dvc_objects()).decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{name}: {PAGE}: byte {error.start} is not UTF-8. Make it again with `dvc repro`.") from error


def _measured(run: Run) -> dict[str, Any]:
    facts = run.facts()
    train = facts.get("train", {})
    predicted, peak = train.get("planned_peak_bytes"), train.get("peak_array_bytes")
    return {
        "commit": run.commit or git("rev-parse", "--verify", "--quiet", "HEAD"),
        "dirty": run.commit is None and bool(git("status", "--porcelain")),
        "here": run.commit is None,
        "stages": [{"name": stage, **told} for stage, told in facts.items()],
        "total_s": sum(told["wall_s"] for told in facts.values()),
        "predicted": predicted,
        "peak": peak,
        "ratio": peak / predicted if peak and predicted else None,
        "resumed": bool(train.get("resumed_after_update")),
        "tokens_per_s": train.get("supervised_tokens_per_s"),
    }
