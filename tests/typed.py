"""What a reader types, in a shell that finds this environment's programs: command, folder → status and what it said."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

ENVIRONMENT: Final = {
    **{name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "DVC_ROOT")},
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "PAGER": "cat",
    "DVC_PAGER": "cat",
    "DVC_NO_ANALYTICS": "1",
    "COLUMNS": "200",
}


def typed(
    command: str, folder: Path, stdin: str = "", environment: Mapping[str, str] = ENVIRONMENT
) -> "subprocess.CompletedProcess[str]":
    """Type a command and wait for its end."""
    return subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment, input=stdin, capture_output=True, text=True, check=False
    )


def said(command: str, folder: Path) -> str:
    """Type a command that ends well and return what it says."""
    done = typed(command, folder)
    assert done.returncode == 0, f"{command}: status {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout
