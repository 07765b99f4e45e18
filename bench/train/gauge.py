"""What one process measures of itself: memory over the resident weights, seconds and losses of its updates."""

import json
import resource
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

import mlx.core as mx

from bench.arrays import held_bytes
from bench.machine import blas
from bench.train.job import Job


@dataclass
class Update:
    """One optimizer update."""

    seconds: float
    loss: float
    """Mean over the tokens this side trains, in nats."""
    trained_tokens: int
    """Targets this side's loss counts."""


@dataclass
class Gauge:
    """Filled while a side runs."""

    resident_bytes: int = 0
    loaded_rss_bytes: int = 0
    updates: list[Update] = field(default_factory=list)

    def loaded(self) -> None:
        """Take the weights alone as resident: from here on, every array counts as training's."""
        mx.clear_cache()
        self.resident_bytes = held_bytes()
        self.loaded_rss_bytes = _largest_rss_bytes()

    def write(self, path: Path) -> None:
        result = asdict(self) | {
            "peak_bytes": mx.get_peak_memory() - self.resident_bytes,
            "rss_bytes": _largest_rss_bytes(),
            "blas": blas(),
            "device": "cpu" if mx.default_device().type == mx.cpu else "gpu",
        }
        path.write_text(json.dumps(result))


def _largest_rss_bytes() -> int:
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else largest * 1024  # kibibytes on Linux


def arguments() -> tuple[Job, Path]:
    """Return what the process was started with: a job as JSON and the file for the result."""
    job, result = sys.argv[1:]
    return Job(**json.loads(job)), Path(result)
