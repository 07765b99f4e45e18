"""What a run took — times, memory, versions — kept outside every stage output: facts → .work/.

No stage reads these. They are filed under the fingerprint of the stage's inputs, so that the summary and
the note find the facts of the run that made the outputs, also when DVC took them from its cache.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from twin.files import read_json, write_json

_current: ContextVar[Path | None] = ContextVar("facts of the running stage", default=None)


def work_folder() -> Path:
    """Return the git-ignored scratch folder; DVC_ROOT is the parent repository in `--temp` runs."""
    return Path(os.environ.get("DVC_ROOT", ".")) / ".work"


def facts_path(stage: str, fingerprint: str) -> Path:
    """Return where the facts of one stage run are kept."""
    return work_folder() / "stages" / stage / f"{fingerprint[:16]}.json"


@contextmanager
def recording(stage: str, fingerprint: str) -> Iterator[None]:
    """Send `record` to the facts of this stage run."""
    path = facts_path(stage, fingerprint)
    path.unlink(missing_ok=True)
    token = _current.set(path)
    try:
        yield
    finally:
        _current.reset(token)


def record(stage: str, facts: Mapping[str, object]) -> None:
    """Add facts about the running stage; outside a guarded run there is nothing to add them to."""
    path = _current.get()
    if path is None:
        return
    assert path.parent.name == stage, f"{stage} recorded facts while {path.parent.name} runs"
    write_json(path, {**read_facts(path), **facts})


def read_facts(path: Path) -> dict[str, object]:
    """Read the facts of a stage run; empty when there are none, as in a fresh clone."""
    return dict(read_json(path)) if path.exists() else {}
