"""The machine a benchmark ran on, and the BLAS its processes use: what a result means nothing without.

On Linux the wheel of `mlx[cpu]` brings the reference BLAS; an OpenBLAS that is loaded before it takes its place
and multiplies fp32 matrices some fifteen times as fast. `preload()` is the environment that does so.

python -m bench.machine
"""

import ctypes
import ctypes.util
import json
import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

PACKAGES = ("mlx", "mlx-lm", "numpy")
CORE_OF_FLAG = {"avx2": "Haswell", "avx512f": "SkylakeX"}  # slower before faster


def describe() -> dict[str, Any]:
    """Return cores, memory, system and versions; no names and no paths."""
    import mlx.core as mx

    device = mx.default_device()
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "ram_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": _system(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "device": "cpu" if device.type == mx.cpu else str(mx.device_info(device).get("device_name", "gpu")),
    }


def blas() -> str:
    """Return which BLAS multiplies full-precision matrices in this process on the CPU."""
    if platform.system() == "Darwin":
        return "Accelerate"
    # An OpenBLAS inside numpy's wheel keeps its names to itself: only a preloaded one is found here.
    config = getattr(ctypes.CDLL(None), "openblas_get_config", None)
    if config is None:
        return "the reference BLAS of the mlx wheel"
    config.restype = ctypes.c_char_p
    return str(config().decode())


def preload() -> dict[str, str]:
    """Return the environment variables that put an installed OpenBLAS first in a child process, none without one."""
    library = ctypes.util.find_library("openblas")
    if platform.system() != "Linux" or library is None:
        return {}
    others = os.environ.get("LD_PRELOAD")
    variables = {"LD_PRELOAD": f"{library}:{others}" if others else library}
    # A processor newer than the library is taken for the oldest one known, without any vector units it has.
    if "OPENBLAS_CORETYPE" not in os.environ and " Prescott " in _asked(variables):
        known = [core for flag, core in CORE_OF_FLAG.items() if flag in _cpuinfo("flags")]
        variables |= {"OPENBLAS_CORETYPE": known[-1]} if known else {}
    return variables


def _asked(variables: dict[str, str]) -> str:
    command = [sys.executable, "-c", "from bench.machine import blas; print(blas())"]
    return subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, check=True).stdout


def _processor() -> str:
    if platform.system() == "Darwin":
        asked = subprocess.run(["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True, check=True)
        return asked.stdout.strip()
    return _cpuinfo("model name") or platform.machine()


def _cpuinfo(name: str) -> str:
    known = Path("/proc/cpuinfo")
    lines = known.read_text().splitlines() if known.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")


def _system() -> str:
    if platform.system() == "Darwin":
        return f"macOS {platform.mac_ver()[0]}"
    return str(platform.freedesktop_os_release().get("PRETTY_NAME", "Linux"))


def main() -> None:
    print(json.dumps(describe() | {"blas": blas()}, indent=2))


if __name__ == "__main__":
    main()
