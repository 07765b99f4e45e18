"""What a campaign tried and how long it took: attempts → .work/campaign/NAME/journal.json, whole after every change.

Finished experiments are git commits and found again by themselves; only the journal knows of what left none.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path

from twin.errors import ConfigError
from twin.files import read_json, write_json
from twin.runlog import work_folder


class State(Enum):
    """How an attempt stands."""

    running = "running"
    finished = "finished"
    memory = "memory"
    diverged = "diverged"
    failed = "failed"
    interrupted = "interrupted"
    spent = "spent"


@dataclass
class Attempt:
    """One experiment that was started, by its name."""

    state: str
    seconds: float = 0.0
    """Wall time of all its processes."""
    why: str = ""
    group: int | None = None
    """Process group of the one that runs."""
    since: float = 0.0
    """When that one was started, seconds since 1970."""


class Journal:
    """The attempts of one campaign."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = folder / "journal.json"
        found = read_json(self._path)["attempts"] if self._path.exists() else {}
        self.attempts = {name: Attempt(**values) for name, values in found.items()}

    @classmethod
    def of(cls, campaign: str) -> "Journal":
        """Open the journal of a campaign in the scratch folder."""
        return cls(work_folder() / "campaign" / campaign)

    def log(self, experiment: str) -> Path:
        """Return where a run's output goes."""
        return self.folder / f"{experiment}.log"

    @property
    def total_s(self) -> float:
        """Wall time of all runs so far."""
        return sum(one.seconds for one in self.attempts.values())

    def seconds(self, experiment: str) -> float:
        """Return the wall time of an experiment's processes so far."""
        found = self.attempts.get(experiment)
        return 0.0 if found is None else found.seconds

    def state(self, experiment: str) -> State | None:
        """Return how an experiment stands, None where it was never started."""
        found = self.attempts.get(experiment)
        return None if found is None else State(found.state)

    def started(self, experiment: str, group: int, since: float | None = None) -> None:
        """Note a process; time that a killed campaign did not count is counted now."""
        one = self.attempts.setdefault(experiment, Attempt(State.running.value))
        one.seconds += self._uncounted_s(experiment, one)
        one.state, one.group, one.since = State.running.value, group, time.time() if since is None else since
        self._write()

    def ended(self, experiment: str, state: State, why: str, now: float | None = None) -> None:
        """Note how an attempt ended."""
        one = self.attempts[experiment]
        one.seconds += max(0.0, (time.time() if now is None else now) - one.since)
        one.state, one.why, one.group = state.value, why, None
        self._write()

    def found(self, experiment: str) -> None:
        """Note that an experiment is finished, which a killed campaign may not have seen."""
        one = self.attempts.setdefault(experiment, Attempt(State.finished.value))
        if one.state != State.finished.value:
            one.seconds += self._uncounted_s(experiment, one)
            one.state, one.why, one.group = State.finished.value, "", None
            self._write()

    def _uncounted_s(self, experiment: str, one: Attempt) -> float:
        """Seconds of a process whose end nobody saw: until it last said something."""
        log = self.log(experiment)
        if one.state != State.running.value or not one.since or not log.exists():
            return 0.0
        return max(0.0, log.stat().st_mtime - one.since)

    def _write(self) -> None:
        write_json(self._path, {"version": 1, "attempts": {name: asdict(one) for name, one in self.attempts.items()}})

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let no other process walk the same campaign; the system lets go when this one ends, however it ends.

        Raises:
            ConfigError: another process walks it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.folder / "walking", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError as error:
            raise ConfigError(f"the campaign {self.folder.name} is walked by another process; wait for it.") from error
        finally:
            os.close(handle)
