"""What a promotion is remembered by: decision, commit, versions, chip ↔ the trailers of a message."""

import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

PACKAGES: Final = {"twin": "cognitive-twin", "mlx": "mlx", "mlx-lm": "mlx-lm", "dvc": "dvc"}
TRAILER: Final = re.compile(r"^([A-Z][A-Za-z0-9-]+): (.+)$", re.MULTILINE)
CPUINFO: Final = Path("/proc/cpuinfo")

JUDGED: Final = "Judged-Commit"
LOCK: Final = "Lock-SHA256"
RUN: Final = "Run"
ADAPTER: Final = "Adapter-SHA256"
SCOPE: Final = "Scope"
WITHDRAWS: Final = "Withdraws"
REINSTATES: Final = "Reinstates"
BY: Final = "Promotion-Commit"
"""Only in tags: the commit of the act."""
NONE: Final = "none"


@dataclass(frozen=True)
class Promotion:
    """The adapter that was promoted, and the evidence."""

    adapter: str
    """sha256 of its weights."""
    run: str
    """The run's id."""
    scope: str
    """`champion`, or `staging` where nobody rated it; also GTO's stage."""
    judged: str
    """Commit of the decision."""
    lock: str
    """sha256 of dvc.lock at that commit."""

    @property
    def trailers(self) -> dict[str, str]:
        """What stands in the message of commit and tags."""
        return {
            JUDGED: self.judged,
            LOCK: self.lock,
            RUN: self.run,
            ADAPTER: self.adapter,
            SCOPE: self.scope,
            "Versions": versions(),
            "Chip": chip(),
        }


def message(title: str, trailers: Mapping[str, str]) -> str:
    """Return a message of git whose last paragraph are trailers."""
    return f"{title}\n\n" + "".join(f"{key}: {value}\n" for key, value in trailers.items())


def read_trailers(text: str) -> dict[str, str]:
    """Return the trailers of a message; those of its last paragraph alone."""
    return dict(TRAILER.findall(text.strip().rpartition("\n\n")[2]))


def versions() -> str:
    """Return the versions of what made and judges the adapter."""
    return ", ".join(
        [*(f"{name} {_version(package)}" for name, package in PACKAGES.items()), f"python {platform.python_version()}"]
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def chip() -> str:
    """Return the name of the processor, as far as the system tells it."""
    name = ""
    if sys.platform == "darwin":
        asked = ["sysctl", "-n", "machdep.cpu.brand_string"]
        name = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    elif CPUINFO.exists():
        told = re.search(r"^model name\s*: (.+)$", CPUINFO.read_text(encoding="utf-8"), re.MULTILINE)
        name = told[1].strip() if told else ""
    return f"{name or 'unnamed'} ({platform.machine()})"
