"""Where a number came from: code, libraries, machine, time and memory. It never reaches a leaderboard."""

import datetime
import importlib.metadata
import os
import platform
import resource
import sys
from pathlib import Path
from typing import Any

LIBRARIES = ("brain-alignment-bench", "torch", "torchvision", "numpy", "scipy", "scikit-learn", "xarray", "h5py")


def provenance(*, wall_seconds: float) -> dict[str, Any]:
    """Versions, hardware, wall time (seconds) and peak memory (bytes) of this process."""
    import torch

    return {
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "libraries": {name: _version(name) for name in LIBRARIES},
        "machine": {
            "system": platform.platform(),
            "processor": _processor(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        },
        "wall_seconds": round(wall_seconds, 3),
        "peak_memory_bytes": peak_memory(),
    }


def peak_memory() -> int:
    """Largest resident memory of this process so far, bytes.

    Linux's `ru_maxrss` starts from the peak of the process that launched this one, so the status file is read there.
    """
    if sys.platform == "linux":
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def available_memory() -> int:
    """Bytes a process can still use here; all there are, where the system does not say."""
    if sys.platform == "linux":
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor()
